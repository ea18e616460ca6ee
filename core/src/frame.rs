//! Ethernet, IP and UDP: checks the headers of a request and rewrites them for the reply. Knows no STUN.
//!
//! These frames bypass the checks of the kernel's stack, so all of them are made here, from the frame alone:
//! another XDP program than ours may have redirected it.

mod check;
pub mod checksum;
mod divert;
mod reply;

pub use check::{FrameRequest, check, locate};
pub use divert::destination;
#[cfg(feature = "alloc")]
pub(crate) use divert::divert;
pub use reply::{rewrite, rewrite_diverted};

/// Offsets and lengths of headers, in bytes. Offsets in IPv4, IPv6 and UDP count from the start of their own
/// header.
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
