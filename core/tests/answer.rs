//! Frame in, frame out, judged by a builder and parser that share no code with it.

use etherparse::{
    EtherType, IpHeaders, IpNumber, NetSlice, SlicedPacket, TransportSlice, checksum::Sum16BitWords,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use xstun_core::classify::Verdict;
use xstun_core::{
    answer::answer,
    outcome::Outcome::{self, *},
    served::Served,
    stun::{Discovery, Exchange, Extras, Policy, REPLY_ROOM, respond},
};
use xstun_testkit::frames::{
    CLIENT_IPV4, CLIENT_IPV6, CLIENT_MAC, CLIENT_PORT, IPV4, IPV6, MAC, PORT, REQUEST, Tag, ipv4,
    ipv4_header, ipv6, ipv6_header, padded, patched, served, udp, udp_ports,
};
use xstun_testkit::messages::{BINDING_REQUEST, classic, fingerprinted, message};
use xstun_testkit::strategies::{self, Changes, changes, mutated_request};
use xstun_testkit::{frames, judge};

const CHUNK: usize = 2048;
const IP: usize = 14;
const IPV4_UDP: usize = IP + 20;
const IPV6_UDP: usize = IP + 40;

struct Reply {
    outcome: Outcome,
    frame: Vec<u8>,
    unfinished_checksum: bool,
}

/// Serves a frame in a chunk of UMEM that holds the leavings of another.
fn serve_with(frame: &[u8], served: &Served) -> Reply {
    serve_by(&Policy::default(), frame, served)
}

fn serve_by(policy: &Policy, frame: &[u8], served: &Served) -> Reply {
    let mut chunk = vec![0xa5; CHUNK.max(frame.len())];
    chunk[..frame.len()].copy_from_slice(frame);
    let before = chunk.clone();
    let answer = answer(&mut chunk, frame.len(), served, policy);
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    if answer.length == 0 {
        assert!(chunk == before, "a frame without reply stays as it was");
    } else {
        assert!(chunk[answer.length.max(frame.len())..] == before[answer.length.max(frame.len())..]);
    }
    Reply {
        outcome: answer.outcome,
        frame: chunk[..answer.length].to_vec(),
        unfinished_checksum: answer.unfinished_checksum,
    }
}

fn serve(frame: &[u8]) -> Reply {
    serve_with(frame, &served())
}

fn payload(frame: &[u8]) -> Vec<u8> {
    match SlicedPacket::from_ethernet(frame).unwrap().transport {
        Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
        other => panic!("no UDP: {other:?}"),
    }
}

/// The reply as another program builds it: from the frame that was answered, and the payload that its
/// sender is owed.
fn expected(request: &[u8]) -> Vec<u8> {
    let (outcome, reply) = judge::answer(request, true).expect("a datagram for the server");
    assert!(outcome.is_reply(), "{outcome:?} was answered");
    reply
}

/// As [`expected`], of a server with this policy: where its reply leaves from and goes to is the core's to
/// say, and how the frame then looks another builder's.
fn expected_by(policy: &Policy, request: &[u8]) -> Vec<u8> {
    let ours = judge::addressed(request).expect("a datagram for the server's hardware address");
    let mut message = ours.payload().to_vec();
    let length = message.len();
    message.resize(length + CHUNK, 0);
    let reply = respond(&mut message, length, Exchange::datagram(&ours.source, || ours.destination), policy);
    let origin = policy.origin(&ours.destination, reply.change);
    let port = reply.port.map_or(ours.source.port(), Into::into);
    ours.reply_from(origin, port, &message[..reply.length])
}

#[test]
fn a_request_comes_back_as_its_reply() {
    let print = fingerprinted(message(BINDING_REQUEST, &[]));
    let software = message(BINDING_REQUEST, &[(0x8022, b"a client with a name")]);
    let unknown = message(BINDING_REQUEST, &[(0x4000, &[0; 60])]);
    let long = message(BINDING_REQUEST, &[(0x8022, &[b'x'; 1500])]);
    let old = classic(BINDING_REQUEST, &[]);
    for message in [&REQUEST[..], &print, &software, &unknown, &long, &old] {
        for tag in [Tag::None, Tag::One(0), Tag::One(4094)] {
            for header in [ipv4_header(), ipv6_header()] {
                let request = udp(header, tag, message);
                let reply = serve(&request);
                assert!(reply.outcome.is_reply(), "{:?}", reply.outcome);
                assert!(!reply.unfinished_checksum);
                assert_eq!(reply.frame, expected(&request));
            }
        }
    }
}

const OTHER_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OTHER_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const OTHER_PORT: u16 = 3479;

/// NAT behaviour discovery on the served addresses and one more of each version of IP.
fn discovery() -> (Policy, Served) {
    let four = |primary: IpAddr, other: IpAddr| {
        Discovery::new(SocketAddr::new(primary, PORT), SocketAddr::new(other, OTHER_PORT)).unwrap()
    };
    let (v4, v6) = (four(IPV4.into(), OTHER_IPV4.into()), four(IPV6.into(), OTHER_IPV6.into()));
    let endpoints = [v4.endpoints(), v6.endpoints()].concat();
    let served = Served::new(MAC, endpoints.iter().map(|e| (e.ip(), e.port())), []);
    let extras = Extras { discovery_v4: Some(v4), discovery_v6: Some(v6), ..Extras::default() };
    (Policy { extras: Some(extras), ..Policy::default() }, served)
}

/// RFC 5780 §6.1: the addresses of the frame change, and with them every sum.
#[test]
fn a_reply_leaves_from_the_endpoint_and_for_the_port_that_were_asked_for() {
    let (policy, served) = discovery();
    for flags in [0, 2, 4, 6] {
        for port in [None, Some([0x12, 0x34])] {
            for header in [ipv4_header(), ipv6_header()] {
                for tag in [Tag::None, Tag::One(7)] {
                    let change = [0, 0, 0, flags];
                    let mut attributes = vec![(0x0003, &change[..])];
                    attributes.extend(port.as_ref().map(|port| (0x0027, &port[..])));
                    let request = udp(header.clone(), tag, &message(BINDING_REQUEST, &attributes));
                    let reply = serve_by(&policy, &request, &served);
                    assert_eq!(reply.outcome, Answered);
                    assert_eq!(reply.frame, expected_by(&policy, &request), "{flags} {port:?} {tag:?}");
                    // And told by what is on the wire, not by what the core says.
                    let sent = SlicedPacket::from_ethernet(&reply.frame).unwrap();
                    let Some(TransportSlice::Udp(sent_udp)) = &sent.transport else { panic!("no UDP") };
                    let own = if flags & 2 == 0 { PORT } else { OTHER_PORT };
                    let theirs = if port.is_some() { 0x1234 } else { CLIENT_PORT };
                    assert_eq!((sent_udp.source_port(), sent_udp.destination_port()), (own, theirs));
                    let from: IpAddr = match sent.net.as_ref().unwrap() {
                        NetSlice::Ipv4(ip) => ip.header().source_addr().into(),
                        NetSlice::Ipv6(ip) => ip.header().source_addr().into(),
                        NetSlice::Arp(_) => panic!("no IP"),
                    };
                    let (v4, v6) = if flags & 4 == 0 { (IPV4, IPV6) } else { (OTHER_IPV4, OTHER_IPV6) };
                    assert!([IpAddr::V4(v4), IpAddr::V6(v6)].contains(&from), "{from} for {flags}");
                }
            }
        }
    }
}

#[test]
fn a_bare_request_gets_the_smallest_reply() {
    assert_eq!(serve(&ipv4(&REQUEST)).frame.len(), 14 + 20 + 8 + 32);
    assert_eq!(serve(&ipv6(&REQUEST)).frame.len(), 14 + 40 + 8 + 44);
}

#[test]
fn a_tag_comes_back_with_its_priority_and_type() {
    let tagged = patched(udp(ipv4_header(), Tag::One(7), &REQUEST), IP, &[0xf0, 7]);
    let service = patched(tagged.clone(), 12, &EtherType::PROVIDER_BRIDGING.0.to_be_bytes());
    for request in [tagged, service] {
        let reply = serve(&request);
        assert_eq!(reply.outcome, Answered);
        assert_eq!(reply.frame, expected(&request));
        assert_eq!(reply.frame[12..18], request[12..18]);
    }
}

#[test]
fn ethernet_padding_is_no_part_of_the_datagram() {
    let message = message(BINDING_REQUEST, &[(0x8022, b"name")]);
    for request in [ipv4(&message), ipv6(&message)] {
        for padding in [1, 18, 200] {
            let padded = padded(request.clone(), request.len() + padding);
            assert_eq!(serve(&padded).frame, serve(&request).frame);
        }
    }
}

/// A frame for each rule of the layers below STUN, with the RFC or the reason.
#[test]
fn the_layers_below_are_checked() {
    let v4 = ipv4(&REQUEST);
    let v6 = ipv6(&REQUEST);
    let flip = |frame: &[u8], offset: usize| patched(frame.to_vec(), offset, &[frame[offset] ^ 1]);
    let not_stun = [0x80, 0, 0, 0];
    let rows = vec![
        ("right in every layer, IPv4", v4.clone(), Answered),
        ("right in every layer, IPv6", v6.clone(), Answered),
        ("no STUN over IPv4", ipv4(&not_stun), NotStun),
        ("no STUN over IPv6", ipv6(&not_stun), NotStun),
        ("nothing in the datagram", ipv4(&[]), NotStun),
        ("wrong IPv4 header checksum (RFC 1122 §3.2.1.2)", flip(&v4, IP + 10), BadIpChecksum),
        ("IPv4 header checksum 0 (RFC 791 §3.1)", patched(v4.clone(), IP + 10, &[0, 0]), BadIpChecksum),
        ("TTL changed without the checksum (RFC 1122 §3.2.1.2)", flip(&v4, IP + 8), BadIpChecksum),
        ("wrong UDP checksum over IPv4 (RFC 1122 §4.1.3.4)", flip(&v4, IPV4_UDP + 6), BadUdpChecksum),
        ("wrong UDP checksum over IPv6 (RFC 8200 §8.1)", flip(&v6, IPV6_UDP + 6), BadUdpChecksum),
        ("a byte of the payload changed, IPv4", flip(&v4, v4.len() - 1), BadUdpChecksum),
        ("a byte of the payload changed, IPv6", flip(&v6, v6.len() - 1), BadUdpChecksum),
        ("the source port changed (RFC 768)", flip(&v4, IPV4_UDP), BadUdpChecksum),
        ("the source address changed (RFC 8200 §8.1)", flip(&v6, IP + 20), BadUdpChecksum),
        ("no UDP checksum over IPv4 (RFC 768)", patched(v4.clone(), IPV4_UDP + 6, &[0, 0]), Answered),
        (
            "no UDP checksum over IPv6 (RFC 8200 §8.1)",
            patched(v6.clone(), IPV6_UDP + 6, &[0, 0]),
            NoUdpChecksum,
        ),
        ("group Ethernet source", patched(v4.clone(), 6, &[3]), GroupSourceMac),
        ("broadcast Ethernet source", patched(v6.clone(), 6, &[0xff; 6]), GroupSourceMac),
        ("source port 0 over IPv4", udp_ports(ipv4_header(), Tag::None, 0, PORT, &REQUEST), SourcePortZero),
        ("source port 0 over IPv6", udp_ports(ipv6_header(), Tag::None, 0, PORT, &REQUEST), SourcePortZero),
    ];
    keeps(rows);
}

/// A frame from each kind of source, with the RFC that forbids it or none.
#[test]
fn sources_are_checked() {
    let from_v4 = |source: [u8; 4]| {
        let IpHeaders::Ipv4(mut header, extensions) = ipv4_header() else { unreachable!() };
        header.source = source;
        udp(IpHeaders::Ipv4(header, extensions), Tag::None, &REQUEST)
    };
    let from_v6 = |source: &str| {
        let IpHeaders::Ipv6(mut header, extensions) = ipv6_header() else { unreachable!() };
        header.source = source.parse::<Ipv6Addr>().unwrap().octets();
        udp(IpHeaders::Ipv6(header, extensions), Tag::None, &REQUEST)
    };
    keeps(vec![
        ("from 0.0.0.0 (RFC 1122 §3.2.1.3)", from_v4([0, 0, 0, 0]), BadSource),
        ("from 0.1.2.3 (RFC 1122 §3.2.1.3)", from_v4([0, 1, 2, 3]), BadSource),
        ("from loopback (RFC 1122 §3.2.1.3)", from_v4([127, 0, 0, 1]), BadSource),
        ("from loopback's far end (RFC 1122 §3.2.1.3)", from_v4([127, 255, 255, 254]), BadSource),
        ("from the first multicast address (RFC 1122 §3.2.1.3)", from_v4([224, 0, 0, 0]), BadSource),
        ("from the last multicast address (RFC 1122 §3.2.1.3)", from_v4([239, 255, 255, 255]), BadSource),
        ("from class E (RFC 1112 §4)", from_v4([240, 0, 0, 1]), BadSource),
        ("from the limited broadcast address (RFC 1122 §3.2.1.3)", from_v4([255; 4]), BadSource),
        ("from 1.0.0.0", from_v4([1, 0, 0, 0]), Answered),
        ("from 126.255.255.255", from_v4([126, 255, 255, 255]), Answered),
        ("from 128.0.0.0", from_v4([128, 0, 0, 0]), Answered),
        ("from 223.255.255.255", from_v4([223, 255, 255, 255]), Answered),
        ("from a private address", from_v4([10, 0, 0, 7]), Answered),
        ("from a link-local address", from_v4([169, 254, 0, 7]), Answered),
        ("from :: (RFC 4291 §2.5.2)", from_v6("::"), BadSource),
        ("from ::1 (RFC 4291 §2.5.3)", from_v6("::1"), BadSource),
        ("from multicast (RFC 4291 §2.7)", from_v6("ff02::1"), BadSource),
        ("from an IPv4-mapped address (RFC 4942 §2.2)", from_v6("::ffff:198.51.100.7"), BadSource),
        ("from a link-local address", from_v6("fe80::1"), Answered),
        ("from a unique local address", from_v6("fd00::1"), Answered),
        ("from a NAT64 address", from_v6("64:ff9b::198.51.100.7"), Answered),
    ]);
}

/// Holds the server to these outcomes, and its replies to those of another builder.
fn keeps(rows: Vec<(&str, Vec<u8>, Outcome)>) {
    for (name, frame, outcome) in rows {
        let reply = serve(&frame);
        assert_eq!(reply.outcome, outcome, "{name}");
        if outcome.is_reply() {
            assert_eq!(reply.frame, expected(&frame), "{name}");
        }
    }
}

#[test]
fn the_hosts_own_addresses_are_invalid_sources() {
    let own = [IpAddr::V4(CLIENT_IPV4), IpAddr::V6(CLIENT_IPV6)];
    let served = Served::new(MAC, [(IpAddr::V4(IPV4), PORT), (IpAddr::V6(IPV6), PORT)], own);
    assert_eq!(serve_with(&ipv4(&REQUEST), &served).outcome, BadSource);
    assert_eq!(serve_with(&ipv6(&REQUEST), &served).outcome, BadSource);
}

/// The frame with the sum of the pseudo header alone in its checksum field, as Linux leaves it where
/// the device should finish it.
fn unfinished(frame: Vec<u8>) -> Vec<u8> {
    let parsed = SlicedPacket::from_ethernet(&frame).unwrap();
    let (addresses, offset) = match parsed.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => (ip.header().slice()[12..20].to_vec(), IPV4_UDP),
        NetSlice::Ipv6(ip) => (ip.header().slice()[8..40].to_vec(), IPV6_UDP),
        NetSlice::Arp(_) => unreachable!(),
    };
    let Some(TransportSlice::Udp(datagram)) = &parsed.transport else { panic!("no UDP") };
    let complement = Sum16BitWords::new()
        .add_slice(&addresses)
        .add_2bytes([0, IpNumber::UDP.0])
        .add_2bytes(datagram.length().to_be_bytes())
        .ones_complement();
    // The sum is taken over the words as they lie in memory.
    patched(frame.clone(), offset + 6, &(!complement).to_ne_bytes())
}

