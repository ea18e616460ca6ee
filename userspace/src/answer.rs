//! Frame in, frame out: the seam of the data path, its tests, fuzzers and benches.

use crate::{outcome::Outcome, served::Served, stun::Policy};

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAnswer {
    /// The end of it.
    pub outcome: Outcome,
    /// Bytes of the frame to transmit, 0 for none.
    pub length: usize,
    /// The UDP checksum was only begun (a local sender with transmit offload).
    pub unfinished_checksum: bool,
}

/// Answers the frame in `buffer[..length]` by turning it into the reply in place.
pub fn answer(_buffer: &mut [u8], _length: usize, _served: &Served, _policy: &Policy) -> FrameAnswer {
    FrameAnswer { outcome: Outcome::BadFrame, length: 0, unfinished_checksum: false }
}
