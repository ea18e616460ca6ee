//! Frames that the server does not serve reach the kernel's stack unchanged, and the stack keeps working
//! while the server is under load.

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

/// Frames that are not the server's, each with unique bytes.
fn foreign(link: &Link) -> Vec<(&'static str, Vec<u8>)> {
    let (v4, v6) = (Flow::v4(link, 41_001), Flow::v6(link, 41_002));
    let request = || Transaction::with_cookie().request(&[]);
    let modified = |flow: Flow, modify: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = flow.frame(&request());
        modify(&mut frame);
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
        ("an unknown EtherType", modified(v4, &|frame| frame[12..14].copy_from_slice(&[0x88, 0xb5]))),
        (
            "an unknown EtherType in a VLAN",
            modified(v4.in_vlan(9), &|frame| {
                frame[16..18].copy_from_slice(&[0x88, 0xb5]);
            }),
        ),
        (
            "two VLAN tags",
            modified(v4.in_vlan(9), &|frame| drop(frame.splice(12..12, [0x88, 0xa8, 0x20, 8]))),
        ),
        ("TCP", tcp),
        ("a ping", ping),
        ("another port", v4.to_port(53).frame(&request())),
        ("another port, in a VLAN", v6.to_port(53).in_vlan(9).frame(&request())),
        ("another port, with a bad checksum", modified(v6.to_port(53), &|frame| frame[60] ^= 0x55)),
        ("another IPv4 address", v4.to(Ipv4Addr::new(10, 77, 0, 99)).frame(&request())),
        ("another IPv6 address", v6.to("fd77::99".parse::<std::net::Ipv6Addr>().unwrap()).frame(&request())),
        ("another host", modified(v4, &|frame| frame[5] = 0x77)),
        ("a fragment", modified(v4, &|frame| frame[20] = 0x20)),
        ("a truncated datagram", modified(v4, &|frame| frame.truncate(50))),
        ("a long frame", v4.to_port(53).frame(&[0x5a; 1472])),
        ("only an Ethernet header", [&link.server_mac[..], &link.client_mac, &[0x86, 0xdd]].concat()),
        (
            "padding behind an empty IPv4 packet",
            modified(v4, &|frame| frame[16..18].copy_from_slice(&[0, 20])),
        ),
    ]
}

fn passes_foreign_frames(mode: Mode) {
    let lab = Lab::new(1);
    let link = lab.link();
    let _server = mode.serve(&lab, &[]);
    let client = Wire::open(&lab.client, &link.client_interface);
    let stack = Wire::open(&lab.server, &link.server_interface);
    for (name, frame) in foreign(link) {
        // First a request for the server: if AF_XDP serves, the stack must not see it.
        let served = Transaction::with_cookie();
        let flow = Flow::v4(link, 41_003);
        client.send(&flow.frame(&served.request(&[])));
        client.send(&frame);
        let passed = stack.wait_for(LIMIT, |seen| {
            let is_served = Datagram::read(seen).is_some_and(|datagram| served.owns(&datagram.payload));
            assert!(
                !is_served || mode.path == "sockets",
                "{name}: a request that AF_XDP serves reached the stack"
            );
            *seen == frame[..]
        });
        assert!(passed.is_some(), "{name}: the stack did not see it unchanged, {mode:?}: {frame:02x?}");
        let reply = client.wait_for(LIMIT, |seen| {
            Datagram::read(seen)
                .is_some_and(|reply| served.mapped_address(&reply.payload) == Some(flow.source))
        });
        assert!(reply.is_some(), "{name}: the request sent before it got no reply, {mode:?}");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn foreign_frames_reach_the_stack_byte_for_byte_in_native_mode() {
    passes_foreign_frames(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn foreign_frames_reach_the_stack_byte_for_byte_in_generic_mode() {
    passes_foreign_frames(GENERIC);
}

/// The stack still reports a closed port by ICMP.
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
        // Ethernet, IPv4, ICMP destination unreachable (port), then the datagram from its IP header on.
        let report = wire.wait_for(LIMIT, |frame| {
            frame.get(23) == Some(&1)
                && frame.get(34..36) == Some(&[3, 3])
                && frame.get(42..62) == Some(&sent[14..34])
        });
        assert!(report.is_some(), "{mode:?}");
    }
}

/// On a forwarding host, requests to other hosts are forwarded, even on the STUN port.
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
        // The source must not be an address of the far end.
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

/// ARP, neighbour discovery, ping and TCP on an interface that serves a flood of requests.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn arp_ndp_ping_and_tcp_work_under_load() {
    for mode in [NATIVE, GENERIC, SOCKETS] {
        let lab = Lab::new(2);
        let link = lab.link();
        let server = mode.serve(&lab, &[]);
        let mut load = lab.client.command(xstun());
        load.args(["load", &link.server_v4.to_string(), "--duration", "600", "--rate", "5000"]);
        let mut load = KilledOnDrop(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v6.into(), 0));
        assert_eq!(asker.ask(SocketAddr::new(link.server_v6.into(), 3478)), asker.address());

        // Flushed neighbours must be resolved again, by ARP and by neighbour discovery.
        lab.client.run(&["ip", "neigh", "flush", "all"]);
        lab.server.run(&["ip", "neigh", "flush", "all"]);
        for address in [link.server_v4.to_string(), link.server_v6.to_string()] {
            lab.client.run(&["ping", "-n", "-c", "5", "-i", "0.2", "-w", "30", &address]);
        }
        for address in [link.server_v4.into(), link.server_v6.into()] {
            let listener = lab.server.enter(|| TcpListener::bind(SocketAddr::new(address, 0))).unwrap();
            let address = listener.local_addr().unwrap();
            let sent: Vec<u8> =
                (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let returned = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut received = vec![0; sent.len()];
                    stream.read_exact(&mut received).unwrap();
                    stream.write_all(&received).unwrap();
                });
                let mut stream = lab.client.enter(|| TcpStream::connect_timeout(&address, LIMIT)).unwrap();
                stream.set_read_timeout(Some(3 * LIMIT)).unwrap();
                stream.write_all(&sent).unwrap();
                let mut returned = Vec::new();
                stream.read_to_end(&mut returned).unwrap();
                returned
            });
            assert!(returned == sent, "{} bytes came back over TCP of {}", returned.len(), sent.len());
        }
        assert!(load.0.try_wait().unwrap().is_none(), "the load exited early, {mode:?}");
        drop(load);
        let counters = server.stop();
        assert!(counters.get(mode.path, "answered") > 1000, "{mode:?}:\n{}", counters.log);
        assert_eq!(counters.get(mode.other_path(), "answered"), 0, "{mode:?}:\n{}", counters.log);
    }
}

/// A process, killed on drop.
struct KilledOnDrop(std::process::Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
