//! From a request to its reply.

use super::{
    Policy,
    exchange::{Answer, Exchange},
    extended, plain,
    request::Request,
    wire::Dialect,
};
use crate::outcome::Outcome;
use core::net::SocketAddr;

/// Answers the message in `buffer[..length]`, which came by `exchange`, by writing the reply over it.
///
/// | reply | length in bytes |
/// |---|---|
/// | success, plain service | 32 over IPv4, 44 over IPv6; 8 more if the request has a FINGERPRINT |
/// | error | at most the request's, or 36 (44 with FINGERPRINT), whichever is more |
/// | redirection (300) | at most the request's |
/// | challenge of long-term credentials (RFC 8489 §9.2.4) | 68 and the realm, padded to four; 8 more with FINGERPRINT; whatever the request's length |
/// | to an authenticated request | MESSAGE-INTEGRITY (24) or MESSAGE-INTEGRITY-SHA256 (36) more; the request has it too |
///
/// SOFTWARE, and at the four endpoints of NAT behaviour discovery three more addresses, make a success
/// longer; both are the operator's choice. PADDING never makes a reply longer than its request, except by its
/// 4-byte header.
///
/// The checks of RFC 8489 §6.3, in the order in which they decide the outcome: at least 20 bytes and two
/// leading zero bits; length; method; class; magic cookie; each attribute and FINGERPRINT as they stand; the
/// FINGERPRINT's value; unknown comprehension-required attributes. All but the last end in silence. Silence
/// leaves the buffer as it was.
#[inline(always)]
pub fn respond<D: FnOnce() -> SocketAddr>(
    buffer: &mut [u8],
    length: usize,
    exchange: Exchange<'_, D>,
    policy: &Policy,
) -> Answer {
    let Some(message) = buffer.get(..length) else {
        return Answer::silence(Outcome::NoRoom);
    };
    let request = match Request::parse(message, policy.classic) {
        Ok(request) => request,
        Err(outcome) => return Answer::silence(outcome),
    };
    if request.is_extended || policy.extras.is_some() {
        // Pass copies by reference: borrowing the originals would force them to the stack on the fast path
        // too.
        let source = *exchange.source;
        let Exchange { destination, transport, .. } = exchange;
        let exchange = Exchange { source: &source, destination: destination(), transport };
        return extended::respond(buffer, &{ request }, &exchange, policy);
    }
    let outcome = match request.dialect {
        Dialect::Cookie => Outcome::Answered,
        Dialect::Classic => Outcome::AnsweredClassic,
    };
    let Some(room) = buffer.first_chunk_mut() else {
        return Answer::silence(Outcome::NoRoom);
    };
    Answer::reply(outcome, plain::write(room, request.dialect, exchange.source, request.fingerprint))
}
