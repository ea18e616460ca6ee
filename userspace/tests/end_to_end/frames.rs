//! Each kind of frame ends as the RFC and the policy require, on each path, and is counted there exactly
//! once.

use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use etherparse::{IpFragOffset, IpHeaders, IpNumber, Ipv4Options, Ipv6FragmentHeader, Ipv6RawExtHeader};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use xstun_core::classify::Verdict;
use xstun_core::outcome::Outcome;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::{Datagram, Flow};
use xstun_testkit::lab::server::Counters;
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link};
use xstun_testkit::random::Random;
use xstun_testkit::wait::LIMIT;

/// What happens to a row's datagram if AF_XDP serves the interface.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The worker answers.
    Answered(Outcome),
    /// The XDP program passes it to the stack, and the sockets answer.
    AnsweredBySockets(Outcome),
    /// The worker drops it.
    Dropped(Outcome),
    /// The XDP program passes it to the stack, and no socket of the server receives it.
    Passed(Verdict),
}

/// What happens to it if only sockets serve, where the kernel's stack filters first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SocketExpected {
    Answered,
    Silence,
    /// Not specified: the test accepts a reply and silence.
    Either,
}

/// One datagram, in one frame or several.
struct Row {
    name: &'static str,
    flow: Flow,
    transaction: Transaction,
    frames: Vec<Vec<u8>>,
    expected: Expected,
    socket_expected: SocketExpected,
}

impl Row {
    fn new(
        name: &'static str,
        flow: Flow,
        expected: Expected,
        make: impl FnOnce(&Flow, &Transaction) -> Vec<Vec<u8>>,
    ) -> Self {
        let transaction = match expected {
            Expected::Answered(Outcome::AnsweredClassic) => Transaction::classic(),
            _ => Transaction::with_cookie(),
        };
        let socket_expected = match expected {
            Expected::Answered(_) | Expected::AnsweredBySockets(_) => SocketExpected::Answered,
            Expected::Dropped(_) | Expected::Passed(_) => SocketExpected::Silence,
        };
        Row { name, flow, transaction, frames: make(&flow, &transaction), expected, socket_expected }
    }

    /// A plain request whose frame is modified afterwards.
    fn modified(
        name: &'static str,
        flow: Flow,
        expected: Expected,
        modify: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        Row::new(name, flow, expected, |flow, transaction| {
            let mut frame = flow.frame(&transaction.request(&[]));
            modify(&mut frame);
            vec![frame]
        })
    }

    /// A plain request behind an IP header that differs from the usual one.
    fn with_ip(
        name: &'static str,
        flow: Flow,
        expected: Expected,
        vary: impl FnOnce(&mut IpHeaders),
    ) -> Self {
        Row::new(name, flow, expected, |flow, transaction| {
            let mut ip = flow.ip();
            vary(&mut ip);
            vec![flow.frame_behind(ip, &transaction.request(&[]))]
        })
    }

    fn over_sockets(mut self, expected: SocketExpected) -> Self {
        self.socket_expected = expected;
        self
    }

    /// Whether the row must be answered in this mode.
    fn is_answered(&self, mode: Mode) -> bool {
        match mode.path {
            "sockets" => self.socket_expected == SocketExpected::Answered,
            _ => matches!(self.expected, Expected::Answered(_) | Expected::AnsweredBySockets(_)),
        }
    }

    /// Asserts that the reply is right; the same for every path.
    fn check_reply(&self, reply: &Datagram) {
        let name = self.name;
        assert!(self.flow.is_answered_by(reply), "{name}: {:?} is answered by {reply:?}", self.flow);
        assert!(reply.checksums_hold, "{name}: the reply's checksums: {reply:?}");
        assert!(reply.hops >= 64, "{name}: the reply's TTL or hop limit: {reply:?}");
        let tag = if reply.vlan.is_some() { 4 } else { 0 };
        assert_eq!(
            reply.length,
            self.flow.udp_offset() + tag + 8 + reply.payload.len(),
            "{name}: the reply's frame ends with its datagram"
        );
        if let Expected::Answered(Outcome::UnknownAttribute) = self.expected {
            assert_eq!(self.transaction.error_code(&reply.payload), Some(420), "{name}");
        } else {
            let mapped = self.transaction.mapped_address(&reply.payload);
            assert_eq!(mapped, Some(self.flow.source), "{name}: the mapped address");
            let length = if self.flow.source.is_ipv4() { 32 } else { 44 };
            assert_eq!(reply.payload.len(), length, "{name}: the reply has no other attribute");
        }
    }
}

