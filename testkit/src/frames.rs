//! Ethernet frames with UDP datagrams, built by `etherparse`, which shares no code with the classifier; and [`cases`](fn@cases), a
//! table of frames with the verdict on each.

mod cases;

pub use cases::{Case, cases};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder, VlanId,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use xstun_core::served::Served;

/// Hardware address of the serving interface.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Served IPv4 address.
pub const IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Served IPv6 address.
pub const IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Served port of both addresses.
pub const PORT: u16 = 3478;
/// Hardware address of the client (or of the last router).
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The client over IPv4.
pub const CLIENT_IPV4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The client over IPv6.
pub const CLIENT_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
/// The client's port.
pub const CLIENT_PORT: u16 = 40_000;

/// A bare Binding request.
pub const REQUEST: [u8; 20] = [
    0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa,
    0x87, 0xdf, 0xae,
];

/// A host that serves both addresses on [`PORT`] and refuses no source.
pub fn served() -> Served {
    Served::new(MAC, [(IpAddr::V4(IPV4), PORT), (IpAddr::V6(IPV6), PORT)], [])
}

/// An Ethernet frame with a UDP datagram from the client to the served IPv4 address.
pub fn ipv4(payload: &[u8]) -> Vec<u8> {
    udp(ipv4_header(), Tag::None, payload)
}

/// An Ethernet frame with a UDP datagram from the client to the served IPv6 address.
pub fn ipv6(payload: &[u8]) -> Vec<u8> {
    udp(ipv6_header(), Tag::None, payload)
}

/// VLAN tags in front of the IP header.
#[derive(Clone, Copy, Debug)]
pub enum Tag {
    /// No tag.
    None,
    /// One IEEE 802.1Q tag with this VLAN ID.
    One(u16),
    /// An IEEE 802.1ad service tag and a customer tag.
    Two(u16, u16),
}

/// The IPv4 header of [`ipv4`], to be varied.
pub fn ipv4_header() -> IpHeaders {
    IpHeaders::Ipv4(
        Ipv4Header::new(0, 61, IpNumber::UDP, CLIENT_IPV4.octets(), IPV4.octets()).unwrap(),
        Ipv4Extensions::default(),
    )
}

/// The IPv6 header of [`ipv6`], to be varied.
pub fn ipv6_header() -> IpHeaders {
    let header = Ipv6Header {
        traffic_class: 0x20,
        flow_label: 0xabcde.try_into().unwrap(),
        payload_length: 0,
        next_header: IpNumber::UDP,
        hop_limit: 61,
        source: CLIENT_IPV6.octets(),
        destination: IPV6.octets(),
    };
    IpHeaders::Ipv6(header, Ipv6Extensions::default())
}

/// A frame from the client's port to [`PORT`] behind `ip` and `tag`; lengths and checksums are
/// etherparse's.
pub fn udp(ip: IpHeaders, tag: Tag, payload: &[u8]) -> Vec<u8> {
    udp_ports(ip, tag, CLIENT_PORT, PORT, payload)
}

/// As [`udp`], between any ports.
pub fn udp_ports(ip: IpHeaders, tag: Tag, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, MAC);
    let id = |id| VlanId::try_new(id).unwrap();
    let ip = match tag {
        Tag::None => ethernet.ip(ip),
        Tag::One(vlan) => ethernet.single_vlan(id(vlan)).ip(ip),
        Tag::Two(outer, inner) => ethernet.double_vlan(id(outer), id(inner)).ip(ip),
    };
    ip.udp(source, destination).write_to_vec(&mut frame, payload).unwrap();
    frame
}

/// `frame` with `bytes` written over it at `offset`.
pub fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// `frame` with zeros behind it, `length` bytes in all.
pub fn padded(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.resize(length, 0);
    frame
}
