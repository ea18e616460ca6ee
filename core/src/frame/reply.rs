//! Rewrites the headers of a request for its reply.

use super::{FrameRequest, checksum::Sum, field};
use crate::classify::{Shape, Version};

/// Hop limit of a reply: the default of RFC 1700 and of Linux.
const HOPS: u8 = 64;
/// Version 4, header length 5, type of service 0.
const IPV4_START: u16 = 0x4500;
/// Don't fragment. The identification is 0: RFC 6864 §4 asks for none on a datagram that is never fragmented.
const IPV4_DONT_FRAGMENT: u16 = 0x4000;
const IPV4_HOPS_AND_PROTOCOL: u16 = (HOPS as u16) << 8 | field::PROTOCOL_UDP;
/// Version 6, traffic class and flow label 0.
const IPV6_START: u32 = 6 << 28;

/// Rewrites the headers in `buffer`, a frame of this `shape`, for a reply of `length` bytes that stands where
/// `request` had its payload: swaps MAC addresses, IP addresses and ports, and sets lengths, hop limit and
/// checksums. A VLAN tag stays as it is.
///
/// Returns the length of the frame, which ends with the datagram; `None` if the buffer is too short.
#[inline(always)]
pub fn rewrite(buffer: &mut [u8], shape: Shape, request: &FrameRequest, length: usize) -> Option<usize> {
    rewrite_headers(buffer, shape, request.addresses, length)
}

/// The same for a frame whose addresses `divert` has changed since it was checked.
pub fn rewrite_diverted(buffer: &mut [u8], shape: Shape, length: usize) -> Option<usize> {
    let header = buffer.get(shape.ip()..shape.udp())?;
    let addresses = match shape.version() {
        Version::V4 => header.get(field::IPV4_ADDRESSES..)?,
        Version::V6 => header.get(field::IPV6_ADDRESSES..)?,
    };
    let addresses = Sum::default().bytes(addresses);
    rewrite_headers(buffer, shape, addresses, length)
}

#[inline(always)]
fn rewrite_headers(buffer: &mut [u8], shape: Shape, addresses: Sum, length: usize) -> Option<usize> {
    let udp_length = u16::try_from(field::UDP_HEADER + length).ok()?;
    let frame = buffer.get_mut(..shape.udp() + field::UDP_HEADER + length)?;
    let end = frame.len();
    let (macs, _) = frame.split_first_chunk_mut::<{ field::MACS }>()?;
    let (destination, source) = macs.split_at_mut(field::MAC);
    destination.swap_with_slice(source);
    let (ip, udp) = frame.get_mut(shape.ip()..)?.split_at_mut_checked(shape.udp() - shape.ip())?;
    match shape.version() {
        Version::V4 => ipv4(ip.first_chunk_mut()?, addresses, udp_length)?,
        Version::V6 => ipv6(ip.first_chunk_mut()?, udp_length),
    }
    udp_header(udp, addresses, udp_length)?;
    Some(end)
}

#[inline(always)]
fn ipv4(header: &mut [u8; field::IPV4_HEADER], addresses: Sum, udp_length: u16) -> Option<()> {
    let total = udp_length.checked_add(field::IPV4_HEADER as u16)?;
    let checksum = addresses
        .number(IPV4_START)
        .number(total)
        .number(IPV4_DONT_FRAGMENT)
        .number(IPV4_HOPS_AND_PROTOCOL)
        .checksum();
    let source: [u8; 4] = [header[12], header[13], header[14], header[15]];
    let destination: [u8; 4] = [header[16], header[17], header[18], header[19]];
    header[0..2].copy_from_slice(&IPV4_START.to_be_bytes());
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&[0; 2]);
    header[6..8].copy_from_slice(&IPV4_DONT_FRAGMENT.to_be_bytes());
    header[8..10].copy_from_slice(&IPV4_HOPS_AND_PROTOCOL.to_be_bytes());
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    header[12..16].copy_from_slice(&destination);
    header[16..20].copy_from_slice(&source);
    Some(())
}

#[inline(always)]
fn ipv6(header: &mut [u8; field::IPV6_HEADER], udp_length: u16) {
    header[0..4].copy_from_slice(&IPV6_START.to_be_bytes());
    header[4..6].copy_from_slice(&udp_length.to_be_bytes());
    // The next header is UDP already; otherwise we would not be replying.
    header[7] = HOPS;
    let (source, destination) = header[field::IPV6_ADDRESSES..].split_at_mut(16);
    source.swap_with_slice(destination);
}

#[inline(always)]
fn udp_header(udp: &mut [u8], addresses: Sum, udp_length: u16) -> Option<()> {
    let (header, payload) = udp.split_first_chunk_mut::<{ field::UDP_HEADER }>()?;
    let &mut [p0, p1, p2, p3, ..] = header;
    // Swap source and destination port.
    let ports = u32::from_ne_bytes([p0, p1, p2, p3]).rotate_left(16).to_ne_bytes();
    // The length counts twice: in the pseudo header and in the UDP header.
    let sum = addresses.number(field::PROTOCOL_UDP).number(udp_length).word(ports).number(udp_length);
    let checksum = match sum.bytes(payload).checksum() {
        // RFC 768: 0 would mean that there is no checksum; 0xffff is the same number in ones' complement.
        0 => 0xffff,
        checksum => checksum,
    };
    header[0..4].copy_from_slice(&ports);
    header[4..6].copy_from_slice(&udp_length.to_be_bytes());
    header[6..8].copy_from_slice(&checksum.to_ne_bytes());
    Some(())
}
