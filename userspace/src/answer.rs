//! Frame in, frame out: the seam of the data path, its tests, fuzzers and benches.

use crate::{
    frame,
    outcome::Outcome,
    served::Served,
    stun::{self, Policy},
};

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
///
/// A reply can be longer than its request: behind the headers the buffer must have
/// [`stun::REPLY_ROOM`] bytes. A UMEM chunk has them. Where there is no reply, the buffer is as it was.
pub fn answer(buffer: &mut [u8], length: usize, served: &Served, policy: &Policy) -> FrameAnswer {
    let nothing = |outcome, unfinished_checksum| FrameAnswer { outcome, length: 0, unfinished_checksum };
    let Some(frame) = buffer.get(..length) else {
        return nothing(Outcome::NoRoom, false);
    };
    let request = match frame::check(frame, served) {
        Ok(request) => request,
        Err(outcome) => return nothing(outcome, false),
    };
    let Some(message) = buffer.get_mut(request.payload..) else {
        return nothing(Outcome::NoRoom, false);
    };
    let reply = stun::respond(message, request.length, &request.source, policy);
    if reply.length == 0 {
        return nothing(reply.outcome, request.unfinished_checksum);
    }
    match frame::turn_around(buffer, &request, reply.length) {
        Some(length) => {
            FrameAnswer { outcome: reply.outcome, length, unfinished_checksum: request.unfinished_checksum }
        }
        None => nothing(Outcome::NoRoom, request.unfinished_checksum),
    }
}
