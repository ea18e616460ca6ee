//! Frame in, frame out: the seam of the data path, its tests, fuzzers and benches.

use crate::classify::{Datagram, Shape, Version};
use crate::{
    frame,
    outcome::Outcome,
    served::Served,
    stun::{
        self, Answer, Exchange, Policy,
        plain::{
            BARE_REQUEST, FINGERPRINTED_REPLY_IPV4, FINGERPRINTED_REPLY_IPV6, FINGERPRINTED_REQUEST,
            REPLY_IPV4, REPLY_IPV6,
        },
    },
};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;

const UDP_HEADER: usize = 8;
/// UDP lengths of the requests that nearly every client sends: a bare one, and one with FINGERPRINT.
const BARE: u16 = (UDP_HEADER + BARE_REQUEST) as u16;
const FINGERPRINTED: u16 = (UDP_HEADER + FINGERPRINTED_REQUEST) as u16;

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

impl FrameAnswer {
    const fn nothing(outcome: Outcome, unfinished_checksum: bool) -> Self {
        FrameAnswer { outcome, length: 0, unfinished_checksum }
    }
}

/// Answers the frame in `buffer[..length]` by turning it into the reply in place.
///
/// A reply can be longer than its request: behind the headers the buffer must have
/// [`stun::REPLY_ROOM`] bytes. A UMEM chunk has them. Where there is no reply, the buffer is as it was.
pub fn answer(buffer: &mut [u8], length: usize, served: &Served, policy: &Policy) -> FrameAnswer {
    let Some(frame) = buffer.get(..length) else {
        return FrameAnswer::nothing(Outcome::NoRoom, false);
    };
    let datagram = match frame::locate(frame, served) {
        Ok(datagram) => datagram,
        Err(outcome) => return FrameAnswer::nothing(outcome, false),
    };
    // With shape and length as constants, the compiler makes a copy of the code for each of the usual
    // requests, in which every offset is known, every check of a bound is known to hold and sums are
    // taken without loops. This is most of what makes the fast path fast.
    let Datagram { shape, udp_length } = datagram;
    let at = |shape, udp_length| Datagram { shape, udp_length };
    match (shape, udp_length) {
        (Shape::V4, BARE) => turn(buffer, length, at(Shape::V4, BARE), served, policy),
        (Shape::V4, FINGERPRINTED) => turn(buffer, length, at(Shape::V4, FINGERPRINTED), served, policy),
        (Shape::V6, BARE) => turn(buffer, length, at(Shape::V6, BARE), served, policy),
        (Shape::V6, FINGERPRINTED) => turn(buffer, length, at(Shape::V6, FINGERPRINTED), served, policy),
        _ => turn_any(buffer, length, datagram, served, policy),
    }
}

#[inline(never)]
fn turn_any(
    buffer: &mut [u8],
    length: usize,
    datagram: Datagram,
    served: &Served,
    policy: &Policy,
) -> FrameAnswer {
    turn(buffer, length, datagram, served, policy)
}

#[inline(always)]
fn turn(
    buffer: &mut [u8],
    length: usize,
    datagram: Datagram,
    served: &Served,
    policy: &Policy,
) -> FrameAnswer {
    if buffer.len() < datagram.shape.udp() + UDP_HEADER + stun::REPLY_ROOM {
        return FrameAnswer::nothing(Outcome::NoRoom, false);
    }
    let Some(frame) = buffer.get(..length) else {
        return FrameAnswer::nothing(Outcome::NoRoom, false);
    };
    let request = match frame::check(frame, datagram, served) {
        Ok(request) => request,
        Err(outcome) => return FrameAnswer::nothing(outcome, false),
    };
    let nothing = |outcome| FrameAnswer::nothing(outcome, request.unfinished_checksum);
    let shape = datagram.shape;
    let Some((headers, message)) = buffer.split_at_mut_checked(shape.udp() + UDP_HEADER) else {
        return nothing(Outcome::NoRoom);
    };
    // Of a frame that was checked the destination can be read; nowhere is no endpoint of ours.
    let destination = || frame::destination(headers, shape).unwrap_or(NOWHERE);
    let exchange = Exchange::datagram(&request.source, destination);
    let reply = stun::respond(message, usize::from(datagram.udp_length) - UDP_HEADER, exchange, policy);
    if reply.length == 0 {
        return nothing(reply.outcome);
    }
    let turned = if reply.is_diverted() {
        turn_diverted(buffer, shape, &{ reply }, policy)
    } else {
        let length = reply.length;
        // Again a copy of the code for each usual length, for the checksum over the reply.
        match (shape.version(), length) {
            (Version::V4, REPLY_IPV4) => frame::turn_around(buffer, shape, &request, REPLY_IPV4),
            (Version::V4, FINGERPRINTED_REPLY_IPV4) => {
                frame::turn_around(buffer, shape, &request, FINGERPRINTED_REPLY_IPV4)
            }
            (Version::V6, FINGERPRINTED_REPLY_IPV6) => {
                frame::turn_around(buffer, shape, &request, FINGERPRINTED_REPLY_IPV6)
            }
            (Version::V6, REPLY_IPV6) => frame::turn_around(buffer, shape, &request, REPLY_IPV6),
            (_, length) => frame::turn_around(buffer, shape, &request, length),
        }
    };
    match turned {
        Some(length) => FrameAnswer { length, ..nothing(reply.outcome) },
        None => nothing(Outcome::NoRoom),
    }
}

/// Has the reply leave from and go to where RFC 5780 §6.1 says.
#[cold]
fn turn_diverted(buffer: &mut [u8], shape: Shape, reply: &Answer, policy: &Policy) -> Option<usize> {
    let origin = policy.origin(&frame::destination(buffer, shape)?, reply.change);
    frame::divert(buffer, shape, origin, reply.port.map(NonZeroU16::get))?;
    frame::turn_around_anew(buffer, shape, reply.length)
}
