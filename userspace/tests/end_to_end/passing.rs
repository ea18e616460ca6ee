//! What is not ours reaches the kernel's stack untouched, and the stack goes on with its work while
//! the server is under load.

use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::{Datagram, Flow};
use xstun_testkit::lab::server::xstun;
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link};
use xstun_testkit::wait::LIMIT;

/// Frames that are not ours, each with bytes of its own.
fn foreign(link: &Link) -> Vec<(&'static str, Vec<u8>)> {
    let (v4, v6) = (Flow::v4(link, 41_001), Flow::v6(link, 41_002));
    let request = || Transaction::with_cookie().request(&[]);
    let bent = |flow: Flow, bend: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = flow.frame(&request());
        bend(&mut frame);
        frame
    };
    let mut arp = [&[0xff; 6][..], &link.client_mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    arp.extend(link.client_mac.iter().chain(&link.client_v4.octets()).chain(&[0; 6]).chain(&[10, 77, 0, 99]));
    let mut tcp = Vec::new();
    etherparse::PacketBuilder::ethernet2(link.client_mac, link.server_mac)
        .ip(v4.ip())
        .tcp(41_001, 3478, 7, 1024)
        .syn()
        .write_to_vec(&mut tcp, b"early data")
        .unwrap();
    let mut ping = Vec::new();
    etherparse::PacketBuilder::ethernet2(link.client_mac, link.server_mac)
        .ip(v6.ip())
        .icmpv6_echo_request(7, 9)
        .write_to_vec(&mut ping, b"ping")
        .unwrap();
    vec![
        ("ARP", arp),
        ("an unknown EtherType", bent(v4, &|frame| frame[12..14].copy_from_slice(&[0x88, 0xb5]))),
        (
            "an unknown EtherType in a VLAN",
            bent(v4.in_vlan(9), &|frame| {
                frame[16..18].copy_from_slice(&[0x88, 0xb5]);
            }),
        ),
        ("two VLAN tags", bent(v4.in_vlan(9), &|frame| drop(frame.splice(12..12, [0x88, 0xa8, 0x20, 8])))),
        ("TCP", tcp),
        ("a ping", ping),
        ("another port", v4.to_port(53).frame(&request())),
        ("another port, in a VLAN", v6.to_port(53).in_vlan(9).frame(&request())),
        ("another port, with a bad checksum", bent(v6.to_port(53), &|frame| frame[60] ^= 0x55)),
        ("another IPv4 address", v4.to(Ipv4Addr::new(10, 77, 0, 99)).frame(&request())),
        ("another IPv6 address", v6.to("fd77::99".parse::<std::net::Ipv6Addr>().unwrap()).frame(&request())),
        ("another host", bent(v4, &|frame| frame[5] = 0x77)),
        ("a fragment", bent(v4, &|frame| frame[20] = 0x20)),
        ("a datagram cut short", bent(v4, &|frame| frame.truncate(50))),
        ("a long frame", v4.to_port(53).frame(&[0x5a; 1472])),
        ("an Ethernet header alone", [&link.server_mac[..], &link.client_mac, &[0x86, 0xdd]].concat()),
        ("padding behind an empty IPv4 packet", bent(v4, &|frame| frame[16..18].copy_from_slice(&[0, 20]))),
    ]
}

