//! Frames with the verdict on each. `etherparse` builds only correct ones; the others are patched afterwards.
//!
//! Every frame has at least the 14 bytes of an Ethernet header, the least that the kernel's
//! `BPF_PROG_TEST_RUN` takes.

use super::*;
use etherparse::{
    EtherType, IpFragOffset, Ipv4Options, Ipv6FragmentHeader, Ipv6RawExtHeader, Ipv6RoutingExtensions,
};
use xstun_core::classify::{MAX_FRAME, Verdict};

const ETHERNET: usize = 14;
const IPV4_UDP: usize = ETHERNET + 20;
const IPV6_UDP: usize = ETHERNET + 40;

/// One frame and the verdict on it.
pub struct Case {
    /// What is special about the frame.
    pub name: &'static str,
    /// The frame from its destination MAC on.
    pub frame: Vec<u8>,
    /// `Ok` if the frame is ours, else why it goes to the kernel's stack.
    pub verdict: Result<(), Verdict>,
}

fn ipv4_with(change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let IpHeaders::Ipv4(mut header, extensions) = ipv4_header() else { unreachable!() };
    change(&mut header);
    udp(IpHeaders::Ipv4(header, extensions), Tag::None, &REQUEST)
}

fn ipv6_with(change: impl FnOnce(&mut Ipv6Header, &mut Ipv6Extensions)) -> Vec<u8> {
    let IpHeaders::Ipv6(mut header, mut extensions) = ipv6_header() else { unreachable!() };
    change(&mut header, &mut extensions);
    udp(IpHeaders::Ipv6(header, extensions), Tag::None, &REQUEST)
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

fn tcp(ip: IpHeaders) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, MAC)
        .ip(ip)
        .tcp(CLIENT_PORT, PORT, 1, 1024)
        .syn()
        .write_to_vec(&mut frame, &[])
        .unwrap();
    frame
}

fn ethertype(frame: Vec<u8>, ethertype: EtherType) -> Vec<u8> {
    patched(frame, 12, &ethertype.0.to_be_bytes())
}

fn case(name: &'static str, frame: Vec<u8>, verdict: Result<(), Verdict>) -> Case {
    Case { name, frame, verdict }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    [ours(), ethernet(), internet(), extensions(), endpoints(), lengths()].into_iter().flatten().collect()
}

fn ours() -> Vec<Case> {
    let whole = MAX_FRAME - IPV4_UDP - 8;
    vec![
        case("IPv4", ipv4(&REQUEST), Ok(())),
        case("IPv6", ipv6(&REQUEST), Ok(())),
        case("IPv4 behind a VLAN tag", udp(ipv4_header(), Tag::One(7), &REQUEST), Ok(())),
        case("IPv6 behind a VLAN tag", udp(ipv6_header(), Tag::One(7), &REQUEST), Ok(())),
        case("IPv4 behind a priority tag (VLAN 0)", udp(ipv4_header(), Tag::One(0), &REQUEST), Ok(())),
        case(
            "IPv4 behind a lone service tag",
            ethertype(udp(ipv4_header(), Tag::One(7), &REQUEST), EtherType::PROVIDER_BRIDGING),
            Ok(()),
        ),
        case("IPv4 that may be fragmented but is not", ipv4_with(|ip| ip.dont_fragment = false), Ok(())),
        case("IPv4 with the reserved flag set", patched(ipv4(&REQUEST), ETHERNET + 6, &[0x80, 0]), Ok(())),
        case(
            "IPv4 with TTL 1 and an ID",
            ipv4_with(|ip| (ip.time_to_live, ip.identification) = (1, 9)),
            Ok(()),
        ),
        case("IPv4 without payload", ipv4(&[]), Ok(())),
        case("IPv6 without payload", ipv6(&[]), Ok(())),
        case("IPv4 padded to the Ethernet minimum", padded(ipv4(&[]), 60), Ok(())),
        case("IPv6 padded", padded(ipv6(&REQUEST), 100), Ok(())),
        case("the longest frame", ipv4(&vec![0; whole]), Ok(())),
        case("one byte too long", ipv4(&vec![0; whole + 1]), Err(Verdict::TooLong)),
        case(
            "a short datagram padded too long",
            padded(ipv4(&REQUEST), MAX_FRAME + 1),
            Err(Verdict::TooLong),
        ),
        case("a wrong IPv4 header checksum", patched(ipv4(&REQUEST), ETHERNET + 10, &[0xde, 0xad]), Ok(())),
        case("a wrong UDP checksum", patched(ipv4(&REQUEST), IPV4_UDP + 6, &[0xde, 0xad]), Ok(())),
        case("a multicast IPv4 source", ipv4_with(|ip| ip.source = [224, 0, 0, 1]), Ok(())),
        case("a group Ethernet source", patched(ipv4(&REQUEST), 6, &[3]), Ok(())),
    ]
}