#[test]
fn an_unfinished_checksum_is_accepted_and_reported() {
    for request in [ipv4(&REQUEST), ipv6(&REQUEST), ipv4(&fingerprinted(message(BINDING_REQUEST, &[])))] {
        let begun = unfinished(request.clone());
        assert_ne!(begun, request);
        let reply = serve(&begun);
        assert_eq!((reply.outcome, reply.unfinished_checksum), (Answered, true));
        assert_eq!(reply.frame, expected(&request), "the reply has its checksum all the same");
    }
    let silent = serve(&unfinished(ipv4(&[0x80; 12])));
    assert_eq!((silent.outcome, silent.unfinished_checksum), (NotStun, true));
    let mut near = unfinished(ipv4(&REQUEST));
    near[IPV4_UDP + 7] ^= 1;
    assert_eq!(serve(&near).outcome, BadUdpChecksum);
}

/// RFC 768: a checksum that comes out as zero is sent as ones. Two bytes of the transaction ID move the
/// sum through all its values.
#[test]
fn a_zero_checksum_is_sent_as_ones() {
    for build in [ipv4, ipv6] {
        let mut met = 0;
        for id in 0..=u16::MAX {
            let mut message = REQUEST;
            message[18..].copy_from_slice(&id.to_be_bytes());
            let request = build(&message);
            let reply = serve(&request).frame;
            let udp = reply.len() - payload(&reply).len() - 8;
            let checksum = [reply[udp + 6], reply[udp + 7]];
            assert_ne!(checksum, [0, 0], "ID ending in {id:04x}");
            if checksum == [0xff, 0xff] {
                met += 1;
                assert_eq!(reply, expected(&request));
            }
        }
        assert!(met > 0, "no transaction ID brought the sum to zero");
    }
}

