//! Where kernel answers serve by default, and what says so.

use crate::metrics::{FLAGS, METRICS};
use crate::reload::{ConfigFile, ask, text};
use crate::{http, modes};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Server;
use xstun_testkit::lab::{Lab, ip};

/// The state that the server's start line and its status give, which must agree.
fn state(lab: &Lab, server: &Server) -> (bool, String) {
    let line = server.serving_on(&lab.link().server_interface)["kernel_answers"].clone();
    let status = http::get(&lab.server, METRICS, "/status.json").json();
    let answers = &status["interfaces"][0]["kernel_answers"];
    let (serving, reason) =
        (answers["serving"].as_bool().unwrap(), answers["reason"].as_str().unwrap().to_owned());
    assert_eq!(line, format!("{}: {reason}", if serving { "on" } else { "off" }), "{status:#}");
    (serving, reason)
}

/// On veth, replies of the driver reach the other end only if that runs an XDP program: never by default. In generic
/// mode they need no driver.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn auto_answers_in_generic_mode_and_not_on_veth_in_native_mode() {
    for (mode, serves, why) in [("native", false, "veth"), ("generic", true, "generic mode")] {
        let lab = Lab::new(1);
        let interface = lab.link().server_interface.as_str();
        let flags = [&["--interface", interface, "--xdp-mode", mode], &FLAGS[..]].concat();
        let server = Server::start(&lab.server, &flags);
        let (serving, reason) = state(&lab, &server);
        assert_eq!(serving, serves, "{mode}: {reason}");
        assert!(reason.contains(why), "{mode}: {reason}");
        server.stop();
    }
}

/// A policy that the XDP program does not know leaves everything to the workers, and the status says so.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_policy_beyond_the_plain_one_leaves_all_to_the_workers() {
    let lab = Lab::new(1);
    let flags = [
        "--xdp-mode",
        "generic",
        "--kernel-answers",
        "on",
        "--interface",
        &lab.link().server_interface,
        "--software",
    ];
    let server = Server::start(&lab.server, &[&flags[..], &FLAGS].concat());
    let (serving, reason) = state(&lab, &server);
    assert!(!serving && reason.contains("plain policy"), "{reason}");
    crate::metrics::ask(&lab, 5);
    let counters = server.stop();
    assert!(counters.replies("af-xdp") >= 5 && counters.replies("xdp") == 0, "{}", counters.log);
}

/// The client's own program is what lets replies of the driver reach it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn replies_reach_an_end_of_the_pair_that_runs_a_program() {
    let lab = Lab::new(2);
    let _passing = modes::passing_program(&lab);
    let server = modes::KERNEL_NATIVE.serve(&lab, &[]);
    crate::metrics::ask(&lab, 50);
    let counters = server.stop();
    assert!(counters.replies("xdp") >= 50, "{}", counters.log);
    assert_eq!(counters.replies("af-xdp") + counters.replies("sockets"), 0, "{}", counters.log);
}

/// NAT behaviour discovery takes its four endpoints out, and no other.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reload_leaves_the_endpoints_of_nat_behaviour_discovery_to_the_workers() {
    let lab = Lab::new(1);
    let link = lab.link();
    let address = |last: u8, port: u16| SocketAddr::new(Ipv4Addr::new(10, 77, 0, last).into(), port);
    for last in [8, 9] {
        let other = format!("10.77.0.{last}/24");
        ip(&["-n", lab.server.name(), "addr", "add", &other, "dev", &link.server_interface]);
    }
    let (one, elsewhere) = (address(1, 3478), address(9, 3480));
    let mut file = ConfigFile::new(&text(&[one, elsewhere], ""));
    let server = modes::KERNEL_GENERIC.serve(&lab, &[&file.flag()]);
    let listen = [one, elsewhere];
    // Discovery takes exactly one address to listen on, so the one elsewhere is there before and after.
    for more in ["", "alternate-address = ['10.77.0.8:3479']", ""] {
        let addresses = if more.is_empty() { &listen[..] } else { &listen[..1] };
        let line = file.reload(&server, &text(addresses, more));
        assert_eq!(line["message"], "configuration reloaded", "{line}");
        addresses.iter().for_each(|address| ask(&lab, *address));
        if !more.is_empty() {
            [address(1, 3479), address(8, 3478), address(8, 3479)]
                .into_iter()
                .for_each(|four| ask(&lab, four));
        }
    }
    let counters = server.stop();
    assert!(counters.replies("xdp") >= 4, "without discovery:\n{}", counters.log);
    assert!(counters.replies("af-xdp") >= 4, "the four endpoints:\n{}", counters.log);
}

/// Credentials end kernel answers with the reload that adopts them, and their end brings the answers back.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn no_request_is_answered_in_the_kernel_while_credentials_are_required() {
    let lab = Lab::new(1);
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let mut file = ConfigFile::new(&text(&[address], ""));
    let users = file.path().with_file_name("users");
    fs::write(&users, "anna:secret\n").unwrap();
    let server = modes::KERNEL_GENERIC.serve(&lab, &[&file.flag()]);
    ask(&lab, address);
    let required = format!("credentials = '{}'\nrealm = 'example.org'", users.display());
    file.reload(&server, &text(&[address], &required));
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    for _ in 0..20 {
        assert_eq!(asker.ask_once(address, Duration::from_millis(20)), None, "without a password");
    }
    file.reload(&server, &text(&[address], ""));
    ask(&lab, address);
    let counters = server.stop();
    assert!(counters.get("af-xdp", "unauthenticated") >= 1, "{}", counters.log);
    assert!(counters.replies("xdp") >= 2, "{}", counters.log);
}

/// A reload that changes who answers says so, with the reason.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reload_logs_who_answers_from_now_on() {
    let lab = Lab::new(1);
    let listen = [SocketAddr::new(lab.link().server_v4.into(), 3478)];
    let mut file = ConfigFile::new(&text(&listen, ""));
    let server = modes::KERNEL_GENERIC.serve(&lab, &[&file.flag()]);
    for (number, (more, state)) in [
        ("kernel-answers = 'off'", "off: --kernel-answers off"),
        ("software = true", "off: no address has the plain policy"),
        ("", "on: generic mode"),
    ]
    .into_iter()
    .enumerate()
    {
        file.reload(&server, &text(&listen, more));
        let is_change = |line: &serde_json::Value| line["message"] == "kernel answers changed";
        let line = server.wait_for_nth("the change", number + 1, is_change);
        assert!(line["kernel_answers"].as_str().unwrap().starts_with(state), "{line}");
        assert_eq!(line["interface"], lab.link().server_interface, "{line}");
    }
    server.stop();
}