fn rows(link: &Link) -> Vec<Row> {
    [answered(link), answered_by_sockets(link), dropped(link), spoofed(link), passed(link)]
        .into_iter()
        .flatten()
        .collect()
}

fn answered(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_001), Flow::v6(link, 40_002));
    let answered = Expected::Answered(Outcome::Answered);
    let software = [0x80, 0x22, 0, 4, b't', b'e', b's', b't'];
    let unknown = [0x7f, 0xfe, 0, 4, 1, 2, 3, 4];
    let with = |name, flow, outcome, attributes: &[u8]| {
        Row::new(name, flow, Expected::Answered(outcome), |flow, transaction| {
            vec![flow.frame(&transaction.request(attributes))]
        })
    };
    let hops = |ip: &mut IpHeaders| match ip {
        IpHeaders::Ipv4(ip, _) => ip.time_to_live = 2,
        IpHeaders::Ipv6(ip, _) => ip.hop_limit = 2,
    };
    vec![
        Row::modified("IPv4", v4, answered, |_| {}),
        Row::modified("IPv6", v6, answered, |_| {}),
        with("IPv4 with SOFTWARE", v4, Outcome::Answered, &software),
        with("IPv6 with SOFTWARE", v6, Outcome::Answered, &software),
        with("classic over IPv4", v4, Outcome::AnsweredClassic, &[]),
        with("classic over IPv6", v6, Outcome::AnsweredClassic, &[]),
        with("an unknown attribute over IPv4", v4, Outcome::UnknownAttribute, &unknown),
        with("an unknown attribute over IPv6", v6, Outcome::UnknownAttribute, &unknown),
        Row::with_ip("IPv4 with TTL 2", v4, answered, hops),
        Row::with_ip("IPv6 with hop limit 2", v6, answered, hops),
        // Without an 802.1Q interface the stack drops tagged frames.
        Row::modified("IPv4 in a VLAN", v4.in_vlan(7), answered, |_| {})
            .over_sockets(SocketExpected::Silence),
        Row::modified("IPv6 in a VLAN", v6.in_vlan(7), answered, |_| {})
            .over_sockets(SocketExpected::Silence),
        Row::modified("IPv4 padded", v4, answered, |frame| frame.resize(90, 0xee)),
        Row::modified("IPv6 padded", v6, answered, |frame| frame.resize(110, 0xee)),
        Row::modified("IPv4 without UDP checksum", v4, answered, |frame| frame[40..42].fill(0)),
    ]
}

fn answered_by_sockets(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_003), Flow::v6(link, 40_004));
    let answered = Expected::AnsweredBySockets(Outcome::Answered);
    vec![
        Row::with_ip("IPv4 with options", v4, answered, |ip| {
            let IpHeaders::Ipv4(ip, _) = ip else { unreachable!() };
            ip.options = Ipv4Options::try_from(&[1u8; 4][..]).unwrap();
        }),
        Row::with_ip("IPv6 with destination options", v6, answered, |ip| {
            let IpHeaders::Ipv6(_, extensions) = ip else { unreachable!() };
            let padding = Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
            extensions.destination_options = Some(padding);
        }),
        Row::with_ip("IPv6 in one fragment", v6, answered, |ip| {
            let IpHeaders::Ipv6(_, extensions) = ip else { unreachable!() };
            let header = Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, false, 11);
            extensions.fragment = Some(header);
        }),
        Row::new("IPv4 in two fragments", v4, answered, |flow, transaction| {
            flow.fragments(&transaction.request(&[]), 16)
        }),
        Row::new("IPv6 in two fragments", v6, answered, |flow, transaction| {
            flow.fragments(&transaction.request(&[]), 16)
        }),
    ]
}