fn untouched(mode: Mode) {
    let lab = Lab::new(1);
    let link = lab.link();
    let _server = mode.serve(&lab, &[]);
    let client = Wire::open(&lab.client, &link.client_interface);
    let stack = Wire::open(&lab.server, &link.server_interface);
    for (name, frame) in foreign(link) {
        // A request of ours goes first: where AF_XDP serves, the stack must not see it.
        let ours = Transaction::with_cookie();
        let flow = Flow::v4(link, 41_003);
        client.send(&flow.frame(&ours.request(&[])));
        client.send(&frame);
        let passed = stack.wait_for(LIMIT, |seen| {
            let stolen = Datagram::read(seen).is_some_and(|datagram| ours.owns(&datagram.payload));
            assert!(
                !stolen || mode.path == "sockets",
                "{name}: a request that AF_XDP serves reached the stack"
            );
            *seen == frame[..]
        });
        assert!(passed.is_some(), "{name}: not seen by the stack as it was sent, {mode:?}: {frame:02x?}");
        let answer = client.wait_for(LIMIT, |seen| {
            Datagram::read(seen).is_some_and(|reply| ours.mapped_address(&reply.payload) == Some(flow.source))
        });
        assert!(answer.is_some(), "{name}: the request beside it is answered, {mode:?}");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn foreign_frames_reach_the_stack_byte_for_byte_in_native_mode() {
    untouched(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn foreign_frames_reach_the_stack_byte_for_byte_in_generic_mode() {
    untouched(GENERIC);
}

/// The stack's own answer to a datagram for a closed port still comes.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_closed_port_is_reported_by_the_stack() {
    for mode in [NATIVE, GENERIC, SOCKETS] {
        let lab = Lab::new(1);
        let _server = mode.serve(&lab, &[]);
        let link = lab.link();
        let wire = Wire::open(&lab.client, &link.client_interface);
        let sent = Flow::v4(link, 41_004).to_port(3479).frame(b"is anybody there?");
        wire.send(&sent);
        // Ethernet, IPv4, then ICMP: destination unreachable, port; then the datagram from its IP
        // header on.
        let answer = wire.wait_for(LIMIT, |frame| {
            frame.get(23) == Some(&1)
                && frame.get(34..36) == Some(&[3, 3])
                && frame.get(42..62) == Some(&sent[14..34])
        });
        assert!(answer.is_some(), "{mode:?}");
    }
}

/// A host that forwards for others is not hijacked, even on the STUN port.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn requests_to_another_server_are_forwarded() {
    for mode in [NATIVE, GENERIC] {
        let mut lab = Lab::new(1);
        let far = lab.add_link(1);
        lab.server.enter(|| {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
            }
        });
        let _server = mode.serve(&lab, &["--interface", &far.server_interface]);
        let link = lab.link();
        let near_wire = Wire::open(&lab.client, &link.client_interface);
        let far_wire = Wire::open(&lab.client, &far.client_interface);
        // The source must not be one that the far end has itself.
        let v4 = Flow::v4(link, 41_005).from(Ipv4Addr::new(10, 77, 0, 50)).to(far.client_v4);
        let v6 =
            Flow::v6(link, 41_006).from("fd77::50".parse::<std::net::Ipv6Addr>().unwrap()).to(far.client_v6);
        for flow in [v4, v6] {
            let transaction = Transaction::with_cookie();
            near_wire.send(&flow.frame(&transaction.request(&[])));
            let mut forwarded = None;
            far_wire.wait_for(LIMIT, |frame| {
                forwarded = Datagram::read(frame).filter(|datagram| transaction.owns(&datagram.payload));
                forwarded.is_some()
            });
            let forwarded = forwarded.unwrap_or_else(|| panic!("{flow:?} is not forwarded, {mode:?}"));
            assert_eq!((forwarded.source, forwarded.destination), (flow.source, flow.destination));
            assert_eq!(forwarded.payload, transaction.request(&[]), "{mode:?}");
            assert_eq!(forwarded.hops, 63, "{mode:?}");
            assert_eq!(forwarded.source_mac, far.server_mac, "{mode:?}");
        }
    }
}

/// ARP, ping and TCP through the interface that serves a flood of requests.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn neighbours_ping_and_tcp_work_under_load() {
    for mode in [NATIVE, GENERIC, SOCKETS] {
        let lab = Lab::new(2);
        let link = lab.link();
        let server = mode.serve(&lab, &[]);
        let mut load = lab.client.command(xstun());
        load.args(["load", &link.server_v4.to_string(), "--duration", "600", "--rate", "5000"]);
        let mut load = Ended(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v6.into(), 0));
        assert_eq!(asker.ask(SocketAddr::new(link.server_v6.into(), 3478)), asker.address());

        // Forgotten neighbours have to be found again, by ARP and by neighbour discovery.
        lab.client.run(&["ip", "neigh", "flush", "all"]);
        lab.server.run(&["ip", "neigh", "flush", "all"]);
        for address in [link.server_v4.to_string(), link.server_v6.to_string()] {
            lab.client.run(&["ping", "-n", "-c", "5", "-i", "0.2", "-w", "30", &address]);
        }
        for address in [link.server_v4.into(), link.server_v6.into()] {
            let listener = lab.server.enter(|| TcpListener::bind(SocketAddr::new(address, 0))).unwrap();
            let address = listener.local_addr().unwrap();
            let there: Vec<u8> =
                (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let back = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut received = vec![0; there.len()];
                    stream.read_exact(&mut received).unwrap();
                    stream.write_all(&received).unwrap();
                });
                let mut stream = lab.client.enter(|| TcpStream::connect_timeout(&address, LIMIT)).unwrap();
                stream.set_read_timeout(Some(3 * LIMIT)).unwrap();
                stream.write_all(&there).unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                back
            });
            assert!(back == there, "{} bytes came back over TCP of {}", back.len(), there.len());
        }
        assert!(load.0.try_wait().unwrap().is_none(), "the load lasted, {mode:?}");
        drop(load);
        let counters = server.stop();
        assert!(counters.get(mode.path, "answered") > 1000, "{mode:?}:\n{}", counters.log);
        assert_eq!(counters.get(mode.other_path(), "answered"), 0, "{mode:?}:\n{}", counters.log);
    }
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