#[test]
fn a_frame_that_the_program_must_not_redirect_has_an_outcome() {
    for case in frames::cases() {
        let outcome = serve(&case.frame).outcome;
        match case.verdict {
            Ok(()) => assert!(![BadFrame, NotServed].contains(&outcome), "{}", case.name),
            Err(Verdict::OtherAddress | Verdict::OtherPort | Verdict::OtherHost) => {
                assert_eq!(outcome, NotServed, "{}", case.name);
            }
            Err(_) => assert_eq!(outcome, BadFrame, "{}", case.name),
        }
    }
}

#[test]
fn a_buffer_without_room_is_an_outcome() {
    for request in [ipv4(&REQUEST), ipv6(&REQUEST)] {
        let mut tight = request.clone();
        let end = answer(&mut tight, request.len(), &served(), &Policy::default());
        assert_eq!((end.outcome, end.length), (NoRoom, 0));
        assert_eq!(tight, request);
        let beyond = answer(&mut tight, request.len() + 1, &served(), &Policy::default());
        assert_eq!(beyond.outcome, NoRoom);
    }
    // What there is room for does not hang on what the frame says.
    for (frame, headers, right) in [
        (ipv4(&REQUEST), IPV4_UDP + 8, Answered),
        (ipv6(&REQUEST), IPV6_UDP + 8, Answered),
        (ipv4(&[0x80; 12]), IPV4_UDP + 8, NotStun),
        (ipv6(&[0x80; 12]), IPV6_UDP + 8, NotStun),
    ] {
        for (room, outcome) in [(REPLY_ROOM, right), (REPLY_ROOM - 1, NoRoom)] {
            let mut buffer = padded(frame.clone(), headers + room);
            let end = answer(&mut buffer, frame.len(), &served(), &Policy::default());
            assert_eq!(end.outcome, outcome, "{room} bytes of room");
        }
    }
}

