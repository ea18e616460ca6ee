//! From a frame to the frame that replies to it: what the AF_XDP worker, the fuzzers and the benches call.

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

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The outcome of a frame, and the length of the reply frame that now stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAnswer {
    /// How the datagram ended.
    pub outcome: Outcome,
    /// Bytes of the frame to transmit; 0 for none.
    pub length: usize,
    /// Whether the UDP checksum was partial, as a local sender with transmit checksum offload leaves it.
    pub unfinished_checksum: bool,
}

impl FrameAnswer {
    const fn nothing(outcome: Outcome, unfinished_checksum: bool) -> Self {
        FrameAnswer { outcome, length: 0, unfinished_checksum }
    }
}

/// Answers the frame in `buffer[..length]` by rewriting it in place into the reply.
///
/// A reply can be longer than its request: the buffer needs [`stun::REPLY_ROOM`] bytes after the headers,
/// which a UMEM frame has; otherwise the outcome is [`Outcome::NoRoom`]. Without a reply the buffer is
/// unchanged.
pub fn answer(buffer: &mut [u8], length: usize, served: &Served, policy: &Policy) -> FrameAnswer {
    let Some(frame) = buffer.get(..length) else {
        return FrameAnswer::nothing(Outcome::NoRoom, false);
    };
    let datagram = match frame::locate(frame, served) {
        Ok(datagram) => datagram,
        Err(outcome) => return FrameAnswer::nothing(outcome, false),
    };
    // With shape and length as constants, the compiler makes a copy of the code for each usual request. In it
    // every offset is a constant, bounds checks disappear and checksums need no loops. This is most of what
    // makes the fast path fast.
    let Datagram { shape, udp_length } = datagram;
    let fixed = |shape, udp_length| Datagram { shape, udp_length };
    match (shape, udp_length) {
        (Shape::V4, BARE) => answer_as(buffer, length, fixed(Shape::V4, BARE), served, policy),
        (Shape::V4, FINGERPRINTED) => {
            answer_as(buffer, length, fixed(Shape::V4, FINGERPRINTED), served, policy)
        }
        (Shape::V6, BARE) => answer_as(buffer, length, fixed(Shape::V6, BARE), served, policy),
        (Shape::V6, FINGERPRINTED) => {
            answer_as(buffer, length, fixed(Shape::V6, FINGERPRINTED), served, policy)
        }
        _ => answer_any(buffer, length, datagram, served, policy),
    }
}

#[inline(never)]
fn answer_any(
    buffer: &mut [u8],
    length: usize,
    datagram: Datagram,
    served: &Served,
    policy: &Policy,
) -> FrameAnswer {
    answer_as(buffer, length, datagram, served, policy)
}

#[inline(always)]
fn answer_as(
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
    // The destination of a checked frame can always be read; the unspecified address is no endpoint of ours.
    let destination = || frame::destination(headers, shape).unwrap_or(UNSPECIFIED);
    let exchange = Exchange::datagram(&request.source, destination);
    let reply = stun::respond(message, usize::from(datagram.udp_length) - UDP_HEADER, exchange, policy);
    if reply.length == 0 {
        return nothing(reply.outcome);
    }
    let rewritten = if reply.is_diverted() {
        divert(buffer, shape, &{ reply }, policy)
    } else {
        let length = reply.length;
        // Again a copy of the code for each usual length, for the checksum over the reply.
        match (shape.version(), length) {
            (Version::V4, REPLY_IPV4) => frame::rewrite(buffer, shape, &request, REPLY_IPV4),
            (Version::V4, FINGERPRINTED_REPLY_IPV4) => {
                frame::rewrite(buffer, shape, &request, FINGERPRINTED_REPLY_IPV4)
            }
            (Version::V6, FINGERPRINTED_REPLY_IPV6) => {
                frame::rewrite(buffer, shape, &request, FINGERPRINTED_REPLY_IPV6)
            }
            (Version::V6, REPLY_IPV6) => frame::rewrite(buffer, shape, &request, REPLY_IPV6),
            (_, length) => frame::rewrite(buffer, shape, &request, length),
        }
    };
    match rewritten {
        Some(length) => FrameAnswer { length, ..nothing(reply.outcome) },
        None => nothing(Outcome::NoRoom),
    }
}

/// Rewrites the frame so that the reply leaves from and goes to the endpoints that RFC 5780 §6.1 asks for.
#[cold]
fn divert(buffer: &mut [u8], shape: Shape, reply: &Answer, policy: &Policy) -> Option<usize> {
    let origin = policy.origin(&frame::destination(buffer, shape)?, reply.change);
    frame::divert(buffer, shape, origin, reply.port.map(NonZeroU16::get))?;
    frame::rewrite_diverted(buffer, shape, reply.length)
}
