//! UDP datagrams in Ethernet frames, built and read by `etherparse`.

use super::Link;
use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, PacketBuilder, SlicedPacket, TransportSlice, VlanId,
};
use std::net::{IpAddr, SocketAddr};

/// The STUN port, on which the tests' servers answer.
pub const PORT: u16 = 3478;

/// Where a datagram comes from and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Hardware address that it comes from.
    pub source_mac: [u8; 6],
    /// Hardware address that it goes to.
    pub destination_mac: [u8; 6],
    /// Address and port that it comes from.
    pub source: SocketAddr,
    /// Address and port that it goes to.
    pub destination: SocketAddr,
    /// IEEE 802.1Q tag: VLAN ID 1 to 4094.
    pub vlan: Option<u16>,
}

impl Flow {
    /// From the link's client to its server, over IPv4.
    pub fn v4(link: &Link, source_port: u16) -> Self {
        Flow::new(link, link.client_v4.into(), source_port, link.server_v4.into())
    }

    /// From the link's client to its server, over IPv6.
    pub fn v6(link: &Link, source_port: u16) -> Self {
        Flow::new(link, link.client_v6.into(), source_port, link.server_v6.into())
    }

    fn new(link: &Link, source: IpAddr, source_port: u16, destination: IpAddr) -> Self {
        Flow {
            source_mac: link.client_mac,
            destination_mac: link.server_mac,
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, PORT),
            vlan: None,
        }
    }

    /// From another address of the same family.
    pub fn from(mut self, source: impl Into<IpAddr>) -> Self {
        self.source.set_ip(source.into());
        self
    }

    /// To another address of the same family.
    pub fn to(mut self, destination: impl Into<IpAddr>) -> Self {
        self.destination.set_ip(destination.into());
        self
    }

    /// To another port.
    pub fn to_port(mut self, port: u16) -> Self {
        self.destination.set_port(port);
        self
    }

    /// Behind a VLAN tag.
    pub fn in_vlan(mut self, id: u16) -> Self {
        self.vlan = Some(id);
        self
    }

    /// The IP header, to be varied.
    pub fn ip(&self) -> IpHeaders {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => IpHeaders::Ipv4(
                Ipv4Header::new(0, 64, IpNumber::UDP, source.octets(), destination.octets()).unwrap(),
                Ipv4Extensions::default(),
            ),
            (IpAddr::V6(source), IpAddr::V6(destination)) => IpHeaders::Ipv6(
                Ipv6Header {
                    next_header: IpNumber::UDP,
                    hop_limit: 64,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                },
                Ipv6Extensions::default(),
            ),
            mixed => panic!("one flow of two families: {mixed:?}"),
        }
    }

    /// The frame that carries `payload`; lengths and checksums are right.
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        self.frame_behind(self.ip(), payload)
    }

    /// The frame that carries `payload` behind a varied IP header.
    pub fn frame_behind(&self, ip: IpHeaders, payload: &[u8]) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(self.source_mac, self.destination_mac);
        let ip = match self.vlan {
            Some(id) => ethernet.single_vlan(VlanId::try_new(id).unwrap()).ip(ip),
            None => ethernet.ip(ip),
        };
        let mut frame = Vec::new();
        ip.udp(self.source.port(), self.destination.port()).write_to_vec(&mut frame, payload).unwrap();
        frame
    }

    /// The frames that carry `payload` in two fragments, cut after `first` bytes of UDP: a multiple of 8.
    pub fn fragments(&self, payload: &[u8], first: usize) -> Vec<Vec<u8>> {
        let whole = self.frame(payload);
        let (ethernet, udp) = (&whole[..14], &whole[self.udp_offset()..]);
        let fragment = |part: &[u8], offset: usize, more: bool| {
            let mut frame = ethernet.to_vec();
            let offset = IpFragOffset::try_new((offset / 8) as u16).unwrap();
            match self.ip() {
                IpHeaders::Ipv4(mut ip, _) => {
                    ip.identification = 4242;
                    ip.dont_fragment = false;
                    (ip.fragment_offset, ip.more_fragments) = (offset, more);
                    ip.set_payload_len(part.len()).unwrap();
                    ip.write(&mut frame).unwrap();
                }
                IpHeaders::Ipv6(mut ip, _) => {
                    let header = Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, 4242);
                    let mut extensions =
                        Ipv6Extensions { fragment: Some(header), ..Ipv6Extensions::default() };
                    ip.next_header = extensions.set_next_headers(IpNumber::UDP);
                    ip.set_payload_length(extensions.header_len() + part.len()).unwrap();
                    ip.write(&mut frame).unwrap();
                    extensions.write(&mut frame, ip.next_header).unwrap();
                }
            }
            frame.extend_from_slice(part);
            frame
        };
        let (before, behind) = udp.split_at(first);
        vec![fragment(before, 0, true), fragment(behind, first, false)]
    }

    /// Offset of the UDP header in a frame without tag, options or extension headers.
    pub fn udp_offset(&self) -> usize {
        if self.source.is_ipv4() { 14 + 20 } else { 14 + 40 }
    }

    /// Whether the datagram goes the other way between the same two endpoints and hosts.
    pub fn is_answered_by(&self, datagram: &Datagram) -> bool {
        datagram.source_mac == self.destination_mac
            && datagram.destination_mac == self.source_mac
            && datagram.source == self.destination
            && datagram.destination == self.source
            && datagram.vlan == self.vlan
    }
}