/// The client's end, as if it were served too.
fn mirror() -> Served {
    Served::new(
        CLIENT_MAC,
        [(IpAddr::V4(CLIENT_IPV4), CLIENT_PORT), (IpAddr::V6(CLIENT_IPV6), CLIENT_PORT)],
        [],
    )
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![2 => Just(Tag::None), 1 => (0u16..4096).prop_map(Tag::One)]
}

fn header() -> impl Strategy<Value = IpHeaders> {
    (any::<bool>(), any::<u8>(), any::<u16>()).prop_map(|(v4, hops, id)| {
        let mut header = if v4 { ipv4_header() } else { ipv6_header() };
        match &mut header {
            IpHeaders::Ipv4(ip, _) => (ip.time_to_live, ip.identification) = (hops, id),
            IpHeaders::Ipv6(ip, _) => (ip.hop_limit, ip.traffic_class) = (hops, id as u8),
        }
        header
    })
}

/// A frame for us, as a rule; now and then something happened to it on its way.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop_oneof![3 => Just(None), 1 => changes().prop_map(Some)];
    (header(), tag(), any::<u16>(), mutated_request(), changes).prop_map(
        |(ip, tag, port, message, changes): (_, _, _, _, Option<Changes>)| {
            let frame = udp_ports(ip, tag, port, PORT, &message);
            match changes {
                Some(changes) => changes.apply(frame),
                None => frame,
            }
        },
    )
}

