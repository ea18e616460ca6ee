//! How the server starts and stops, and what it leaves behind.

use crate::errors::refused;
use crate::modes::{
    GENERIC, KERNEL_GENERIC, KERNEL_NATIVE, NATIVE, SOCKETS, WITHOUT_CAPABILITIES, busy_polling_works,
    passing_program,
};
use rustix::process::Signal;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Server;
use xstun_testkit::lab::{Lab, Link, ip};
use xstun_testkit::wait::LIMIT;

/// Sends one request over IPv4 and one over IPv6, and checks the mapped address.
fn ask(lab: &Lab, link: &Link) {
    for (client, server) in [
        (IpAddr::from(link.client_v4), IpAddr::from(link.server_v4)),
        (IpAddr::from(link.client_v6), IpAddr::from(link.server_v6)),
    ] {
        let asker = Asker::new(&lab.client, SocketAddr::new(client, 0));
        assert_eq!(asker.ask(SocketAddr::new(server, 3478)), asker.address());
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sigint_and_sigterm_detach_the_program_and_a_restart_works_at_once() {
    let lab = Lab::new(2);
    let link = lab.link();
    for (mode, signal) in
        [(NATIVE, Signal::INT), (NATIVE, Signal::TERM), (GENERIC, Signal::TERM), (SOCKETS, Signal::INT)]
    {
        let server = mode.serve(&lab, &[]);
        ask(&lab, link);
        let counters = server.stop_by(signal);
        assert!(!lab.server.has_xdp(&link.server_interface), "{mode:?} left its program after {signal:?}");
        assert!(counters.get(mode.path, "answered") >= 2, "{mode:?}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_killed_server_leaves_no_program_behind() {
    for mode in [NATIVE, GENERIC, KERNEL_NATIVE, KERNEL_GENERIC] {
        let lab = Lab::new(1);
        let link = lab.link();
        let _passing = (mode == KERNEL_NATIVE).then(|| passing_program(&lab));
        let server = mode.serve(&lab, &[]);
        ask(&lab, link);
        server.kill();
        // The kernel closes a killed process's files asynchronously.
        let deadline = Instant::now() + LIMIT;
        while lab.server.has_xdp(&link.server_interface) {
            assert!(Instant::now() < deadline, "{mode:?}: the program outlives its server");
        }
        let server = mode.serve(&lab, &[]);
        ask(&lab, link);
        server.stop();
    }
}

/// A frame longer than a page reaches the XDP program in several buffers.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_jumbo_mtu_is_served_natively_and_long_datagrams_pass() {
    let lab = Lab::new(1);
    let link = lab.link();
    for (namespace, interface) in
        [(&lab.server, &link.server_interface), (&lab.client, &link.client_interface)]
    {
        ip(&["-n", namespace.name(), "link", "set", interface, "mtu", "9000"]);
    }
    let server = NATIVE.serve(&lab, &[]);
    ask(&lab, link);
    let neighbour =
        lab.server.enter(|| UdpSocket::bind(SocketAddr::new(link.server_v4.into(), 5000))).unwrap();
    let client = lab.client.enter(|| UdpSocket::bind(SocketAddr::new(link.client_v4.into(), 0))).unwrap();
    let sent: Vec<u8> = (0..8000u32).map(|n| n as u8).collect();
    let mut received = vec![0; 9000];
    neighbour.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let length = (0..40).find_map(|_| {
        client.send_to(&sent, neighbour.local_addr().unwrap()).unwrap();
        neighbour.recv(&mut received).ok()
    });
    assert!(received[..length.expect("the long datagram arrives")] == sent[..], "and arrives unchanged");
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 2, "{}", counters.log);
    assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn two_interfaces_are_served_at_once() {
    let mut lab = Lab::new(2);
    let second = lab.add_link(1);
    let first = lab.link().clone();
    let server = NATIVE.serve(&lab, &["--interface", &second.server_interface]);
    assert_eq!(server.serving_on(&first.server_interface)["queues"], 2);
    assert_eq!(server.serving_on(&second.server_interface)["queues"], 1);
    ask(&lab, &first);
    ask(&lab, &second);
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 4, "{}", counters.log);
    assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
    for interface in [&first.server_interface, &second.server_interface] {
        assert!(!lab.server.has_xdp(interface), "{interface}");
    }
}

/// With `--queues 1` of two, the sockets answer what the other queue receives.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn queues_without_a_worker_are_served_by_the_sockets() {
    let lab = Lab::new(2);
    let link = lab.link();
    let server = NATIVE.serve(&lab, &["--queues", "1"]);
    for _ in 0..32 {
        ask(&lab, link);
    }
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") > 0, "{}", counters.log);
    assert!(counters.get("sockets", "answered") > 0, "{}", counters.log);
    assert!(counters.get("xdp", "no_socket") > 0, "{}", counters.log);
}

/// Loopback has no hardware queue for a worker; the sockets serve it in every mode.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn loopback_is_served_by_the_sockets() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &[]);
    for address in [IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap(), lab.link().server_v4.into()] {
        let asker = Asker::new(&lab.server, SocketAddr::new(address, 0));
        assert_eq!(asker.ask(SocketAddr::new(address, 3478)), asker.address());
    }
    let counters = server.stop();
    assert!(counters.get("sockets", "answered") >= 3, "{}", counters.log);
    assert_eq!(counters.get("af-xdp", "received"), 0, "{}", counters.log);
}