fn dropped(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_005), Flow::v6(link, 40_006));
    let (port_zero_v4, port_zero_v6) = (Flow::v4(link, 0), Flow::v6(link, 0));
    let expected = Expected::Dropped;
    let message = |name, flow, outcome, kind: u16| {
        Row::new(name, flow, expected(outcome), move |flow, transaction| {
            vec![flow.frame(&transaction.message(kind, &[]))]
        })
    };
    vec![
        Row::modified("a bad IPv4 header checksum", v4, expected(Outcome::BadIpChecksum), |frame| {
            frame[24] ^= 0x55
        }),
        Row::modified("a bad UDP checksum over IPv4", v4, expected(Outcome::BadUdpChecksum), |frame| {
            frame[40] ^= 0x55
        }),
        Row::modified("a bad UDP checksum over IPv6", v6, expected(Outcome::BadUdpChecksum), |frame| {
            frame[60] ^= 0x55
        }),
        Row::modified("no UDP checksum over IPv6", v6, expected(Outcome::NoUdpChecksum), |frame| {
            frame[60..62].fill(0)
        }),
        Row::modified("source port 0 over IPv4", port_zero_v4, expected(Outcome::SourcePortZero), |_| {}),
        Row::modified("source port 0 over IPv6", port_zero_v6, expected(Outcome::SourcePortZero), |_| {}),
        // A socket cannot see the source MAC address, and the stack accepts any.
        Row::modified("a group hardware source", v4, expected(Outcome::GroupSourceMac), |frame| {
            frame[6] |= 1
        })
        .over_sockets(SocketExpected::Either),
        message("an indication", v4, Outcome::Indication, 0x0011),
        message("a success response", v4, Outcome::Response, 0x0101),
        message("an error response", v6, Outcome::Response, 0x0111),
        message("an Allocate request", v6, Outcome::OtherMethod, 0x0003),
        message("not STUN", v4, Outcome::NotStun, 0xc001),
        Row::new("trailing bytes", v4, expected(Outcome::BadLength), |flow, transaction| {
            vec![flow.frame(&[&transaction.request(&[])[..], &[0; 4]].concat())]
        }),
        Row::new("an attribute beyond the end", v6, expected(Outcome::BadAttribute), |flow, transaction| {
            vec![flow.frame(&transaction.request(&[0x80, 0x22, 0, 8, 0, 0, 0, 0]))]
        }),
        Row::new("a wrong FINGERPRINT", v4, expected(Outcome::BadFingerprint), |flow, transaction| {
            vec![flow.frame(&transaction.request(&[0x80, 0x28, 0, 4, 1, 2, 3, 4]))]
        }),
    ]
}

fn spoofed(link: &Link) -> Vec<Row> {
    let v4 = |name, source: Ipv4Addr| {
        Row::modified(
            name,
            Flow::v4(link, 40_007).from(source),
            Expected::Dropped(Outcome::BadSource),
            |_| {},
        )
    };
    let v6 = |name, source: &str| {
        let source: std::net::Ipv6Addr = source.parse().unwrap();
        Row::modified(
            name,
            Flow::v6(link, 40_008).from(source),
            Expected::Dropped(Outcome::BadSource),
            |_| {},
        )
    };
    let [a, b, c, _] = link.server_v4.octets();
    vec![
        v4("from the server's own IPv4 address", link.server_v4),
        v4("from an IPv4 multicast address", Ipv4Addr::new(224, 0, 0, 9)),
        v4("from an IPv4 loopback address", Ipv4Addr::LOCALHOST),
        v4("from the IPv4 broadcast address", Ipv4Addr::BROADCAST),
        v4("from the subnet's broadcast address", Ipv4Addr::new(a, b, c, 255)),
        v4("from the unspecified IPv4 address", Ipv4Addr::UNSPECIFIED),
        // A socket's reply would not leave the host.
        v6("from the server's own IPv6 address", &link.server_v6.to_string())
            .over_sockets(SocketExpected::Either),
        v6("from an IPv6 multicast address", "ff02::9"),
        v6("from the IPv6 loopback address", "::1"),
        v6("from the unspecified IPv6 address", "::"),
    ]
}

