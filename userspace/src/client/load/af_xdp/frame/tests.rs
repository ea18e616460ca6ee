use super::{FrameAddresses, FrameTemplates, parse};
use crate::client::load::plan::LoadFlow;
use crate::client::load::shape::{RequestShape, ShapeMix};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use xstun_core::classify::{Datagram, Version};

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NEXT: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn every_shape() -> ShapeMix {
    ShapeMix::parse(&RequestShape::ALL.map(RequestShape::name).join(",")).unwrap()
}

/// Returns the same datagram, built by etherparse alone.
fn built(flow: SocketAddr, server: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(OWN, NEXT);
    let net = match (flow.ip(), server.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from.octets(), to.octets(), 64),
        mixed => panic!("{mixed:?}"),
    };
    let mut frame = Vec::new();
    net.udp(flow.port(), server.port()).write_to_vec(&mut frame, payload).unwrap();
    frame
}

fn endpoints() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(a, p, b, q)| ((a, p).into(), (b, q).into()));
    let v6 = any::<([u8; 16], u16, [u8; 16], u16)>().prop_map(|(a, p, b, q)| ((a, p).into(), (b, q).into()));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn a_patched_frame_equals_the_one_that_etherparse_builds((flow, server) in endpoints(), id: [u8; 12]) {
        let to = FrameAddresses { own_mac: OWN, next_hop: NEXT, server };
        let mix = every_shape();
        // Another flow comes first, so that the index matters.
        let flows = [SocketAddr::new(flow.ip(), !flow.port()), flow];
        let flows = flows.map(|source| LoadFlow { source, mapped: None });
        let frames = FrameTemplates::new(&to, &flows, &mix).unwrap();
        let mut buffer = vec![0xee; 2048];
        for (shape, request) in mix.requests.iter().enumerate() {
            let mut payload = [0; 128];
            let length = request.write(&mut payload, &id);
            let expected = built(flow, server, &payload[..length]);
            let length = frames.write(&mut buffer, shape, 1, &id);
            prop_assert_eq!(&buffer[..length], &expected[..]);
            let parsed = SlicedPacket::from_ethernet(&buffer[..length]).unwrap();
            let Some(TransportSlice::Udp(udp)) = parsed.transport else { panic!("no UDP") };
            let header = udp.to_header();
            let checksum = match parsed.net.unwrap() {
                NetSlice::Ipv4(ip) => {
                    let ip = ip.header().to_header();
                    prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                    header.calc_checksum_ipv4_raw(ip.source, ip.destination, udp.payload())
                }
                NetSlice::Ipv6(ip) => {
                    let ip = ip.header().to_header();
                    header.calc_checksum_ipv6_raw(ip.source, ip.destination, udp.payload())
                }
                NetSlice::Arp(_) => panic!("ARP"),
            };
            prop_assert_eq!(checksum.unwrap(), udp.checksum());
        }
    }

    #[test]
    fn a_reply_is_parsed_and_a_flipped_bit_is_detected(
        (flow, server) in endpoints(), payload in prop::collection::vec(any::<u8>(), 20..70), bit: prop::sample::Index,
    ) {
        let mut frame = built(server, flow, &payload);
        let shape = if flow.is_ipv4() { xstun_core::classify::Shape::V4 } else { xstun_core::classify::Shape::V6 };
        let udp = shape.udp();
        let datagram = Datagram { shape, udp_length: 8 + payload.len() as u16 };
        let reply = parse(&frame, &datagram).unwrap();
        prop_assert_eq!((reply.from, reply.to, reply.payload), (server, flow, &payload[..]));
        // The checksums cover everything from here on. An absent UDP checksum covers nothing.
        let first = if flow.is_ipv4() { 14 } else { 14 + 8 };
        let bit = bit.index((frame.len() - first) * 8);
        let position = first + bit / 8;
        frame[position] ^= 1 << (bit % 8);
        let absent = [frame[udp + 6], frame[udp + 7]] == [0, 0];
        prop_assert!(parse(&frame, &datagram).is_none() || absent, "byte {}", position);
    }
}

#[test]
fn a_checksum_may_be_absent_over_ipv4_and_unfinished_over_both() {
    let payload = [7; 32];
    for (from, to) in [("10.0.0.2:3478", "10.0.0.1:5"), ("[fd00::2]:3478", "[fd00::1]:5")] {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let shape =
            if from.is_ipv4() { xstun_core::classify::Shape::V4 } else { xstun_core::classify::Shape::V6 };
        let (version, udp) = (shape.version(), shape.udp());
        let datagram = Datagram { shape, udp_length: 40 };
        let mut frame = built(from, to, &payload);
        frame[udp + 6..udp + 8].fill(0);
        assert_eq!(parse(&frame, &datagram).is_some(), version == Version::V4);
        // A local sender writes the sum of the pseudo-header. It is computed from the checksum of a datagram
        // that has zeros everywhere but in its length, which counts in the pseudo-header and once more.
        let empty = built(SocketAddr::new(from.ip(), 0), SocketAddr::new(to.ip(), 0), &[0; 32]);
        let finished = !u16::from_be_bytes([empty[udp + 6], empty[udp + 7]]);
        let (sum, borrow) = finished.overflowing_sub(40);
        let unfinished = sum - u16::from(borrow);
        frame[udp + 6..udp + 8].copy_from_slice(&unfinished.to_be_bytes());
        assert!(parse(&frame, &datagram).is_some(), "{version:?}");
        frame[udp + 7] ^= 1;
        assert!(parse(&frame, &datagram).is_none(), "{version:?}");
    }
}
