//! The protocol core: one function over memory, that both data paths, the fuzzers and the benches
//! call. It knows no Ethernet, sockets, clocks, threads or logs.

use crate::outcome::Outcome;
use core::net::SocketAddr;

/// What the operator chose where the RFCs leave room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Answer requests without magic cookie, as RFC 8489 §12 asks of a stand-alone server.
    pub classic: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { classic: true }
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

/// Room that the buffer must have beyond the request for any reply to fit.
pub const REPLY_ROOM: usize = 128;

/// Answers the message in `buffer[..length]`, which came from `source`, by writing the reply over it.
pub fn respond(_buffer: &mut [u8], _length: usize, _source: &SocketAddr, _policy: &Policy) -> Answer {
    Answer::silence(Outcome::NotStun)
}
