//! The expected outcome and reply of a frame, computed by `etherparse` and the plain reference. It shares no code with
//! `classify`, `frame` and `stun`.

use crate::frames::{IPV4, IPV6, MAC, PORT};
use crate::reference;
use etherparse::checksum::Sum16BitWords;
use etherparse::{
    EtherType, IpHeaders, IpNumber, Ipv4Header, Ipv6Header, NetSlice, PacketBuilder, SlicedPacket,
    TransportSlice, UdpSlice,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use xstun_core::classify::MAX_FRAME;
use xstun_core::outcome::Outcome::{self, *};

/// A UDP datagram that is certainly for the served endpoint: one VLAN tag at the most, no IP options
/// and no extension headers, whole, and of one length in both headers.
pub struct Ours<'a> {
    frame: &'a [u8],
    packet: SlicedPacket<'a>,
    udp: UdpSlice<'a>,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
}

/// The datagram in `frame`, if it is one for an endpoint of [`crate::frames::served`].
pub fn ours(frame: &[u8]) -> Option<Ours<'_>> {
    let endpoints = [SocketAddr::new(IPV4.into(), PORT), SocketAddr::new(IPV6.into(), PORT)];
    addressed(frame).filter(|ours| endpoints.contains(&ours.destination))
}

/// The datagram in `frame`, if it is one for the hardware address of [`crate::frames::served`], whatever its
/// endpoint.
pub fn addressed(frame: &[u8]) -> Option<Ours<'_>> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Udp(udp)) = packet.transport.clone() else { return None };
    // etherparse accepts three tags, and more tag types.
    let tag = EtherType(u16::from_be_bytes([frame[12], frame[13]]));
    let is_tag = [EtherType::VLAN_TAGGED_FRAME, EtherType::PROVIDER_BRIDGING].contains(&tag);
    let tags = packet.link_exts.len();
    if tags > usize::from(is_tag) || frame[..6] != MAC || frame.len() > MAX_FRAME {
        return None;
    }
    let (source, destination, payload): (IpAddr, IpAddr, usize) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            if header.ihl() != 5 || ip.is_payload_fragmented() || !ip.extensions().is_empty() {
                return None;
            }
            let payload = usize::from(header.total_len()) - 20;
            (header.source_addr().into(), header.destination_addr().into(), payload)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            if header.next_header() != IpNumber::UDP {
                return None;
            }
            // etherparse reads 0 as a jumbogram, whose payload is the rest of the frame.
            let payload = usize::from(header.payload_length());
            (header.source_addr().into(), header.destination_addr().into(), payload)
        }
        NetSlice::Arp(_) => return None,
    };
    if usize::from(udp.length()) != payload || payload < 8 {
        return None;
    }
    let source = SocketAddr::new(source, udp.source_port());
    let destination = SocketAddr::new(destination, udp.destination_port());
    Some(Ours { frame, packet, udp, source, destination })
}

