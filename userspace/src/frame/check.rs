//! The way in.

use super::{checksum::Sum, field};
use crate::{outcome::Outcome, served::Served};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use xstun_ebpf::{Datagram, Verdict, Version, classify};

/// A datagram that may be answered: where it stands in its frame, and what the reply needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who sent it.
    pub source: SocketAddr,
    /// Offset of the UDP payload in the frame.
    pub payload: usize,
    /// Length of the UDP payload.
    pub length: usize,
    /// The UDP checksum is only the pseudo header's sum, as a local sender with transmit checksum
    /// offload leaves it.
    pub unfinished_checksum: bool,
    pub(super) datagram: Datagram,
    /// Sum of both IP addresses: the same when they are swapped.
    pub(super) addresses: Sum,
}

/// Checks a frame that was redirected here as one for a served endpoint.
///
/// # Errors
/// The reason for which it is dropped.
#[inline(always)]
pub fn check(frame: &[u8], served: &Served) -> Result<Request, Outcome> {
    let datagram = classify(frame, served).map_err(outcome)?;
    if frame.get(field::MAC).is_none_or(|first| first & field::GROUP_BIT != 0) {
        return Err(Outcome::GroupSourceMac);
    }
    let udp = frame.get(datagram.udp..datagram.udp + datagram.udp_length).ok_or(Outcome::BadFrame)?;
    let (header, _) = udp.split_first_chunk::<{ field::UDP_HEADER }>().ok_or(Outcome::BadFrame)?;
    let &[s0, s1, _, _, _, _, c0, c1] = header;
    let port = u16::from_be_bytes([s0, s1]);
    let checksum = u16::from_ne_bytes([c0, c1]);
    let (source, addresses, unfinished_checksum) = match datagram.version {
        Version::V4 => {
            let (ip, addresses) = ipv4(frame, datagram.ip)?;
            // RFC 768: with 0 there the sender computed none.
            let unfinished = checksum != 0 && udp_checksum(udp, checksum, addresses)?;
            // "This network" and loopback (RFC 1122 §3.2.1.3); multicast, class E and broadcast.
            let [first, ..] = ip.octets();
            if first == 0 || first == 127 || first >= 224 {
                return Err(Outcome::BadSource);
            }
            (SocketAddr::new(IpAddr::V4(ip), port), addresses, unfinished)
        }
        Version::V6 => {
            let (ip, addresses) = ipv6(frame, datagram.ip)?;
            // RFC 8200 §8.1: IPv6 has no checksum of its own, so one here is required.
            if checksum == 0 {
                return Err(Outcome::NoUdpChecksum);
            }
            let unfinished = udp_checksum(udp, checksum, addresses)?;
            // An IPv4-mapped address means something to a socket only, never on the wire (RFC 4942 §2.2).
            if ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() || ip.to_ipv4_mapped().is_some() {
                return Err(Outcome::BadSource);
            }
            (SocketAddr::new(IpAddr::V6(ip), port), addresses, unfinished)
        }
    };
    if served.refuses_source(&source.ip()) {
        return Err(Outcome::BadSource);
    }
    if port == 0 {
        return Err(Outcome::SourcePortZero);
    }
    Ok(Request {
        source,
        payload: datagram.udp + field::UDP_HEADER,
        length: datagram.udp_length - field::UDP_HEADER,
        unfinished_checksum,
        datagram,
        addresses,
    })
}

impl Request {
    /// The address and port that was asked, out of `frame`, whose headers are as they were.
    pub fn destination(&self, frame: &[u8]) -> Option<SocketAddr> {
        let header = frame.get(self.datagram.ip..self.datagram.udp)?;
        let ip: IpAddr = match self.datagram.version {
            Version::V4 => header.get(field::IPV4_ADDRESSES + 4..)?.first_chunk::<4>().copied()?.into(),
            Version::V6 => header.get(field::IPV6_ADDRESSES + 16..)?.first_chunk::<16>().copied()?.into(),
        };
        let &[_, _, p0, p1] = frame.get(self.datagram.udp..)?.first_chunk()?;
        Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1])))
    }

    /// Makes the request in `frame`, whose headers are as they were, one that came to `destination` from
    /// port `port` of its source, so that the reply to it leaves from there and goes to that port.
    /// `None` where the frame has no such headers, or `destination` is of the other version of IP.
    #[cold]
    pub fn divert(&mut self, frame: &mut [u8], destination: SocketAddr, port: u16) -> Option<()> {
        let ip = frame.get_mut(self.datagram.ip..self.datagram.udp)?;
        let addresses = match (self.datagram.version, destination.ip()) {
            (Version::V4, IpAddr::V4(address)) => {
                let addresses = ip.get_mut(field::IPV4_ADDRESSES..field::IPV4_HEADER)?;
                addresses.get_mut(4..)?.copy_from_slice(&address.octets());
                addresses
            }
            (Version::V6, IpAddr::V6(address)) => {
                let addresses = ip.get_mut(field::IPV6_ADDRESSES..field::IPV6_HEADER)?;
                addresses.get_mut(16..)?.copy_from_slice(&address.octets());
                addresses
            }
            _ => return None,
        };
        self.addresses = Sum::default().bytes(addresses);
        let ports: &mut [u8; 4] = frame.get_mut(self.datagram.udp..)?.first_chunk_mut()?;
        let ([p0, p1], [d0, d1]) = (port.to_be_bytes(), destination.port().to_be_bytes());
        *ports = [p0, p1, d0, d1];
        Some(())
    }
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