proptest! {
    #![proptest_config(strategies::cases(500))]

    #[test]
    fn any_bytes_have_one_outcome(bytes in prop::collection::vec(any::<u8>(), 0..300), room in 0usize..200) {
        let mut buffer = [&bytes[..], &vec![0; room]].concat();
        let answer = answer(&mut buffer, bytes.len(), &served(), &Policy::default());
        prop_assert_eq!(answer.outcome.is_reply(), answer.length > 0);
    }

    #[test]
    fn a_frame_gets_what_another_parser_and_builder_compute(frame in frame()) {
        let reply = serve(&frame);
        match judge::answer(&frame, true) {
            Some(owed) => prop_assert_eq!((reply.outcome, &reply.frame), (owed.0, &owed.1)),
            None => prop_assert!([BadFrame, NotServed].contains(&reply.outcome), "{:?}", reply.outcome),
        }
        if reply.outcome.is_reply() {
            let asked = payload(&frame).len();
            prop_assert!(payload(&reply.frame).len() <= asked.max(52));
        }
    }

    #[test]
    fn a_reply_is_never_answered(ip in header(), tag in tag(), message in strategies::request()) {
        let reply = serve(&udp(ip, tag, &message));
        if reply.outcome.is_reply() {
            prop_assert_eq!(serve_with(&reply.frame, &mirror()).outcome, Response);
        }
    }

    #[test]
    fn a_cut_frame_gets_silence(
        ip in header(),
        message in strategies::request(),
        cut in any::<prop::sample::Index>(),
    ) {
        let frame = udp(ip, Tag::None, &message);
        prop_assert_eq!(serve(&frame[..cut.index(frame.len())]).outcome, BadFrame);
    }
}
