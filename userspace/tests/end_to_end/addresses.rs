//! Addresses are added and removed while the server runs.

use crate::modes::{GENERIC, Mode, NATIVE};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use xstun_ebpf::MAX_ENDPOINTS;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::{Datagram, Flow};
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, ip};
use xstun_testkit::wait::LIMIT;

/// Sends requests until AF_XDP answers. The sockets also answer at once, but with the checksum offload
/// of the server's veth end switched on, their replies carry an unfinished checksum; a worker's is complete.
fn wait_until_served(wire: &Wire, flow: Flow) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let transaction = Transaction::with_cookie();
        wire.send(&flow.frame(&transaction.request(&[])));
        let mut is_complete = false;
        wire.wait_for(Duration::from_millis(500), |frame| {
            let reply = Datagram::read(frame).filter(|reply| transaction.owns(&reply.payload));
            is_complete = reply.as_ref().is_some_and(|reply| reply.checksums_hold);
            reply.is_some()
        });
        if is_complete {
            return;
        }
        assert!(Instant::now() < deadline, "AF_XDP does not serve {}", flow.destination);
    }
}

/// Sends requests until one gets no reply.
fn wait_until_silent(wire: &Wire, flow: Flow) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let transaction = Transaction::with_cookie();
        wire.send(&flow.frame(&transaction.request(&[])));
        let reply = wire.wait_for(Duration::from_secs(1), |frame| {
            Datagram::read(frame).is_some_and(|reply| transaction.owns(&reply.payload))
        });
        if reply.is_none() {
            return;
        }
        assert!(Instant::now() < deadline, "{} is still served", flow.destination);
    }
}

fn follows_address_changes(mode: Mode) {
    let lab = Lab::new(1);
    let link = lab.link();
    lab.server.run(&["ethtool", "-K", &link.server_interface, "tx", "on"]);
    let server = mode.serve(&lab, &[]);
    let wire = Wire::open(&lab.client, &link.client_interface);
    let (v4, v6) = (IpAddr::from([10, 77, 0, 9]), IpAddr::V6("fd77::9".parse::<Ipv6Addr>().unwrap()));
    for (flow, address, prefix) in
        [(Flow::v4(link, 42_001).to(v4), v4, 24), (Flow::v6(link, 42_002).to(v6), v6, 64)]
    {
        let change = |verb| {
            let address = format!("{address}/{prefix}");
            let mut words =
                vec!["-n", lab.server.name(), "addr", verb, &address, "dev", &link.server_interface];
            if verb == "add" && prefix == 64 {
                words.push("nodad");
            }
            ip(&words);
        };
        wait_until_silent(&wire, flow);
        for _ in 0..2 {
            change("add");
            wait_until_served(&wire, flow);
            change("del");
            wait_until_silent(&wire, flow);
        }
    }
    // The unchanged addresses are still served.
    wait_until_served(&wire, Flow::v4(link, 42_001));
    wait_until_served(&wire, Flow::v6(link, 42_002));
    let counters = server.stop();
    assert!(counters.get("xdp", "other_address") >= 2, "{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn added_addresses_are_served_and_removed_ones_are_not_in_native_mode() {
    follows_address_changes(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn added_addresses_are_served_and_removed_ones_are_not_in_generic_mode() {
    follows_address_changes(GENERIC);
}

/// More addresses than the program's map of endpoints holds cost one interface its updates, and no other one.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_refused_map_update_leaves_the_other_interface_up_to_date() {
    const PORTS: u16 = 20;
    let mut lab = Lab::new(1);
    let other = lab.add_link(1);
    let full = lab.link().server_interface.clone();
    lab.server.run(&["ethtool", "-K", &other.server_interface, "tx", "on"]);
    let listen: Vec<String> = (3478..3478 + PORTS).map(|port| format!("--listen=0.0.0.0:{port}")).collect();
    let mut flags = vec!["--no-tcp", "--interface", &other.server_interface];
    flags.extend(listen.iter().map(String::as_str));
    let server = NATIVE.serve(&lab, &flags);
    let add = |address: &str, interface| {
        ip(&["-n", lab.server.name(), "addr", "add", address, "dev", interface]);
    };
    for host in 0..=MAX_ENDPOINTS / u32::from(PORTS) {
        add(&format!("10.99.0.{host}/32"), &full);
    }
    let refusal = server.wait_for("the refusal", |line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("cannot follow all changes"))
    });
    assert!(refusal["message"].as_str().unwrap().contains("XSTUN_SERVED"), "{refusal}");
    let added = [10, 98, 0, 9];
    add("10.98.0.9/24", &other.server_interface);
    let wire = Wire::open(&lab.client, &other.client_interface);
    wait_until_served(&wire, Flow::v4(&other, 42_005).to(added));
    server.stop();
}

/// `--listen ADDRESS:PORT` serves that endpoint and no other address or port.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_the_listen_endpoint_is_served() {
    let lab = Lab::new(1);
    let link = lab.link();
    ip(&["-n", lab.server.name(), "addr", "add", "10.77.0.9/24", "dev", &link.server_interface]);
    lab.server.run(&["ethtool", "-K", &link.server_interface, "tx", "on"]);
    let listen = format!("{}:5349", link.server_v4);
    let server = NATIVE.serve(&lab, &["--listen", &listen]);
    let wire = Wire::open(&lab.client, &link.client_interface);
    let flow = Flow::v4(link, 42_003).to_port(5349);
    wait_until_served(&wire, flow);
    wait_until_silent(&wire, flow.to_port(3478));
    wait_until_silent(&wire, flow.to([10, 77, 0, 9]));
    wait_until_silent(&wire, Flow::v6(link, 42_004).to_port(5349));
    let counters = server.stop();
    assert!(counters.get("xdp", "other_port") >= 1, "{}", counters.log);
    assert!(counters.get("xdp", "other_address") >= 1, "{}", counters.log);
}

/// On a host with many addresses, the reply's source is the request's destination.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_reply_comes_from_the_requests_destination_address() {
    for mode in [NATIVE, crate::modes::SOCKETS] {
        let lab = Lab::new(1);
        let link = lab.link();
        for more in ["10.77.0.9/24", "10.77.0.10/24", "192.168.77.1/24"] {
            ip(&["-n", lab.server.name(), "addr", "add", more, "dev", &link.server_interface]);
        }
        ip(&["-n", lab.client.name(), "route", "add", "192.168.77.0/24", "dev", &link.client_interface]);
        let server = mode.serve(&lab, &[]);
        let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
        for address in [[10, 77, 0, 1], [10, 77, 0, 9], [10, 77, 0, 10], [192, 168, 77, 1]] {
            assert_eq!(asker.ask(SocketAddr::new(address.into(), 3478)), asker.address(), "{mode:?}");
        }
        let counters = server.stop();
        assert!(counters.get(mode.path, "answered") >= 4, "{}", counters.log);
    }
}
