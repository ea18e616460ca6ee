//! From a frame with a plain request to the frame that replies to it, over arrays of constant length: what the
//! XDP program calls.
//!
//! It runs the functions that [`answer`](crate::answer::answer) runs in user space (`frame::check`,
//! `stun::plain`, `frame::rewrite`), on a copy of the frame. Nothing is written to the frame before all of it is
//! verified, so a frame that is not answered here is redirected untouched.

use crate::classify::{Datagram, ReadFrame, Shape};
use crate::frame::{check, rewrite};
use crate::outcome::Outcome;
use crate::source::SourceRules;
use crate::stun::plain::{
    self, BARE_REQUEST, FINGERPRINTED_REPLY_IPV4, FINGERPRINTED_REPLY_IPV6, FINGERPRINTED_REQUEST,
    REPLY_IPV4, REPLY_IPV6, SOFTWARE_REQUEST,
};
use crate::stun::{Permission, PlainRequest};

const UDP_HEADER: usize = 8;

/// Length of the longest frame with a plain request or its reply: Ethernet, VLAN tag, IPv6, UDP, and the longest
/// reply.
const ROOM: usize = Shape::TaggedV6.udp() + UDP_HEADER + plain::ROOM;

/// A frame whose bytes can be replaced by those of a reply.
pub trait ReplaceFrame: ReadFrame {
    /// Replaces the frame by the `N` bytes of `reply`. Returns false if its buffer has no room for them; the
    /// bytes of the frame are then as they were.
    fn replace<const N: usize>(&mut self, reply: &[u8; N]) -> bool;
}

/// Why a frame is not answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It is no plain request, or `permission` does not include it, or it must not be answered at all: the
    /// worker decides.
    NotPlain,
    /// Its buffer has no room for the reply.
    NoRoom,
}

/// Answers a plain request at an endpoint with this `permission`: a Binding request that is bare, or has
/// FINGERPRINT alone, or SOFTWARE of 8 bytes and FINGERPRINT. `datagram` is what
/// [`classify`](crate::classify::classify) found in `frame`.
///
/// Returns [`Outcome::Answered`] or [`Outcome::AnsweredClassic`]; the frame is then the reply, byte for byte the
/// one that the worker would have sent.
///
/// # Errors
/// The frame is not answered; its bytes are as they were.
#[inline(always)]
pub fn answer_plain<F: ReplaceFrame + ?Sized, R: SourceRules + ?Sized>(
    frame: &mut F,
    datagram: Datagram,
    permission: Permission,
    rules: &R,
) -> Result<Outcome, Declined> {
    // One copy of the code for each length of frame, so that every offset is a constant.
    macro_rules! of_shape {
        ($shape:expr, $reply:expr, $fingerprinted:expr) => {
            match datagram.udp_length {
                BARE => answer_as::<{ length($shape, BARE_REQUEST) }, { length($shape, $reply) }, F, R>(
                    frame, $shape, BARE, permission, rules,
                ),
                FINGERPRINTED => answer_as::<
                    { length($shape, FINGERPRINTED_REQUEST) },
                    { length($shape, $fingerprinted) },
                    F,
                    R,
                >(frame, $shape, FINGERPRINTED, permission, rules),
                WITH_SOFTWARE => answer_as::<
                    { length($shape, SOFTWARE_REQUEST) },
                    { length($shape, $fingerprinted) },
                    F,
                    R,
                >(frame, $shape, WITH_SOFTWARE, permission, rules),
                _ => Err(Declined::NotPlain),
            }
        };
    }
    if !permission.may_answer() {
        return Err(Declined::NotPlain);
    }
    match datagram.shape {
        Shape::V4 => of_shape!(Shape::V4, REPLY_IPV4, FINGERPRINTED_REPLY_IPV4),
        Shape::V6 => of_shape!(Shape::V6, REPLY_IPV6, FINGERPRINTED_REPLY_IPV6),
        Shape::TaggedV4 => of_shape!(Shape::TaggedV4, REPLY_IPV4, FINGERPRINTED_REPLY_IPV4),
        Shape::TaggedV6 => of_shape!(Shape::TaggedV6, REPLY_IPV6, FINGERPRINTED_REPLY_IPV6),
    }
}

/// UDP lengths of the plain requests.
const BARE: u16 = (UDP_HEADER + BARE_REQUEST) as u16;
const FINGERPRINTED: u16 = (UDP_HEADER + FINGERPRINTED_REQUEST) as u16;
const WITH_SOFTWARE: u16 = (UDP_HEADER + SOFTWARE_REQUEST) as u16;

/// Length of a frame of this shape with a message of so many bytes.
const fn length(shape: Shape, message: usize) -> usize {
    shape.udp() + UDP_HEADER + message
}

/// Answers a frame of `REQUEST` bytes, whose `shape` and `udp_length` are constants at each call, with one of
/// `REPLY` bytes.
#[inline(always)]
fn answer_as<const REQUEST: usize, const REPLY: usize, F: ReplaceFrame + ?Sized, R: SourceRules + ?Sized>(
    frame: &mut F,
    shape: Shape,
    udp_length: u16,
    permission: Permission,
    rules: &R,
) -> Result<Outcome, Declined> {
    let mut room = [0; ROOM];
    let copy = room.first_chunk_mut::<REQUEST>().ok_or(Declined::NotPlain)?;
    *copy = *frame.bytes(0).ok_or(Declined::NotPlain)?;
    let request = check(copy, Datagram { shape, udp_length }, rules).map_err(not_plain)?;
    let (headers, message) = copy.split_at(shape.udp() + UDP_HEADER);
    // The worker knows what a partial checksum means, and counts it. In generic mode, the kernel would finish the
    // reply's checksum once more, also where the partial sum happens to be the right one.
    let &[.., c0, c1] = headers.last_chunk::<UDP_HEADER>().ok_or(Declined::NotPlain)?;
    if request.has_partial_sum(u16::from_ne_bytes([c0, c1]), udp_length) {
        return Err(Declined::NotPlain);
    }
    let plain = PlainRequest::parse(message, permission).ok_or(Declined::NotPlain)?;
    let message = room.get_mut(shape.udp() + UDP_HEADER..).and_then(<[u8]>::first_chunk_mut);
    let message = message.ok_or(Declined::NotPlain)?;
    let written = plain::write(message, plain.dialect, &request.source, plain.fingerprint);
    // `check` has refused the IPv4-mapped address that would get a shorter reply; the compiler and the verifier
    // do not know that.
    let expected = REPLY - (shape.udp() + UDP_HEADER);
    if written != expected {
        return Err(Declined::NotPlain);
    }
    rewrite(&mut room, shape, &request, expected).ok_or(Declined::NotPlain)?;
    let reply = room.first_chunk::<REPLY>().ok_or(Declined::NotPlain)?;
    if frame.replace(reply) { Ok(plain.outcome()) } else { Err(Declined::NoRoom) }
}

/// Whatever is wrong with a frame, the worker finds and counts it.
#[inline(always)]
fn not_plain(_: Outcome) -> Declined {
    Declined::NotPlain
}