fn ethernet() -> Vec<Case> {
    let tagged = udp(ipv4_header(), Tag::One(7), &REQUEST);
    let mut three = udp(ipv4_header(), Tag::Two(7, 8), &REQUEST);
    three.splice(12..12, [0x88, 0xa8, 0, 9]);
    vec![
        case("another host's MAC", patched(ipv4(&REQUEST), 0, &[2, 0, 0, 0, 0, 9]), Err(Verdict::OtherHost)),
        case("the broadcast MAC", patched(ipv4(&REQUEST), 0, &[0xff; 6]), Err(Verdict::OtherHost)),
        case(
            "a multicast MAC",
            patched(ipv6(&REQUEST), 0, &[0x33, 0x33, 0, 0, 0, 1]),
            Err(Verdict::OtherHost),
        ),
        case("two VLAN tags", udp(ipv4_header(), Tag::Two(7, 8), &REQUEST), Err(Verdict::VlanDepth)),
        case("two VLAN tags, IPv6", udp(ipv6_header(), Tag::Two(7, 8), &REQUEST), Err(Verdict::VlanDepth)),
        case("three VLAN tags", three, Err(Verdict::VlanDepth)),
        case("ARP", ethertype(ipv4(&REQUEST), EtherType::ARP), Err(Verdict::NotIp)),
        case("ARP behind a VLAN tag", patched(tagged.clone(), 16, &[8, 6]), Err(Verdict::NotIp)),
        case("LLDP", ethertype(ipv4(&REQUEST), EtherType(0x88cc)), Err(Verdict::NotIp)),
        case("MACsec", ethertype(ipv4(&REQUEST), EtherType(0x88e5)), Err(Verdict::NotIp)),
        case("the old tag type 0x9100", ethertype(tagged.clone(), EtherType(0x9100)), Err(Verdict::NotIp)),
        case("IEEE 802.3 with a length", ethertype(ipv4(&REQUEST), EtherType(48)), Err(Verdict::NotIp)),
        case("an Ethernet header alone", cut(ipv4(&REQUEST), ETHERNET), Err(Verdict::Truncated)),
        case("cut in the VLAN tag", cut(tagged.clone(), ETHERNET + 3), Err(Verdict::Truncated)),
        case("cut after the VLAN tag", cut(tagged, ETHERNET + 4), Err(Verdict::Truncated)),
    ]
}

fn internet() -> Vec<Case> {
    let fragment = |offset, more| {
        ipv4_with(|ip| {
            ip.dont_fragment = false;
            ip.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            ip.more_fragments = more;
        })
    };
    let options = |bytes: &[u8]| ipv4_with(|ip| ip.options = Ipv4Options::try_from(bytes).unwrap());
    vec![
        case("IPv4's EtherType, version 6", patched(ipv4(&REQUEST), ETHERNET, &[0x65]), Err(Verdict::NotIp)),
        case("IPv6's EtherType, version 4", patched(ipv6(&REQUEST), ETHERNET, &[0x45]), Err(Verdict::NotIp)),
        case("IPv6 behind IPv4's EtherType", ethertype(ipv6(&REQUEST), EtherType::IPV4), Err(Verdict::NotIp)),
        case("IPv4 header length 4", patched(ipv4(&REQUEST), ETHERNET, &[0x44]), Err(Verdict::IpOptions)),
        case("IPv4 with no-operation options", options(&[1; 4]), Err(Verdict::IpOptions)),
        case("IPv4 with a router alert", options(&[0x94, 4, 0, 0]), Err(Verdict::IpOptions)),
        case("IPv4 with 40 bytes of options", options(&[1; 40]), Err(Verdict::IpOptions)),
        case("the first IPv4 fragment", fragment(0, true), Err(Verdict::Fragment)),
        case("a middle IPv4 fragment", fragment(64, true), Err(Verdict::Fragment)),
        case("the last IPv4 fragment", fragment(128, false), Err(Verdict::Fragment)),
        case("the last possible IPv4 fragment", fragment(0x1fff, false), Err(Verdict::Fragment)),
        case("TCP over IPv4", tcp(ipv4_header()), Err(Verdict::NotUdp)),
        case("TCP over IPv6", tcp(ipv6_header()), Err(Verdict::NotUdp)),
        case("ICMP over IPv4", patched(ipv4(&REQUEST), ETHERNET + 9, &[1]), Err(Verdict::NotUdp)),
        case("ICMP over IPv6", patched(ipv6(&REQUEST), ETHERNET + 6, &[58]), Err(Verdict::NotUdp)),
        case("UDP-Lite over IPv4", patched(ipv4(&REQUEST), ETHERNET + 9, &[136]), Err(Verdict::NotUdp)),
        case("no next header over IPv6", patched(ipv6(&REQUEST), ETHERNET + 6, &[59]), Err(Verdict::NotUdp)),
    ]
}

