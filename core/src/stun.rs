//! The protocol core: one function over memory, that both data paths, the fuzzers and the benches
//! call. It knows no Ethernet, sockets, clocks, threads or logs. What is not behind a switch needs nothing
//! but `core`.

mod attributes;
mod considered;
mod crc;
pub mod credentials;
mod discovery;
mod guard;
pub mod integrity;
mod policy;
mod reply;
mod request;
mod wishes;
mod writer;

pub use discovery::{Change, Discovery};
pub use policy::{AlternateServer, Extras, Policy, Software};

use crate::outcome::Outcome;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use request::{Dialect, Request};

/// The way by which a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a, D> {
    /// Who sent it. An IPv4-mapped address is answered as IPv4.
    pub source: &'a SocketAddr,
    /// Which address and port of this host was asked. As an argument of [`respond`], something that
    /// finds it out, since most requests need not know it.
    pub destination: D,
    /// What carried it.
    pub transport: Transport,
}

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: the source may be forged, and a reply can leave from another endpoint.
    Datagram,
    /// A stream in the clear (TCP): the source has proven that it is there, and a reply goes back on the
    /// stream.
    Stream,
    /// The same under TLS, by which the client knows the server (RFC 8489 §6.2.3).
    Tls,
}

impl<'a, D: FnOnce() -> SocketAddr> Exchange<'a, D> {
    /// A datagram from `source` to what `destination` gives.
    #[inline(always)]
    pub fn datagram(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Datagram }
    }

    /// A message on a stream from `source` to what `destination` gives.
    #[inline(always)]
    pub fn stream(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Stream }
    }

    /// A message under TLS from `source` to what `destination` gives.
    #[inline(always)]
    pub fn tls(source: &'a SocketAddr, destination: D) -> Self {
        Exchange { source, destination, transport: Transport::Tls }
    }
}

/// How a request ended, and the reply that now stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The end of it.
    pub outcome: Outcome,
    /// Bytes of the reply; 0 where silence is the answer.
    pub length: usize,
    /// Where the reply leaves from, if not from the endpoint that was asked: [`Policy::origin`] tells the
    /// address (RFC 5780 §6.1).
    pub change: Change,
    /// Port of the source that the reply goes to, if not the one it asked from (RFC 5780 §7.5).
    pub port: Option<NonZeroU16>,
}

impl Answer {
    /// Silence, for this reason.
    pub const fn silence(outcome: Outcome) -> Self {
        Answer::reply(outcome, 0)
    }

    /// A reply of this length, back the way that the request came.
    pub(crate) const fn reply(outcome: Outcome, length: usize) -> Self {
        Answer { outcome, length, change: Change { address: false, port: false }, port: None }
    }

    /// Whether the reply leaves from or goes to anywhere but where the request went to or came from.
    #[inline]
    pub fn is_diverted(&self) -> bool {
        self.change.any() || self.port.is_some()
    }
}

/// Bytes that a buffer must have from the start of the message on for any reply to fit, however short
/// the message. No reply is longer than that, unless its request is.
pub const REPLY_ROOM: usize = 256;

/// Answers the message in `buffer[..length]`, which came by `exchange`, by writing the reply over it.
///
/// A bare request over IPv4 gets 32 bytes, over IPv6 44, either 8 more where the request has a
/// FINGERPRINT. An error reply is no longer than its request or 36 bytes (44 with FINGERPRINT),
/// whichever is more, a redirection (300) no longer than its request. What makes a success reply longer
/// is the operator's choice: SOFTWARE, and at the four endpoints of NAT behaviour discovery three
/// addresses more. PADDING makes no reply longer than its request that is not so without it, but for
/// its header of 4 bytes. Long-term credentials make the greatest exception, which RFC 8489 §9.2.4 asks
/// for: the challenge is 68 bytes and the realm, padded to four (and 8 with FINGERPRINT), whatever the
/// request. The reply to a proven request grows by MESSAGE-INTEGRITY (24 bytes) or
/// MESSAGE-INTEGRITY-SHA256 (36), which the request then has too.
///
/// The checks of RFC 8489 §6.3, in the order in which they decide the outcome: at least 20 bytes and
/// two leading zero bits; length; method; class; magic cookie; each attribute and FINGERPRINT as they
/// stand; the FINGERPRINT's value; unknown comprehension-required attributes. All but the last end in
/// silence. Where the reply is silence the buffer is as it was.
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
    let request = match Request::parse(message, policy) {
        Ok(request) => request,
        Err(outcome) => return Answer::silence(outcome),
    };
    if request.is_unusual || policy.extras.is_some() {
        // Copies are lent, so that what the usual way uses can stay in registers.
        let source = *exchange.source;
        let Exchange { destination, transport, .. } = exchange;
        let exchange = Exchange { source: &source, destination: destination(), transport };
        return considered::respond(buffer, &{ request }, &exchange, policy);
    }
    let Some(room) = buffer.first_chunk_mut::<REPLY_ROOM>() else {
        return Answer::silence(Outcome::NoRoom);
    };
    let outcome = match request.dialect {
        Dialect::Cookie => Outcome::Answered,
        Dialect::Classic => Outcome::AnsweredClassic,
    };
    Answer::reply(outcome, reply::success(room, &request, exchange.source))
}

#[cfg(test)]
mod tests;
