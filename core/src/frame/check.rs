//! The way in.

use super::{checksum::Sum, field};
use crate::classify::{Datagram, ReadFrame, Verdict, Version, classify};
use crate::{
    outcome::Outcome,
    served::Served,
    source::{self, Seen},
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the reply needs of a datagram that may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRequest {
    /// Who sent it.
    pub source: SocketAddr,
    /// The UDP checksum is only the pseudo header's sum, as a local sender with transmit checksum
    /// offload leaves it.
    pub unfinished_checksum: bool,
    /// Sum of both IP addresses: the same when they are swapped.
    pub(super) addresses: Sum,
}

/// Finds the datagram in a frame that was redirected here as one for a served endpoint.
///
/// # Errors
/// The reason for which it is dropped.
#[inline(always)]
pub fn locate(frame: &[u8], served: &Served) -> Result<Datagram, Outcome> {
    match frame.first_chunk() {
        Some(start) => classify(&Whole { start, frame }, served).map_err(outcome),
        None => locate_short(frame, served),
    }
}

#[cold]
fn locate_short(frame: &[u8], served: &Served) -> Result<Datagram, Outcome> {
    classify(frame, served).map_err(outcome)
}

/// Bytes of the shortest frame with a request in it: Ethernet, IPv4, UDP and the header of STUN. The headers
/// of IPv6 and UDP fit in them too.
const SHORTEST: usize = 62;

/// A frame that is long enough to have all headers, and whose headers are therefore read without a check of
/// its bounds for each field.
struct Whole<'a> {
    start: &'a [u8; SHORTEST],
    frame: &'a [u8],
}

impl ReadFrame for Whole<'_> {
    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.frame.len() >= end
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        if offset + N <= SHORTEST { self.start[offset..].first_chunk() } else { self.frame.bytes(offset) }
    }
}

/// Checks what [`locate`] found, as the kernel would have, and that it may be answered.
///
/// # Errors
/// The reason for which it is dropped.
#[inline(always)]
pub fn check(frame: &[u8], datagram: Datagram, served: &Served) -> Result<FrameRequest, Outcome> {
    let Datagram { shape, udp_length } = datagram;
    let udp = frame.get(shape.udp()..shape.udp() + usize::from(udp_length)).ok_or(Outcome::BadFrame)?;
    if frame.get(field::MAC).is_none_or(|first| first & field::GROUP_BIT != 0) {
        return Err(Outcome::GroupSourceMac);
    }
    let (header, _) = udp.split_first_chunk::<{ field::UDP_HEADER }>().ok_or(Outcome::BadFrame)?;
    let &[s0, s1, _, _, _, _, c0, c1] = header;
    let port = u16::from_be_bytes([s0, s1]);
    let checksum = u16::from_ne_bytes([c0, c1]);
    let (ip, addresses, unfinished_checksum) = match shape.version() {
        Version::V4 => {
            let (ip, addresses) = ipv4(frame, shape.ip())?;
            // RFC 768: with 0 there the sender computed none.
            let unfinished = checksum != 0 && udp_checksum(udp, checksum, addresses)?;
            (IpAddr::V4(ip), addresses, unfinished)
        }
        Version::V6 => {
            let (ip, addresses) = ipv6(frame, shape.ip())?;
            // RFC 8200 §8.1: IPv6 has no checksum of its own, so one here is required.
            if checksum == 0 {
                return Err(Outcome::NoUdpChecksum);
            }
            let unfinished = udp_checksum(udp, checksum, addresses)?;
            (IpAddr::V6(ip), addresses, unfinished)
        }
    };
    source::judge(&ip, port, Seen::OnTheWire, served)?;
    Ok(FrameRequest { source: SocketAddr::new(ip, port), unfinished_checksum, addresses })
}

/// The worker's word for the classifier's reason.
#[cold]
fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::OtherAddress | Verdict::OtherPort | Verdict::OtherHost => Outcome::NotServed,
        _ => Outcome::BadFrame,
    }
}

/// Source address, and the sum of both addresses, of a header whose checksum is right.
#[inline(always)]
fn ipv4(frame: &[u8], offset: usize) -> Result<(Ipv4Addr, Sum), Outcome> {
    let header: &[u8; field::IPV4_HEADER] =
        frame.get(offset..).and_then(<[u8]>::first_chunk).ok_or(Outcome::BadFrame)?;
    let (before, addresses) = header.split_at(field::IPV4_ADDRESSES);
    let sum = Sum::default().bytes(addresses);
    if !sum.bytes(before).is_right() {
        return Err(Outcome::BadIpChecksum);
    }
    let &[.., s0, s1, s2, s3, _, _, _, _] = header;
    Ok((Ipv4Addr::new(s0, s1, s2, s3), sum))
}

/// Source address, and the sum of both addresses.
#[inline(always)]
fn ipv6(frame: &[u8], offset: usize) -> Result<(Ipv6Addr, Sum), Outcome> {
    let header: &[u8; field::IPV6_HEADER] =
        frame.get(offset..).and_then(<[u8]>::first_chunk).ok_or(Outcome::BadFrame)?;
    let (_, addresses) = header.split_at(field::IPV6_ADDRESSES);
    let source: &[u8; 16] = addresses.first_chunk().ok_or(Outcome::BadFrame)?;
    Ok((Ipv6Addr::from(*source), Sum::default().bytes(addresses)))
}

/// Whether the checksum of `udp` is only begun; one that is wrong is an error.
#[inline(always)]
fn udp_checksum(udp: &[u8], checksum: u16, addresses: Sum) -> Result<bool, Outcome> {
    // classify took this length from a field of 16 bits.
    let pseudo_header = addresses.number(field::PROTOCOL_UDP).number(udp.len() as u16);
    if pseudo_header.bytes(udp).is_right() {
        Ok(false)
    } else if checksum == pseudo_header.folded() {
        Ok(true)
    } else {
        Err(Outcome::BadUdpChecksum)
    }
}

#[cfg(test)]
mod tests {
    use super::{SHORTEST, Whole};
    use crate::classify::ReadFrame;
    use std::vec::Vec;

    fn read_alike<const N: usize>(frame: &[u8]) {
        let whole = Whole { start: frame.first_chunk().unwrap(), frame };
        for offset in 0..frame.len() + 2 {
            assert_eq!(whole.bytes::<N>(offset), frame.bytes::<N>(offset), "{N} bytes at {offset}");
        }
    }

    /// Also across the end of what is read without a check.
    #[test]
    fn a_whole_frame_is_read_like_any_other() {
        let frame: Vec<u8> = (0..SHORTEST as u8 + 20).collect();
        read_alike::<1>(&frame);
        read_alike::<2>(&frame);
        read_alike::<6>(&frame);
        read_alike::<16>(&frame);
    }
}