fn passed(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_009), Flow::v6(link, 40_010));
    let [a, b, c, _] = link.server_v4.octets();
    let two_tags = |frame: &mut Vec<u8>| drop(frame.splice(12..12, [0x88, 0xa8, 0, 8]));
    vec![
        Row::modified("two VLAN tags", v4.in_vlan(7), Expected::Passed(Verdict::VlanDepth), two_tags),
        Row::modified("another port", v4.to_port(3479), Expected::Passed(Verdict::OtherPort), |_| {}),
        Row::modified("another IPv6 port", v6.to_port(3479), Expected::Passed(Verdict::OtherPort), |_| {}),
        Row::modified(
            "another address",
            v4.to(Ipv4Addr::new(a, b, c, 99)),
            Expected::Passed(Verdict::OtherAddress),
            |_| {},
        ),
        Row::modified("another host's frame", v4, Expected::Passed(Verdict::OtherHost), |frame| {
            frame[5] = 0x77
        }),
    ]
}

/// Sends every row and waits for each reply. After the server has stopped, checks that nothing else was
/// answered and that every row was counted under its outcome or verdict.
fn run(mode: Mode) {
    let lab = Lab::new(1);
    let link = lab.link();
    let server = mode.serve(&lab, &[]);
    let wire = Wire::open(&lab.client, &link.client_interface);
    let rows = rows(link);
    let owns = |row: &Row, frame: &[u8]| {
        Datagram::read(frame).filter(|datagram| row.transaction.owns(&datagram.payload))
    };
    for row in &rows {
        row.frames.iter().for_each(|frame| wire.send(frame));
        if row.is_answered(mode) {
            let mut reply = None;
            let seen = wire.wait_for(LIMIT, |frame| {
                let unanswered = rows.iter().filter(|other| !other.is_answered(mode));
                for other in unanswered.filter(|other| other.socket_expected != SocketExpected::Either) {
                    assert!(owns(other, frame).is_none(), "{}: answered by {frame:02x?}", other.name);
                }
                reply = owns(row, frame);
                reply.is_some()
            });
            assert!(seen.is_some(), "{}: no reply", row.name);
            row.check_reply(&reply.unwrap());
        }
    }
    // Queues are FIFO: once these are answered, nothing that was sent before is still in flight.
    for flow in [Flow::v4(link, 40_011), Flow::v6(link, 40_012)] {
        let asker = Asker::new(&lab.client, flow.source);
        assert_eq!(asker.ask(flow.destination), flow.source);
    }
    let counters = server.stop();
    for frame in wire.drain() {
        for row in &rows {
            let answered = owns(row, &frame).is_some();
            assert!(!answered || row.socket_expected == SocketExpected::Either, "{}: {frame:02x?}", row.name);
        }
    }
    match mode.path {
        "sockets" => check_socket_counters(&counters, &rows),
        _ => check_counters(&counters, &rows),
    }
}

/// Every datagram is counted exactly once, under its outcome or verdict and on its path.
fn check_counters(counters: &Counters, rows: &[Row]) {
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in rows {
        *expected
            .entry(match row.expected {
                Expected::Answered(outcome) | Expected::Dropped(outcome) => ("af-xdp", outcome.name()),
                Expected::AnsweredBySockets(outcome) => ("sockets", outcome.name()),
                Expected::Passed(verdict) => ("xdp", verdict.name()),
            })
            .or_default() += 1;
    }
    // The two plain clients at the end may have sent more than one request.
    let answered = counters.get("af-xdp", "answered");
    let plain = expected.remove(&("af-xdp", "answered")).unwrap();
    assert!(
        answered >= plain + 2,
        "answered={answered} on AF_XDP, at least {plain} + 2 expected:\n{}",
        counters.log
    );
    let keys =
        Outcome::ALL.map(Outcome::name).into_iter().flat_map(|name| [("af-xdp", name), ("sockets", name)]);
    for (path, name) in keys.filter(|key| *key != ("af-xdp", "answered")) {
        let count = expected.remove(&(path, name)).unwrap_or(0);
        assert_eq!(counters.get(path, name), count, "{name} on {path}:\n{}", counters.log);
    }
    for ((path, name), least) in expected {
        // More than the rows: the kernels of both hosts send neighbour discovery and ICMP errors.
        let counted = counters.get(path, name);
        assert!(
            counted >= least,
            "{name}={counted}, at least {least} expected, on {path}:\n{}",
            counters.log
        );
    }
}

