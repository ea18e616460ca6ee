//! From a request to its reply.

use super::{Policy, discovery::Change, extended, plain, request::Request, wire::Dialect};
use crate::outcome::Outcome;
use core::net::SocketAddr;
use core::num::NonZeroU16;

/// Source, destination and transport of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a, D> {
    /// Who sent it. An IPv4-mapped address is answered as IPv4.
    pub source: &'a SocketAddr,
    /// The address and port of this host that the message went to. [`respond`] takes a function that finds it out,
    /// since most requests need not know it.
    pub destination: D,
    /// What carried it.
    pub transport: Transport,
}

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: the source may be forged, and a reply can leave from another endpoint.
    Datagram,
    /// A stream in the clear (TCP): the handshake has proven the source, and a reply goes back on the stream.
    Stream,
    /// A stream under TLS, by which the client knows the server (RFC 8489 §6.2.3).
    Tls,
}

impl<'a, D: FnOnce() -> SocketAddr> Exchange<'a, D> {
    /// A datagram from `source` to what `destination` returns.
    #[inline(always)]
    pub fn datagram(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Datagram }
    }

    /// A message on a stream from `source` to what `destination` returns.
    #[inline(always)]
    pub fn stream(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Stream }
    }

    /// A message under TLS from `source` to what `destination` returns.
    #[inline(always)]
    pub fn tls(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Tls }
    }
}

/// The outcome of a request, and the length of the reply that now stands in its place.
///
/// Silence is a length of 0 and no variant of its own: the whole value then fits the registers in which a function
/// returns, which the fast path depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How the request ended.
    pub outcome: Outcome,
    /// Bytes of the reply; 0 for silence.
    pub length: usize,
    /// Where the reply leaves from, if not from the endpoint that was asked: [`Policy::origin`] returns the address
    /// (RFC 5780 §6.1).
    pub change: Change,
    /// Port of the source that the reply goes to, if not the one the request came from (RFC 5780 §7.5).
    pub port: Option<NonZeroU16>,
}

impl Answer {
    /// Silence, for this reason.
    pub(super) const fn silence(outcome: Outcome) -> Self {
        Answer::reply(outcome, 0)
    }

    /// A reply of this length, back the way that the request came.
    pub(super) const fn reply(outcome: Outcome, length: usize) -> Self {
        Answer { outcome, length, change: Change { address: false, port: false }, port: None }
    }

    /// Whether the reply leaves from or goes to anywhere but where the request went to or came from.
    #[inline]
    pub fn is_diverted(&self) -> bool {
        self.change.any() || self.port.is_some()
    }
}

/// Bytes that a buffer must have from the start of the message on for any reply to fit, however short the message. No
/// reply is longer than that, unless its request is.
pub const REPLY_ROOM: usize = 256;

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
/// SOFTWARE, and at the four endpoints of NAT behaviour discovery three more addresses, make a success longer; both are
/// the operator's choice. PADDING never makes a reply longer than its request, except by its 4-byte header.
///
/// The checks of RFC 8489 §6.3, in the order in which they decide the outcome: at least 20 bytes and two leading zero
/// bits; length; method; class; magic cookie; each attribute and FINGERPRINT as they stand; the FINGERPRINT's value;
/// unknown comprehension-required attributes. All but the last end in silence. Silence leaves the buffer as it was.
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
        // Pass copies by reference: borrowing the originals would force them to the stack on the fast path too.
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
