//! What [`respond`](fn@super::respond) takes beside the message, and what it returns.

use super::discovery::Change;
use crate::outcome::Outcome;
use core::net::SocketAddr;
use core::num::NonZeroU16;

/// Source, destination and transport of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a, D> {
    /// Who sent it. An IPv4-mapped address is answered as IPv4.
    pub source: &'a SocketAddr,
    /// The address and port of this host that the message went to. [`respond`](fn@super::respond) takes a
    /// function that finds it out, since most requests need not know it.
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
/// Silence is a length of 0 and no variant of its own: the whole value then fits the registers in which a
/// function returns, which the fast path depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How the request ended.
    pub outcome: Outcome,
    /// Bytes of the reply; 0 for silence.
    pub length: usize,
    /// Where the reply leaves from, if not from the endpoint that received the request:
    /// [`Policy::origin`](super::Policy::origin) returns the address (RFC 5780 §6.1).
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

/// Bytes that a buffer must have from the start of the message on for any reply to fit, however short the
/// message. No reply is longer than that, unless its request is.
pub const REPLY_ROOM: usize = 256;