fn check_socket_counters(counters: &Counters, rows: &[Row]) {
    let expected = rows.iter().filter(|row| row.socket_expected == SocketExpected::Answered).count() as u64;
    assert!(
        counters.replies("sockets") >= expected + 2,
        "at least {expected} + 2 replies expected:\n{}",
        counters.log
    );
    assert_eq!(counters.get("af-xdp", "received"), 0, "{}", counters.log);
    // What the stack delivers has the same outcome on the sockets as on the workers.
    for name in [
        "source_port_zero",
        "indication",
        "response",
        "other_method",
        "not_stun",
        "bad_length",
        "bad_attribute",
        "bad_fingerprint",
    ] {
        let is_named =
            |row: &&Row| matches!(row.expected, Expected::Dropped(outcome) if outcome.name() == name);
        let expected = rows.iter().filter(is_named).count();
        assert_eq!(counters.get("sockets", name), expected as u64, "{name}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_is_answered_dropped_or_passed_as_specified_in_native_mode() {
    run(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_is_answered_dropped_or_passed_as_specified_in_generic_mode() {
    run(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_is_answered_dropped_or_passed_as_specified_over_sockets() {
    run(SOCKETS);
}

/// A sender on the same machine leaves the checksum to a device that the frame never reaches. The request
/// is answered nevertheless, and counted.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_request_with_unfinished_checksum_is_answered_and_counted() {
    for mode in [NATIVE, GENERIC] {
        let lab = Lab::new(1);
        let link = lab.link();
        lab.client.run(&["ethtool", "-K", &link.client_interface, "tx", "on"]);
        let server = mode.serve(&lab, &[]);
        for flow in [Flow::v4(link, 0), Flow::v6(link, 0)] {
            let asker = Asker::new(&lab.client, flow.source);
            let mapped: SocketAddr = asker.ask(flow.destination);
            assert_eq!(mapped, asker.address());
        }
        let counters = server.stop();
        let (unfinished, answered) = ("unfinished_checksums", counters.get("af-xdp", "answered"));
        assert!(answered >= 2, "{mode:?}:\n{}", counters.log);
        assert_eq!(counters.get("af-xdp", unfinished), answered, "{mode:?}:\n{}", counters.log);
    }
}

/// The server survives mutated frames, and every datagram that it received is counted under one outcome.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_server_survives_20_000_mutated_frames() {
    for mode in [NATIVE, GENERIC, SOCKETS] {
        let lab = Lab::new(2);
        let link = lab.link();
        let server = mode.serve(&lab, &[]);
        let wire = Wire::open(&lab.client, &link.client_interface);
        let frames: Vec<_> = rows(link).into_iter().flat_map(|row| row.frames).collect();
        let mut random = Random(3489);
        for _ in 0..20_000 {
            let mut frame = frames[random.below(frames.len())].clone();
            random.mutate(&mut frame);
            wire.send(&frame);
        }
        for flow in [Flow::v4(link, 40_013), Flow::v6(link, 40_014)] {
            let asker = Asker::new(&lab.client, flow.source);
            assert_eq!(asker.ask(flow.destination), flow.source, "{mode:?}");
        }
        let counters = server.stop();
        for path in ["af-xdp", "sockets"] {
            let sum: u64 = Outcome::ALL.iter().map(|outcome| counters.get(path, outcome.name())).sum();
            assert_eq!(sum, counters.get(path, "received"), "{path}, {mode:?}:\n{}", counters.log);
        }
        // The stack drops most of them before they reach a socket.
        assert!(counters.get(mode.path, "received") > 100, "{mode:?}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn no_classic_drops_requests_without_the_cookie() {
    for mode in [NATIVE, SOCKETS] {
        let lab = Lab::new(1);
        let link = lab.link();
        let server = mode.serve(&lab, &["--no-classic"]);
        let wire = Wire::open(&lab.client, &link.client_interface);
        let classic = Transaction::classic();
        wire.send(&Flow::v4(link, 40_015).frame(&classic.request(&[])));
        let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 40_016));
        assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
        let counters = server.stop();
        assert_eq!(counters.get(mode.path, "no_cookie"), 1, "{mode:?}:\n{}", counters.log);
        let seen = wire.drain();
        let replies = seen.iter().filter_map(|frame| Datagram::read(frame));
        assert!(replies.filter(|reply| classic.owns(&reply.payload)).count() == 0, "{mode:?}");
    }
}
