//! Each kind of frame gets the end that RFC and policy owe it, over each path, and is counted there
//! exactly once.

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

/// How a row's datagram ends where AF_XDP serves the interface.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The worker answers.
    Answered(Outcome),
    /// The XDP program passes it on, and the sockets answer.
    AnsweredBySockets(Outcome),
    /// The worker drops it.
    Dropped(Outcome),
    /// The XDP program passes it on, and no socket of ours ever sees it.
    Passed(Verdict),
}

/// How it ends where only sockets serve: the kernel's stack has its own say there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SocketEnd {
    Answered,
    Silence,
    /// The stack sees no difference that matters here.
    Either,
}

/// One datagram, in one frame or several.
struct Row {
    name: &'static str,
    flow: Flow,
    transaction: Transaction,
    frames: Vec<Vec<u8>>,
    end: End,
    socket_end: SocketEnd,
}

impl Row {
    fn new(
        name: &'static str,
        flow: Flow,
        end: End,
        make: impl FnOnce(&Flow, &Transaction) -> Vec<Vec<u8>>,
    ) -> Self {
        let transaction = match end {
            End::Answered(Outcome::AnsweredClassic) => Transaction::classic(),
            _ => Transaction::with_cookie(),
        };
        let socket_end = match end {
            End::Answered(_) | End::AnsweredBySockets(_) => SocketEnd::Answered,
            End::Dropped(_) | End::Passed(_) => SocketEnd::Silence,
        };
        Row { name, flow, transaction, frames: make(&flow, &transaction), end, socket_end }
    }

    /// A plain request whose frame is bent afterwards.
    fn bent(name: &'static str, flow: Flow, end: End, bend: impl FnOnce(&mut Vec<u8>)) -> Self {
        Row::new(name, flow, end, |flow, transaction| {
            let mut frame = flow.frame(&transaction.request(&[]));
            bend(&mut frame);
            vec![frame]
        })
    }

    /// A plain request behind an IP header that is not the plain one.
    fn behind(name: &'static str, flow: Flow, end: End, vary: impl FnOnce(&mut IpHeaders)) -> Self {
        Row::new(name, flow, end, |flow, transaction| {
            let mut ip = flow.ip();
            vary(&mut ip);
            vec![flow.frame_behind(ip, &transaction.request(&[]))]
        })
    }

    fn over_sockets(mut self, end: SocketEnd) -> Self {
        self.socket_end = end;
        self
    }

    /// Whether a reply is owed.
    fn is_answered(&self, mode: Mode) -> bool {
        match mode.path {
            "sockets" => self.socket_end == SocketEnd::Answered,
            _ => matches!(self.end, End::Answered(_) | End::AnsweredBySockets(_)),
        }
    }

