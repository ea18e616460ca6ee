//! Checks a frame before it is answered.

use super::{checksum::Sum, field};
use crate::classify::{Datagram, ReadFrame, Serves, Verdict, Version, classify};
use crate::{
    outcome::Outcome,
    source::{self, Seen, SourceRules},
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A datagram that may be answered: what the reply needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRequest {
    /// Who sent it.
    pub source: SocketAddr,
    /// Whether the UDP checksum is partial: only the sum of the pseudo header, as a local sender with
    /// transmit checksum offload leaves it (CHECKSUM_PARTIAL).
    pub unfinished_checksum: bool,
    /// Sum of both IP addresses, which stays the same when they are swapped.
    pub(super) addresses: Sum,
}

impl FrameRequest {
    /// Whether the field of the UDP checksum holds the sum of the pseudo header alone. That can be the right
    /// checksum too: `unfinished_checksum` is then false.
    #[inline(always)]
    pub(crate) fn has_partial_sum(&self, checksum: u16, udp_length: u16) -> bool {
        checksum == self.addresses.number(field::PROTOCOL_UDP).number(udp_length).folded()
    }
}

/// Classifies a redirected frame again and returns the datagram in it.
///
/// # Errors
/// The outcome with which the frame is dropped.
#[inline(always)]
pub fn locate<S: Serves + ?Sized>(frame: &[u8], served: &S) -> Result<Datagram, Outcome> {
    match frame.first_chunk() {
        Some(start) => match classify(&Whole { start, frame }, served) {
            Ok((datagram, _)) => Ok(datagram),
            Err(verdict) => Err(outcome(verdict)),
        },
        None => locate_short(frame, served),
    }
}

#[cold]
fn locate_short<S: Serves + ?Sized>(frame: &[u8], served: &S) -> Result<Datagram, Outcome> {
    classify(frame, served).map(|(datagram, _)| datagram).map_err(outcome)
}

/// Length of the shortest frame with a request: Ethernet, IPv4, UDP and the STUN header. The headers of IPv6
/// and UDP fit into it too.
const SHORTEST: usize = 62;

/// A frame of at least [`SHORTEST`] bytes, so that its headers are read without a bounds check for each
/// field.
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

/// Makes the kernel's checks on what [`locate`] found, and decides by `rules` whether its source may be answered.
///
/// # Errors
/// The outcome with which the frame is dropped.
#[inline(always)]
pub fn check<R: SourceRules + ?Sized>(
    frame: &[u8],
    datagram: Datagram,
    rules: &R,
) -> Result<FrameRequest, Outcome> {
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
            // RFC 768: 0 means that the sender computed none.
            let unfinished = checksum != 0 && udp_checksum(udp, checksum, addresses)?;
            (IpAddr::V4(ip), addresses, unfinished)
        }
        Version::V6 => {
            let (ip, addresses) = ipv6(frame, shape.ip())?;
            // RFC 8200 §8.1: IPv6 has no header checksum, so the UDP checksum is required.
            if checksum == 0 {
                return Err(Outcome::NoUdpChecksum);
            }
            let unfinished = udp_checksum(udp, checksum, addresses)?;
            (IpAddr::V6(ip), addresses, unfinished)
        }
    };
    source::judge(&ip, port, Seen::OnTheWire, rules)?;
    Ok(FrameRequest { source: SocketAddr::new(ip, port), unfinished_checksum, addresses })
}

/// The worker's outcome for a verdict of the classifier.
#[cold]
fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::OtherAddress | Verdict::OtherPort | Verdict::OtherHost => Outcome::NotServed,
        _ => Outcome::BadFrame,
    }
}

/// Checks the header checksum; returns the source address and the sum of both addresses.
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

/// Returns the source address and the sum of both addresses.
#[inline(always)]
fn ipv6(frame: &[u8], offset: usize) -> Result<(Ipv6Addr, Sum), Outcome> {
    let header: &[u8; field::IPV6_HEADER] =
        frame.get(offset..).and_then(<[u8]>::first_chunk).ok_or(Outcome::BadFrame)?;
    let (_, addresses) = header.split_at(field::IPV6_ADDRESSES);
    let source: &[u8; 16] = addresses.first_chunk().ok_or(Outcome::BadFrame)?;
    Ok((Ipv6Addr::from(*source), Sum::default().bytes(addresses)))
}

/// Returns whether the checksum of `udp` is partial.
///
/// # Errors
/// The checksum is wrong.
#[inline(always)]
fn udp_checksum(udp: &[u8], checksum: u16, addresses: Sum) -> Result<bool, Outcome> {
    // The length comes from a field of 16 bits.
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