fn extensions() -> Vec<Case> {
    let raw = || Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
    let fragment = |offset, more| {
        ipv6_with(|_, extensions| {
            let offset = IpFragOffset::try_new(offset).unwrap();
            extensions.fragment = Some(Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, 1));
        })
    };
    let next = |header| patched(ipv6(&REQUEST), ETHERNET + 6, &[header]);
    let extension = Err(Verdict::ExtensionHeader);
    vec![
        case("hop-by-hop options", ipv6_with(|_, e| e.hop_by_hop_options = Some(raw())), extension),
        case("destination options", ipv6_with(|_, e| e.destination_options = Some(raw())), extension),
        case(
            "a routing header",
            ipv6_with(|_, e| {
                e.routing = Some(Ipv6RoutingExtensions { routing: raw(), final_destination_options: None });
            }),
            extension,
        ),
        case("an atomic IPv6 fragment", fragment(0, false), extension),
        case("the first IPv6 fragment", fragment(0, true), extension),
        case("a middle IPv6 fragment", fragment(64, true), extension),
        case("the last IPv6 fragment", fragment(128, false), extension),
        case("an authentication header", next(51), extension),
        case("an encrypted payload", next(50), extension),
        case("a mobility header", next(135), extension),
        case("a host identity header", next(139), extension),
        case("a shim6 header", next(140), extension),
    ]
}

fn endpoints() -> Vec<Case> {
    let other_v4 = |address| ipv4_with(|ip| ip.destination = address);
    let other_v6 =
        |address: &str| ipv6_with(|ip, _| ip.destination = address.parse::<Ipv6Addr>().unwrap().octets());
    let port = |ip, port| udp_ports(ip, Tag::None, CLIENT_PORT, port, &REQUEST);
    let (address, other_port) = (Err(Verdict::OtherAddress), Err(Verdict::OtherPort));
    vec![
        case("another IPv4 address", other_v4([192, 0, 2, 2]), address),
        case("the IPv4 broadcast address", other_v4([255; 4]), address),
        case("an IPv4 multicast address", other_v4([224, 0, 0, 1]), address),
        case("another IPv6 address", other_v6("2001:db8::2"), address),
        case("an IPv6 multicast address", other_v6("ff02::1"), address),
        case("the served IPv4 address as IPv4-mapped IPv6", other_v6("::ffff:192.0.2.1"), address),
        case("the served IPv4 address as an IPv6 prefix", other_v6("c000:201::"), address),
        case("another port over IPv4", port(ipv4_header(), 3479), other_port),
        case("another port over IPv6", port(ipv6_header(), 3479), other_port),
        case("port 0", port(ipv4_header(), 0), other_port),
        case("the port with its bytes swapped", port(ipv4_header(), PORT.swap_bytes()), other_port),
        case(
            "our port as the source only",
            udp_ports(ipv4_header(), Tag::None, PORT, CLIENT_PORT, &REQUEST),
            other_port,
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let v4 = ipv4(&REQUEST);
    let v6 = ipv6(&REQUEST);
    let (bad, truncated) = (Err(Verdict::BadLength), Err(Verdict::Truncated));
    vec![
        case("UDP shorter than the IPv4 payload", patched(v4.clone(), IPV4_UDP + 4, &[0, 27]), bad),
        case("UDP longer than the IPv4 payload", patched(v4.clone(), IPV4_UDP + 4, &[0, 29]), bad),
        case("UDP shorter than the IPv6 payload", patched(v6.clone(), IPV6_UDP + 4, &[0, 27]), bad),
        case("UDP longer than the IPv6 payload", patched(v6.clone(), IPV6_UDP + 4, &[0, 29]), bad),
        case("UDP length 0 over IPv4", patched(v4.clone(), IPV4_UDP + 4, &[0, 0]), bad),
        case("UDP length 0 over IPv6 (a jumbogram)", patched(v6.clone(), IPV6_UDP + 4, &[0, 0]), bad),
        case("IPv4 total length 0", patched(v4.clone(), ETHERNET + 2, &[0, 0]), bad),
        case("IPv4 total length of the header alone", patched(v4.clone(), ETHERNET + 2, &[0, 20]), bad),
        case(
            "7 bytes of UDP over IPv4",
            patched(patched(v4.clone(), IPV4_UDP + 4, &[0, 7]), ETHERNET + 2, &[0, 27]),
            bad,
        ),
        case(
            "7 bytes of UDP over IPv6",
            patched(patched(v6.clone(), IPV6_UDP + 4, &[0, 7]), ETHERNET + 4, &[0, 7]),
            bad,
        ),
        case(
            "the largest lengths in a short frame",
            patched(patched(v4.clone(), IPV4_UDP + 4, &[0xff, 0xeb]), ETHERNET + 2, &[0xff, 0xff]),
            truncated,
        ),
        case("cut in the IPv4 header", cut(v4.clone(), IPV4_UDP - 1), truncated),
        case("cut in the UDP header over IPv4", cut(v4.clone(), IPV4_UDP + 7), truncated),
        case("cut after the UDP header over IPv4", cut(v4.clone(), IPV4_UDP + 8), truncated),
        case("a byte short over IPv4", cut(v4.clone(), v4.len() - 1), truncated),
        case("cut in the IPv6 header", cut(v6.clone(), IPV6_UDP - 1), truncated),
        case("cut in the UDP header over IPv6", cut(v6.clone(), IPV6_UDP + 7), truncated),
        case("a byte short over IPv6", cut(v6.clone(), v6.len() - 1), truncated),
    ]
}