    /// What a reply must be, whichever path sends it.
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
        if let End::Answered(Outcome::UnknownAttribute) = self.end {
            assert_eq!(self.transaction.error_code(&reply.payload), Some(420), "{name}");
        } else {
            let mapped = self.transaction.mapped_address(&reply.payload);
            assert_eq!(mapped, Some(self.flow.source), "{name}: the address told to the client");
            let length = if self.flow.source.is_ipv4() { 32 } else { 44 };
            assert_eq!(reply.payload.len(), length, "{name}: the mapped address stands alone");
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
    let done = End::Answered(Outcome::Answered);
    let software = [0x80, 0x22, 0, 4, b't', b'e', b's', b't'];
    let unknown = [0x7f, 0xfe, 0, 4, 1, 2, 3, 4];
    let with = |name, flow, outcome, attributes: &[u8]| {
        Row::new(name, flow, End::Answered(outcome), |flow, transaction| {
            vec![flow.frame(&transaction.request(attributes))]
        })
    };
    let hops = |ip: &mut IpHeaders| match ip {
        IpHeaders::Ipv4(ip, _) => ip.time_to_live = 2,
        IpHeaders::Ipv6(ip, _) => ip.hop_limit = 2,
    };
    vec![
        Row::bent("IPv4", v4, done, |_| {}),
        Row::bent("IPv6", v6, done, |_| {}),
        with("IPv4 with SOFTWARE", v4, Outcome::Answered, &software),
        with("IPv6 with SOFTWARE", v6, Outcome::Answered, &software),
        with("classic over IPv4", v4, Outcome::AnsweredClassic, &[]),
        with("classic over IPv6", v6, Outcome::AnsweredClassic, &[]),
        with("an unknown attribute over IPv4", v4, Outcome::UnknownAttribute, &unknown),
        with("an unknown attribute over IPv6", v6, Outcome::UnknownAttribute, &unknown),
        Row::behind("IPv4 with TTL 2", v4, done, hops),
        Row::behind("IPv6 with hop limit 2", v6, done, hops),
        // Without an 802.1Q interface the stack drops what is tagged.
        Row::bent("IPv4 in a VLAN", v4.in_vlan(7), done, |_| {}).over_sockets(SocketEnd::Silence),
        Row::bent("IPv6 in a VLAN", v6.in_vlan(7), done, |_| {}).over_sockets(SocketEnd::Silence),
        Row::bent("IPv4 padded", v4, done, |frame| frame.resize(90, 0xee)),
        Row::bent("IPv6 padded", v6, done, |frame| frame.resize(110, 0xee)),
        Row::bent("IPv4 without UDP checksum", v4, done, |frame| frame[40..42].fill(0)),
    ]
}

fn answered_by_sockets(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_003), Flow::v6(link, 40_004));
    let done = End::AnsweredBySockets(Outcome::Answered);
    vec![
        Row::behind("IPv4 with options", v4, done, |ip| {
            let IpHeaders::Ipv4(ip, _) = ip else { unreachable!() };
            ip.options = Ipv4Options::try_from(&[1u8; 4][..]).unwrap();
        }),
        Row::behind("IPv6 with destination options", v6, done, |ip| {
            let IpHeaders::Ipv6(_, extensions) = ip else { unreachable!() };
            let padding = Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
            extensions.destination_options = Some(padding);
        }),
        Row::behind("IPv6 in one fragment", v6, done, |ip| {
            let IpHeaders::Ipv6(_, extensions) = ip else { unreachable!() };
            let whole = Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, false, 11);
            extensions.fragment = Some(whole);
        }),
        Row::new("IPv4 in two fragments", v4, done, |flow, transaction| {
            flow.fragments(&transaction.request(&[]), 16)
        }),
        Row::new("IPv6 in two fragments", v6, done, |flow, transaction| {
            flow.fragments(&transaction.request(&[]), 16)
        }),
    ]
}

fn dropped(link: &Link) -> Vec<Row> {
    let (v4, v6) = (Flow::v4(link, 40_005), Flow::v6(link, 40_006));
    let (port_zero_v4, port_zero_v6) = (Flow::v4(link, 0), Flow::v6(link, 0));
    let end = End::Dropped;
    let message = |name, flow, outcome, kind: u16| {
        Row::new(name, flow, end(outcome), move |flow, transaction| {
            vec![flow.frame(&transaction.message(kind, &[]))]
        })
    };
    vec![
        Row::bent("a bad IPv4 header checksum", v4, end(Outcome::BadIpChecksum), |frame| frame[24] ^= 0x55),
        Row::bent("a bad UDP checksum over IPv4", v4, end(Outcome::BadUdpChecksum), |frame| {
            frame[40] ^= 0x55
        }),
        Row::bent("a bad UDP checksum over IPv6", v6, end(Outcome::BadUdpChecksum), |frame| {
            frame[60] ^= 0x55
        }),
        Row::bent("no UDP checksum over IPv6", v6, end(Outcome::NoUdpChecksum), |frame| {
            frame[60..62].fill(0)
        }),
        Row::bent("source port 0 over IPv4", port_zero_v4, end(Outcome::SourcePortZero), |_| {}),
        Row::bent("source port 0 over IPv6", port_zero_v6, end(Outcome::SourcePortZero), |_| {}),
        // A socket cannot see the hardware address; the stack takes no offence at it.
        Row::bent("a group hardware source", v4, end(Outcome::GroupSourceMac), |frame| frame[6] |= 1)
            .over_sockets(SocketEnd::Either),
        message("an indication", v4, Outcome::Indication, 0x0011),
        message("a success response", v4, Outcome::Response, 0x0101),
        message("an error response", v6, Outcome::Response, 0x0111),
        message("an Allocate request", v6, Outcome::OtherMethod, 0x0003),
        message("no STUN at all", v4, Outcome::NotStun, 0xc001),
        Row::new("trailing bytes", v4, end(Outcome::BadLength), |flow, transaction| {
            vec![flow.frame(&[&transaction.request(&[])[..], &[0; 4]].concat())]
        }),
        Row::new("an attribute over the end", v6, end(Outcome::BadAttribute), |flow, transaction| {
            vec![flow.frame(&transaction.request(&[0x80, 0x22, 0, 8, 0, 0, 0, 0]))]
        }),
        Row::new("a wrong FINGERPRINT", v4, end(Outcome::BadFingerprint), |flow, transaction| {
            vec![flow.frame(&transaction.request(&[0x80, 0x28, 0, 4, 1, 2, 3, 4]))]
        }),
    ]
}