/// A UDP datagram as it was seen on the wire.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Hardware address that it comes from.
    pub source_mac: [u8; 6],
    /// Hardware address that it goes to.
    pub destination_mac: [u8; 6],
    /// ID of its VLAN tag, where it has exactly one.
    pub vlan: Option<u16>,
    /// Address and port that it comes from.
    pub source: SocketAddr,
    /// Address and port that it goes to.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub hops: u8,
    /// The UDP payload.
    pub payload: Vec<u8>,
    /// Whether the UDP checksum, and the IPv4 header's, are there and right.
    pub checksums_hold: bool,
    /// Bytes of the frame.
    pub length: usize,
}

impl Datagram {
    /// Reads a frame; `None` where it carries no whole UDP datagram.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(TransportSlice::Udp(udp)) = &packet.transport else { return None };
        let Some(etherparse::LinkSlice::Ethernet2(ethernet)) = &packet.link else { return None };
        let checksum = udp.to_header();
        let (source, destination, hops, expected, ip_holds): (IpAddr, IpAddr, u8, u16, bool) = match packet
            .net
            .as_ref()?
        {
            etherparse::NetSlice::Ipv4(ip) => {
                let header = ip.header();
                let expected = checksum
                    .calc_checksum_ipv4_raw(header.source(), header.destination(), udp.payload())
                    .ok()?;
                let holds = header.header_checksum() == header.to_header().calc_header_checksum();
                (header.source_addr().into(), header.destination_addr().into(), header.ttl(), expected, holds)
            }
            etherparse::NetSlice::Ipv6(ip) => {
                let header = ip.header();
                let expected = checksum
                    .calc_checksum_ipv6_raw(header.source(), header.destination(), udp.payload())
                    .ok()?;
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    header.hop_limit(),
                    expected,
                    true,
                )
            }
            etherparse::NetSlice::Arp(_) => return None,
        };
        Some(Datagram {
            source_mac: ethernet.source(),
            destination_mac: ethernet.destination(),
            vlan: packet.vlan().map(|vlan| vlan.to_header()).and_then(|vlan| match vlan {
                etherparse::VlanHeader::Single(tag) => Some(tag.vlan_id.value()),
                etherparse::VlanHeader::Double(_) => None,
            }),
            source: SocketAddr::new(source, udp.source_port()),
            destination: SocketAddr::new(destination, udp.destination_port()),
            hops,
            payload: udp.payload().to_vec(),
            checksums_hold: ip_holds && checksum.checksum != 0 && checksum.checksum == expected,
            length: frame.len(),
        })
    }
}
