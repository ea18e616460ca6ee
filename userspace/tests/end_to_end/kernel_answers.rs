//! Where kernel answers serve by default, and what says so.

use crate::metrics::{FLAGS, METRICS};
use crate::{http, modes};
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::server::Server;

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
