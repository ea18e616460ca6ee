//! What the fuzz targets share: their inputs. The plain reference and the judge are the tests' own.
//!
//! Random bytes hardly ever have a right checksum. So the first byte of an input says what is mended
//! in the rest, and both the mended and the broken are met often.

mod mend;
pub mod targets;

pub use mend::{MEND_ALL, MEND_FINGERPRINT, MEND_IP, MEND_LENGTHS, MEND_UDP, frame, message};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes that a buffer has behind a frame or message, and what stands in them.
pub const ROOM: usize = 256;
/// The leavings of another frame.
pub const LEAVINGS: u8 = 0xa5;

/// A buffer of UMEM's kind that holds `bytes`, and room behind them.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = bytes.to_vec();
    chunk.resize(bytes.len() + ROOM, LEAVINGS);
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
