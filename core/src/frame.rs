//! Ethernet, IP and UDP: headers checked on the way in and turned around on the way out. Knows no STUN.
//!
//! The kernel's own checks are bypassed for these frames, so all of them are made here, again from the
//! frame alone: another XDP program than ours may have redirected it.

mod check;
pub mod checksum;
mod divert;
mod reply;

pub use check::{FrameRequest, check, locate};
pub use divert::destination;
pub(crate) use divert::divert;
pub use reply::{turn_around, turn_around_anew};

/// Offsets and lengths of headers. Those of IPv4, IPv6 and UDP count from their own header's start.
mod field {
    pub(super) const MAC: usize = 6;
    pub(super) const MACS: usize = 2 * MAC;
    pub(super) const GROUP_BIT: u8 = 0x01;

    pub(super) const IPV4_HEADER: usize = 20;
    pub(super) const IPV4_ADDRESSES: usize = 12;
    pub(super) const IPV6_HEADER: usize = 40;
    pub(super) const IPV6_ADDRESSES: usize = 8;

    pub(super) const UDP_HEADER: usize = 8;
    pub(super) const PROTOCOL_UDP: u16 = 17;
}
