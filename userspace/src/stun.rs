//! The protocol core: one function over memory, that both data paths, the fuzzers and the benches
//! call. It knows no Ethernet, sockets, clocks, threads or logs. What is not behind a switch needs nothing
//! but `core`.

mod attributes;
mod crc;
pub mod credentials;
mod guard;
pub mod integrity;
mod reply;
mod request;

use crate::outcome::Outcome;
use attributes::Unknown;
use core::net::SocketAddr;
use credentials::Credentials;
use request::{Dialect, HEADER, Request};
use std::sync::Arc;

/// What the operator chose where the RFCs leave room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Answer requests without magic cookie, as RFC 8489 §12 asks of a stand-alone server.
    pub classic: bool,
    /// Answer only who may ask (RFC 8489 §9). A request without magic cookie cannot prove that, and gets
    /// silence.
    pub credentials: Option<Arc<Credentials>>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { classic: true, credentials: None }
    }
}

/// How a request ended, and the length of the reply that now stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The end of it.
    pub outcome: Outcome,
    /// Bytes of the reply; 0 where silence is the answer.
    pub length: usize,
}

impl Answer {
    /// Silence, for this reason.
    pub const fn silence(outcome: Outcome) -> Self {
        Answer { outcome, length: 0 }
    }
}

/// Bytes that a buffer must have from the start of the message on for any reply to fit, however
/// short the message. A reply longer than that does not exist, and none is longer than its request
/// unless the request is shorter than 52 bytes.
pub const REPLY_ROOM: usize = 128;

/// Answers the message in `buffer[..length]`, which came from `source`, by writing the reply over it.
///
/// A bare request over IPv4 gets 32 bytes, over IPv6 44, either 8 more where the request has a
/// FINGERPRINT. An error reply is no longer than its request or 36 bytes (44 with FINGERPRINT),
/// whichever is more. An IPv4-mapped `source` is answered as IPv4.
///
/// The checks of RFC 8489 §6.3, in the order in which they decide the outcome: at least 20 bytes and
/// two leading zero bits; length; method; class; magic cookie; each attribute and FINGERPRINT as they
/// stand; the FINGERPRINT's value; unknown comprehension-required attributes. All but the last end in
/// silence. Where the reply is silence the buffer is as it was.
pub fn respond(buffer: &mut [u8], length: usize, source: &SocketAddr, policy: &Policy) -> Answer {
    let Some(message) = buffer.get(..length) else {
        return Answer::silence(Outcome::NoRoom);
    };
    let request = match Request::parse(message, policy) {
        Ok(request) => request,
        Err(outcome) => return Answer::silence(outcome),
    };
    if let Some(credentials) = &policy.credentials {
        return guard::respond(buffer, request, source, credentials, |buffer, request| {
            answer(buffer, request, source)
        });
    }
    answer(buffer, request, source)
}

/// Answers a request that is answered whatever comes.
#[inline(always)]
fn answer(buffer: &mut [u8], request: Request, source: &SocketAddr) -> Answer {
    if request.has_unknown {
        return reject(buffer, &request);
    }
    let Some(room) = buffer.first_chunk_mut::<REPLY_ROOM>() else {
        return Answer::silence(Outcome::NoRoom);
    };
    let outcome = match request.dialect {
        Dialect::Cookie => Outcome::Answered,
        Dialect::Classic => Outcome::AnsweredClassic,
    };
    Answer { outcome, length: reply::success(room, &request, source) }
}

/// Answers a request with attributes that had to be understood and are not.
#[cold]
fn reject(buffer: &mut [u8], request: &Request) -> Answer {
    // The reply stands where they do, so they are gathered before it is written.
    let attributes = buffer.get(HEADER..request.length).unwrap_or_default();
    let unknown = Unknown::of(attributes, request.dialect);
    match buffer.first_chunk_mut::<REPLY_ROOM>() {
        Some(room) => Answer {
            outcome: Outcome::UnknownAttribute,
            length: reply::unknown_attribute(room, request, unknown.types()),
        },
        None => Answer::silence(Outcome::NoRoom),
    }
}

#[cfg(test)]
mod tests;
