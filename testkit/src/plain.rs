//! The XDP program's way to a reply, on the host.

use xstun_core::classify::{ReadFrame, classify};
use xstun_core::outcome::Outcome;
use xstun_core::plain_frame::{Declined, ReplaceFrame, answer_plain};
use xstun_core::served::Served;
use xstun_core::stun::Permission;

/// A frame in memory, whose buffer may have room for a reply.
struct HostFrame<'a> {
    frame: &'a [u8],
    has_room: bool,
    reply: Vec<u8>,
}

impl ReadFrame for HostFrame<'_> {
    fn holds(&self, end: usize) -> bool {
        self.frame.holds(end)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.frame.bytes(offset)
    }
}

impl ReplaceFrame for HostFrame<'_> {
    fn replace<const N: usize>(&mut self, reply: &[u8; N]) -> bool {
        if self.has_room {
            self.reply = reply.to_vec();
        }
        self.has_room
    }
}

/// The outcome of `frame` and its reply, if the XDP program may answer it with this `permission`.
///
/// # Errors
/// The frame is redirected; [`Declined::NotPlain`] also if it is passed.
pub fn answer_in_kernel(
    frame: &[u8],
    has_room: bool,
    served: &Served,
    permission: Permission,
) -> Result<(Outcome, Vec<u8>), Declined> {
    let (datagram, ()) = classify(frame, served).map_err(|_| Declined::NotPlain)?;
    let mut host = HostFrame { frame, has_room, reply: Vec::new() };
    let outcome = answer_plain(&mut host, datagram, permission, served)?;
    Ok((outcome, host.reply))
}