/// By default the server uses the best available mode: native XDP on veth.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn auto_uses_native_af_xdp_if_available() {
    let lab = Lab::new(2);
    let link = lab.link();
    let server = Server::start(&lab.server, &["--interface", &link.server_interface]);
    let line = server.serving_on(&link.server_interface);
    assert_eq!((&line["path"], &line["xdp_mode"]), (&"af-xdp".into(), &"native".into()), "{line}");
    assert_eq!((&line["bind_mode"], &line["queues"]), (&"copy".into(), &2.into()), "{line}");
    ask(&lab, link);
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 2, "{}", counters.log);
}

/// If AF_XDP is not available, the sockets serve and the log gives the reason.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn auto_steps_down_to_sockets_and_logs_the_reason() {
    let lab = Lab::new(1);
    let link = lab.link();
    let server = Server::start(&lab.server, &["--interface", "lo"]);
    let line = server.serving_on("lo");
    assert_eq!(line["path"], "sockets", "{line}");
    assert!(line["stepped_down"].as_str().is_some_and(|why| why.contains("loopback")), "{line}");
    ask(&lab, link);
    let counters = server.stop();
    assert!(counters.get("sockets", "answered") >= 2, "{}", counters.log);
}

/// Serving with sockets takes no capabilities.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn sockets_serve_without_capabilities() {
    let lab = Lab::new(1);
    let server = Server::start_behind(&lab.server, &WITHOUT_CAPABILITIES, &["--datapath", "socket"]);
    ask(&lab, lab.link());
    let counters = server.stop();
    assert!(counters.get("sockets", "answered") >= 2, "{}", counters.log);
}

/// When the server exits, it restores the interface's NAPI settings.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn busy_polling_restores_the_napi_settings() {
    let lab = Lab::new(1);
    let link = lab.link();
    let setting = |name: &str, value: Option<&str>| -> String {
        let path = format!("/sys/class/net/{}/{name}", link.server_interface);
        if let Some(value) = value {
            lab.server.run(&["sh", "-c", &format!("echo {value} > {path}")]);
        }
        lab.server.run(&["cat", &path]).trim().to_owned()
    };
    setting("napi_defer_hard_irqs", Some("1"));
    setting("gro_flush_timeout", Some("12345"));
    if busy_polling_works() {
        let server = NATIVE.serve(&lab, &["--busy-poll"]);
        ask(&lab, link);
        assert_ne!(setting("gro_flush_timeout", None), "12345", "busy polling has settings of its own");
        let counters = server.stop();
        assert!(counters.get("af-xdp", "answered") >= 2, "{}", counters.log);
    } else {
        // The kernel would accept each option and never poll: every frame would wait for a timer.
        let flags = ["--interface", &link.server_interface, "--busy-poll"];
        refused(&lab, &[], &flags, 1, &["--busy-poll", "NAPI", "leave --busy-poll out"]);
        assert!(!lab.server.has_xdp(&link.server_interface));
    }
    assert_eq!(setting("napi_defer_hard_irqs", None), "1");
    assert_eq!(setting("gro_flush_timeout", None), "12345");
}

/// One interface of two is removed while the server runs: it continues to serve the other, and stops
/// cleanly.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_server_survives_the_removal_of_an_interface() {
    let mut lab = Lab::new(1);
    let second = lab.add_link(2);
    let first = lab.link().clone();
    let server = NATIVE.serve(&lab, &["--interface", &second.server_interface]);
    ask(&lab, &first);
    ask(&lab, &second);
    ip(&["-n", lab.server.name(), "link", "del", &second.server_interface]);
    ask(&lab, &first);
    // The counters of its workers are kept after they have stopped.
    server.wait_for_nth("both workers to stop", 2, |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("the sockets take over this queue")
            && line["interface"] == *second.server_interface
    });
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 6, "{}", counters.log);
    assert!(!lab.server.has_xdp(&first.server_interface));
}

/// An interface whose link goes down and comes up again is served as before.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_is_served_again_after_link_down_and_up() {
    let lab = Lab::new(2);
    let link = lab.link();
    let server = NATIVE.serve(&lab, &[]);
    ask(&lab, link);
    for state in ["down", "up"] {
        ip(&["-n", lab.server.name(), "link", "set", &link.server_interface, state]);
    }
    // The kernel removes IPv6 addresses when the link goes down.
    let v6 = format!("{}/64", link.server_v6);
    ip(&["-n", lab.server.name(), "addr", "replace", &v6, "dev", &link.server_interface, "nodad"]);
    ask(&lab, link);
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 3, "{}", counters.log);
}

/// With `--xdp-log` the server logs each verdict of the XDP program.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn xdp_log_logs_the_programs_verdicts() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &["--xdp-log"]);
    ask(&lab, lab.link());
    server.wait_for("a line of the XDP program", |line| line["message"] == "redirect: queue 0");
    server.stop();
}