fn spoofed(link: &Link) -> Vec<Row> {
    let v4 = |name, source: Ipv4Addr| {
        Row::bent(name, Flow::v4(link, 40_007).from(source), End::Dropped(Outcome::BadSource), |_| {})
    };
    let v6 = |name, source: &str| {
        let source: std::net::Ipv6Addr = source.parse().unwrap();
        Row::bent(name, Flow::v6(link, 40_008).from(source), End::Dropped(Outcome::BadSource), |_| {})
    };
    let [a, b, c, _] = link.server_v4.octets();
    vec![
        v4("from the server's own IPv4 address", link.server_v4),
        v4("from an IPv4 multicast address", Ipv4Addr::new(224, 0, 0, 9)),
        v4("from an IPv4 loopback address", Ipv4Addr::LOCALHOST),
        v4("from the IPv4 broadcast address", Ipv4Addr::BROADCAST),
        v4("from the subnet's broadcast address", Ipv4Addr::new(a, b, c, 255)),
        v4("from the unspecified IPv4 address", Ipv4Addr::UNSPECIFIED),
        // The reply of a socket would not leave the host.
        v6("from the server's own IPv6 address", &link.server_v6.to_string()).over_sockets(SocketEnd::Either),
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
        Row::bent("two VLAN tags", v4.in_vlan(7), End::Passed(Verdict::VlanDepth), two_tags),
        Row::bent("another port", v4.to_port(3479), End::Passed(Verdict::OtherPort), |_| {}),
        Row::bent("another IPv6 port", v6.to_port(3479), End::Passed(Verdict::OtherPort), |_| {}),
        Row::bent(
            "another address",
            v4.to(Ipv4Addr::new(a, b, c, 99)),
            End::Passed(Verdict::OtherAddress),
            |_| {},
        ),
        Row::bent("another host's frame", v4, End::Passed(Verdict::OtherHost), |frame| frame[5] = 0x77),
    ]
}

/// Sends every row, waits for each reply that is owed, and checks after the server's end that nothing
/// else came back and that everything was counted where it should be.
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
                let strangers = rows.iter().filter(|other| !other.is_answered(mode));
                for stranger in strangers.filter(|other| other.socket_end != SocketEnd::Either) {
                    assert!(owns(stranger, frame).is_none(), "{}: answered by {frame:02x?}", stranger.name);
                }
                reply = owns(row, frame);
                reply.is_some()
            });
            assert!(seen.is_some(), "{}: no answer", row.name);
            row.check_reply(&reply.unwrap());
        }
    }
    // One more answer by each path: behind it, nothing that was sent before is still on its way.
    for flow in [Flow::v4(link, 40_011), Flow::v6(link, 40_012)] {
        let asker = Asker::new(&lab.client, flow.source);
        assert_eq!(asker.ask(flow.destination), flow.source);
    }
    let counters = server.stop();
    for frame in wire.drain() {
        for row in &rows {
            let answered = owns(row, &frame).is_some();
            assert!(!answered || row.socket_end == SocketEnd::Either, "{}: {frame:02x?}", row.name);
        }
    }
    match mode.path {
        "sockets" => check_socket_counters(&counters, &rows),
        _ => check_counters(&counters, &rows),
    }
}