impl Ours<'_> {
    /// The UDP payload.
    pub fn payload(&self) -> &[u8] {
        self.udp.payload()
    }

    /// Whether the UDP checksum is the pseudo header's sum alone.
    pub fn is_unfinished(&self) -> bool {
        // The sum is taken over the words as they lie in memory.
        let begun = !sum(&[&self.pseudo_header()]);
        self.udp.checksum() != 0
            && !self.sums_up()
            && self.udp.checksum() == u16::from_be_bytes(begun.to_ne_bytes())
    }

    /// Why the datagram must not be answered, whatever its payload.
    pub fn fault(&self) -> Option<Outcome> {
        let absent = self.udp.checksum() == 0;
        if self.frame[6] & 1 == 1 {
            Some(GroupSourceMac)
        } else if let Some(NetSlice::Ipv4(ip)) = &self.packet.net
            && sum(&[ip.header().slice()]) != 0
        {
            Some(BadIpChecksum)
        } else if absent && self.source.is_ipv6() {
            Some(NoUdpChecksum)
        } else if !absent && !self.sums_up() && !self.is_unfinished() {
            Some(BadUdpChecksum)
        } else if is_unanswerable(self.source.ip()) {
            Some(BadSource)
        } else {
            (self.source.port() == 0).then_some(SourcePortZero)
        }
    }

    /// The frame that carries `payload` back, as another builder makes it.
    pub fn reply(&self, payload: &[u8]) -> Vec<u8> {
        self.reply_from(self.destination, self.source.port(), payload)
    }

    /// The frame that carries `payload` from `origin` to this port of the source.
    pub fn reply_from(&self, origin: SocketAddr, port: u16, payload: &[u8]) -> Vec<u8> {
        let header = match (origin.ip(), self.source.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = Ipv4Header::new(0, 64, IpNumber::UDP, from.octets(), to.octets()).unwrap();
                IpHeaders::Ipv4(header, Default::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let header = Ipv6Header {
                    next_header: IpNumber::UDP,
                    hop_limit: 64,
                    source: from.octets(),
                    destination: to.octets(),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, Default::default())
            }
            mixed => panic!("a reply of two families: {mixed:?}"),
        };
        let mac = |offset: usize| self.frame[offset..offset + 6].try_into().unwrap();
        let ethernet = PacketBuilder::ethernet2(mac(0), mac(6));
        let ip = match self.packet.vlan() {
            None => ethernet.ip(header),
            Some(tag) => ethernet.vlan(tag.to_header()).ip(header),
        };
        let mut frame = Vec::new();
        ip.udp(origin.port(), port).write_to_vec(&mut frame, payload).unwrap();
        // etherparse writes one type of single tag only.
        frame[12..14].copy_from_slice(&self.frame[12..14]);
        frame
    }

    fn sums_up(&self) -> bool {
        sum(&[&self.pseudo_header(), self.udp.slice()]) == 0
    }

    fn pseudo_header(&self) -> Vec<u8> {
        let addresses = match self.packet.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => ip.header().slice()[12..20].to_vec(),
            NetSlice::Ipv6(ip) => ip.header().slice()[8..40].to_vec(),
            NetSlice::Arp(_) => unreachable!("ARP carries no UDP"),
        };
        [&addresses[..], &[0, IpNumber::UDP.0], &self.udp.length().to_be_bytes()].concat()
    }
}

/// The outcome of `frame` at a server of [`crate::frames::served`], and the reply frame, empty for silence. `None` if
/// the frame is no datagram for that server.
pub fn answer(frame: &[u8], classic: bool) -> Option<(Outcome, Vec<u8>)> {
    let ours = ours(frame)?;
    if let Some(fault) = ours.fault() {
        return Some((fault, Vec::new()));
    }
    let (outcome, reply) = reference::respond(ours.payload(), ours.source, classic);
    Some((outcome, if reply.is_empty() { reply } else { ours.reply(&reply) }))
}

/// The complement of the Internet checksum's sum; 0 if the checksum is correct.
fn sum(parts: &[&[u8]]) -> u16 {
    parts.iter().fold(Sum16BitWords::new(), |sum, part| sum.add_slice(part)).ones_complement()
}

/// An address that no client can have: RFC 1122 §3.2.1.3, RFC 1112 §4, RFC 4291 §2.5, §2.7, RFC 4942 §2.2.
fn is_unanswerable(address: IpAddr) -> bool {
    let class_e = |ip: Ipv4Addr| ip >= Ipv4Addr::new(240, 0, 0, 0);
    let this_network = |ip: Ipv4Addr| ip < Ipv4Addr::new(1, 0, 0, 0);
    let none_or_mapped = |ip: Ipv6Addr| ip.is_unspecified() || ip.to_ipv4_mapped().is_some();
    address.is_loopback()
        || address.is_multicast()
        || match address {
            IpAddr::V4(ip) => class_e(ip) || this_network(ip),
            IpAddr::V6(ip) => none_or_mapped(ip),
        }
}
