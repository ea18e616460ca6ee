//! Parses the inputs of the fuzz targets. The reference implementation and the judge are in the testkit.
//!
//! Random bytes hardly ever have a right checksum. So the first byte of an input has flags for what is
//! corrected in the rest, and both correct and incorrect inputs are frequent.

mod mend;
pub mod targets;

pub use mend::{MEND_ALL, MEND_FINGERPRINT, MEND_IP, MEND_LENGTHS, MEND_UDP, frame, message};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of room that a buffer has after a frame or message.
pub const ROOM: usize = 256;
/// The byte that fills the room, as if left over from another frame.
pub const FILLER: u8 = 0xa5;

/// Returns a buffer like a UMEM frame, with `bytes` and room after them.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = bytes.to_vec();
    chunk.resize(bytes.len() + ROOM, FILLER);
    chunk
}

/// Bytes of [`source`] in an input.
pub const SOURCE: usize = 19;

/// An address from an input: one byte for its kind (0 IPv4, 1 IPv6, 2 IPv4-mapped), 16 for the address,
/// of which IPv4 takes the first four, two for the port.
pub fn source(bytes: &[u8; SOURCE]) -> SocketAddr {
    let (&[kind, a, b, c, d, ..], [.., p0, p1]) = (bytes, bytes);
    let v4 = Ipv4Addr::new(a, b, c, d);
    let ip = match kind % 3 {
        0 => IpAddr::V4(v4),
        1 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[1..17]).unwrap())),
        _ => IpAddr::V6(v4.to_ipv6_mapped()),
    };
    SocketAddr::new(ip, u16::from_be_bytes([*p0, *p1]))
}
