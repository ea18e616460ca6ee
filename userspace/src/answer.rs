//! Frame in, frame out: the seam of the data path, its tests, fuzzers and benches.

use crate::{
    frame::{self, Request},
    outcome::Outcome,
    served::Served,
    stun::{self, Answer, Exchange, Policy},
};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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
    let mut request = match frame::check(frame, served) {
        Ok(request) => request,
        Err(outcome) => return nothing(outcome, false),
    };
    let Some((headers, message)) = buffer.split_at_mut_checked(request.payload) else {
        return nothing(Outcome::NoRoom, false);
    };
    // Of a frame that was checked the destination can be read; nowhere is no endpoint of ours.
    let destination = || request.destination(headers).unwrap_or(NOWHERE);
    let exchange = Exchange::datagram(&request.source, destination);
    let reply = stun::respond(message, request.length, exchange, policy);
    if reply.length == 0 {
        return nothing(reply.outcome, request.unfinished_checksum);
    }
    if reply.is_diverted() && divert(buffer, &mut request, &reply, policy).is_none() {
        return nothing(Outcome::NoRoom, request.unfinished_checksum);
    }
    match frame::turn_around(buffer, &request, reply.length) {
        Some(length) => {
            FrameAnswer { outcome: reply.outcome, length, unfinished_checksum: request.unfinished_checksum }
        }
        None => nothing(Outcome::NoRoom, request.unfinished_checksum),
    }
}

/// Has the reply leave from and go to where RFC 5780 §6.1 says.
#[cold]
fn divert(buffer: &mut [u8], request: &mut Request, reply: &Answer, policy: &Policy) -> Option<()> {
    let origin = policy.origin(&request.destination(buffer)?, reply.change);
    let port = reply.port.map_or(request.source.port(), NonZeroU16::get);
    request.divert(buffer, origin, port)
}