/// Every datagram is counted exactly once, under its own end and on its own path.
fn check_counters(counters: &Counters, rows: &[Row]) {
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in rows {
        *expected
            .entry(match row.end {
                End::Answered(outcome) | End::Dropped(outcome) => ("af-xdp", outcome.name()),
                End::AnsweredBySockets(outcome) => ("sockets", outcome.name()),
                End::Passed(verdict) => ("xdp", verdict.name()),
            })
            .or_default() += 1;
    }
    // The two plain clients at the end may have asked more than once.
    let asked = counters.get("af-xdp", "answered");
    let plain = expected.remove(&("af-xdp", "answered")).unwrap();
    assert!(asked >= plain + 2, "answered={asked} on AF_XDP, of {plain} and 2:\n{}", counters.log);
    let ends =
        Outcome::ALL.map(Outcome::name).into_iter().flat_map(|name| [("af-xdp", name), ("sockets", name)]);
    for (path, name) in ends.filter(|end| *end != ("af-xdp", "answered")) {
        let owed = expected.remove(&(path, name)).unwrap_or(0);
        assert_eq!(counters.get(path, name), owed, "{name} on {path}:\n{}", counters.log);
    }
    for ((path, name), owed) in expected {
        // The kernels of both hosts talk too: neighbours, ICMP errors.
        let counted = counters.get(path, name);
        assert!(counted >= owed, "{name}={counted} of {owed} on {path}:\n{}", counters.log);
    }
}

fn check_socket_counters(counters: &Counters, rows: &[Row]) {
    let owed = rows.iter().filter(|row| row.socket_end == SocketEnd::Answered).count() as u64;
    assert!(counters.replies("sockets") >= owed + 2, "{owed} and 2 replies:\n{}", counters.log);
    assert_eq!(counters.get("af-xdp", "received"), 0, "{}", counters.log);
    // What the stack lets through, the sockets judge as the workers do.
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
        let owed =
            rows.iter().filter(|row| matches!(row.end, End::Dropped(end) if end.name() == name)).count();
        assert_eq!(counters.get("sockets", name), owed as u64, "{name}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_gets_its_due_in_native_mode() {
    run(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_gets_its_due_in_generic_mode() {
    run(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_frame_gets_its_due_over_sockets() {
    run(SOCKETS);
}

/// A sender on the same machine leaves the checksum to a device that never comes: it is answered all
/// the same, and counted.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_unfinished_checksum_of_a_local_sender_is_answered_and_counted() {
    for mode in [NATIVE, GENERIC] {
        let lab = Lab::new(1);
        let link = lab.link();
        lab.client.run(&["ethtool", "-K", &link.client_interface, "tx", "on"]);
        let server = mode.serve(&lab, &[]);
        for flow in [Flow::v4(link, 0), Flow::v6(link, 0)] {
            let asker = Asker::new(&lab.client, flow.source);
            let told: SocketAddr = asker.ask(flow.destination);
            assert_eq!(told, asker.address());
        }
        let counters = server.stop();
        let (unfinished, answered) = ("unfinished_checksums", counters.get("af-xdp", "answered"));
        assert!(answered >= 2, "{mode:?}:\n{}", counters.log);
        assert_eq!(counters.get("af-xdp", unfinished), answered, "{mode:?}:\n{}", counters.log);
    }
}

/// Whatever comes, the server goes on, and every frame that a worker received is counted once.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_storm_of_broken_frames_ends_nothing() {
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
            let ended: u64 = Outcome::ALL.iter().map(|outcome| counters.get(path, outcome.name())).sum();
            assert_eq!(ended, counters.get(path, "received"), "{path}, {mode:?}:\n{}", counters.log);
        }
        // The stack drops most of it before a socket sees it.
        assert!(counters.get(mode.path, "received") > 100, "{mode:?}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn classic_requests_are_dropped_where_the_operator_says_so() {
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
