//! What the driver loses after a verdict of the XDP program is counted, frame by frame, and nothing else is.

use crate::http::get;
use crate::metrics::{FLAGS, METRICS, ask};
use crate::modes::{GENERIC, KERNEL_NATIVE, Mode, NATIVE, passing_program};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use xstun_ebpf::loss::DriverLoss;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::Flow;
use xstun_testkit::lab::server::{Counters, Server};
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link};
use xstun_testkit::wait::wait_until;

/// More requests than the rings of one AF_XDP socket have room for.
const REQUESTS: u64 = 6_000;

/// The counters of one path and interface, by name.
fn counted(counters: &Counters, path: &str, interface: &str) -> BTreeMap<String, u64> {
    let lines = counters.log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| {
        line["message"] == "counters" && line["path"] == path && line["interface"] == interface
    });
    let mut sums = BTreeMap::new();
    for line in lines {
        for pair in line["counters"].as_str().unwrap().split_whitespace() {
            let (name, count) = pair.split_once('=').unwrap();
            *sums.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
    }
    sums
}

/// The sum of the losses that `wanted` says yes to.
fn lost(counts: &BTreeMap<String, u64>, wanted: impl Fn(DriverLoss) -> bool) -> u64 {
    let kinds = DriverLoss::ALL.into_iter().filter(|kind| wanted(*kind));
    kinds.filter_map(|kind| counts.get(&format!("lost_{}", kind.name()))).sum()
}

/// Sends plain requests as fast as they can be sent.
fn flood(lab: &Lab, link: &Link, requests: u64) {
    let wire = Wire::open(&lab.client, &link.client_interface);
    let frame = Flow::v4(link, 40_001).frame(&Transaction::with_cookie().request(&[]));
    (0..requests).for_each(|_| wire.send(&frame));
}

/// While the workers stand still, the rings of their sockets run full: each redirected frame is then either
/// received or counted as lost, also by the socket itself; and an interface with room loses none.
fn redirected_frames_are_received_or_counted_as_lost(mode: Mode) {
    let mut lab = Lab::new(1);
    let other = lab.add_link(1);
    let full = lab.link().clone();
    let flags = ["--interface", &other.server_interface];
    let server = mode.serve(&lab, &flags);
    server.signal(Signal::STOP);
    flood(&lab, &full, REQUESTS);
    flood(&lab, &other, 100);
    server.signal(Signal::CONT);
    for link in [&full, &other] {
        let flow = Flow::v4(link, 40_002);
        assert_eq!(Asker::new(&lab.client, flow.source).ask(flow.destination), flow.source);
    }
    let counters = server.stop();
    for (link, has_room) in [(&full, false), (&other, true)] {
        let program = counted(&counters, "xdp", &link.server_interface);
        let workers = counted(&counters, "af-xdp", &link.server_interface);
        let lost_in_all = lost(&program, |_| true);
        assert_eq!(program["redirect"], workers["received"] + lost_in_all, "{}", counters.log);
        let by_socket =
            ["rx_dropped", "rx_ring_full"].iter().filter_map(|name| workers.get(*name)).sum::<u64>();
        assert_eq!(lost(&program, DriverLoss::counted_by_socket), by_socket, "{}", counters.log);
        assert_eq!(lost_in_all == 0, has_room, "{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn redirected_frames_are_received_or_counted_as_lost_in_native_mode() {
    redirected_frames_are_received_or_counted_as_lost(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn redirected_frames_are_received_or_counted_as_lost_in_generic_mode() {
    redirected_frames_are_received_or_counted_as_lost(GENERIC);
}

/// What `ethtool -S` counts for the server's interface under names with this end, over all queues.
fn driver_counter(lab: &Lab, end: &str) -> u64 {
    let shown = lab.server.run(&["ethtool", "-S", &lab.link().server_interface]);
    let counters = shown.lines().filter_map(|line| line.trim().split_once(": "));
    let counters = counters.filter(|(name, _)| name.starts_with("rx_queue_") && name.ends_with(end));
    counters.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// A veth end whose peer has no XDP program accepts replies until its ring is full, and drops those that follow.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_reply_leaves_or_is_counted_as_lost() {
    for peer_has_program in [false, true] {
        let lab = Lab::new(2);
        let _passing = peer_has_program.then(|| passing_program(&lab));
        let server = KERNEL_NATIVE.serve(&lab, &[]);
        flood(&lab, lab.link(), REQUESTS);
        let counters = server.stop();
        let counts = counted(&counters, "xdp", &lab.link().server_interface);
        let lost = lost(&counts, |_| true);
        assert_eq!(counts["answered"], REQUESTS, "{}", counters.log);
        assert_eq!(counts["answered"], lost + driver_counter(&lab, "_xdp_tx"), "{}", counters.log);
        assert_eq!(lost, driver_counter(&lab, "_xdp_tx_errors"), "{}", counters.log);
        assert_eq!(lost == 0, peer_has_program, "{}", counters.log);
    }
}

/// Also while requests still come when the server stops.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn replies_up_to_the_end_are_counted() {
    let lab = Lab::new(2);
    let _passing = passing_program(&lab);
    let server = KERNEL_NATIVE.serve(&lab, &[]);
    let (running, sent) = (AtomicBool::new(true), AtomicU64::new(0));
    let counters = thread::scope(|scope| {
        scope.spawn(|| {
            while running.load(Relaxed) {
                flood(&lab, lab.link(), 100);
                sent.fetch_add(100, Relaxed);
            }
        });
        wait_until("requests come", || sent.load(Relaxed) > REQUESTS);
        let counters = server.stop();
        running.store(false, Relaxed);
        counters
    });
    let counts = counted(&counters, "xdp", &lab.link().server_interface);
    assert_eq!(
        counts["answered"],
        lost(&counts, |_| true) + driver_counter(&lab, "_xdp_tx"),
        "{}",
        counters.log
    );
}

/// Sends requests until the server leaves them to the workers, and checks what it says about that and that clients
/// are answered from then on.
fn kernel_answers_are_left(server: Server, lab: &Lab) {
    let interface = &lab.link().server_interface;
    let status = || get(&lab.server, METRICS, "/status.json").json()["interfaces"][0].clone();
    assert_eq!(status()["kernel_answers"]["serving"], true);
    wait_until("the workers answer", || {
        flood(lab, lab.link(), 400);
        status()["kernel_answers"]["serving"] == false
    });
    let left = server.wait_for("the step down", |line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("the workers answer plain requests: "))
    });
    assert_eq!(left["interface"], **interface, "{left}");
    ask(lab, 3);
    let status = status();
    let reason = status["kernel_answers"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("did not send") && left["message"].as_str().unwrap().contains(reason),
        "{reason}"
    );
    assert_eq!(status["step_downs"], 2, "also that veth has no zero-copy: {status:#}");
    let metrics = get(&lab.server, METRICS, "/metrics").body;
    assert!(
        metrics.contains(&format!("xstun_driver_transmit_errors_total{{interface=\"{interface}\"}}")),
        "{metrics}"
    );
    let counters = server.stop();
    assert!(counters.replies("af-xdp") >= 3, "{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_are_left_if_the_replies_do_not_leave() {
    let lab = Lab::new(1);
    let server = KERNEL_NATIVE.serve(&lab, &FLAGS);
    kernel_answers_are_left(server, &lab);
}

/// By the driver's own counters.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_are_left_without_tracepoints_too() {
    let lab = Lab::new(1);
    let interface = lab.link().server_interface.as_str();
    let flags = ["--interface", interface, "--xdp-mode", "native", "--kernel-answers", "on"];
    let server = Server::start_behind(&lab.server, &WITHOUT_BTF, &[&flags[..], &FLAGS].concat());
    kernel_answers_are_left(server, &lab);
}

/// Command prefix that hides the kernel's BTF from a command.
const WITHOUT_BTF: [&str; 6] =
    ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"];

/// Without the kernel's description of its types the server serves all the same, and says what is missing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn without_btf_losses_are_not_counted_and_everything_is_served() {
    let lab = Lab::new(1);
    let interface = &lab.link().server_interface;
    let flags = [&["--interface", interface, "--datapath", "af-xdp"][..], &FLAGS].concat();
    let server = Server::start_behind(&lab.server, &WITHOUT_BTF, &flags);
    let line = server.wait_for("what is not counted", |line| {
        line["interface"] == **interface
            && line["message"].as_str().is_some_and(|text| text.contains("not counted"))
    });
    assert!(line["message"].as_str().unwrap().contains("CONFIG_DEBUG_INFO_BTF=y"), "{line}");
    ask(&lab, 3);
    let status = get(&lab.server, METRICS, "/status.json").json();
    assert!(
        status["interfaces"][0]["uncounted_losses"].as_str().unwrap().contains("/sys/kernel/btf"),
        "{status}"
    );
    assert!(!get(&lab.server, METRICS, "/metrics").body.contains("xstun_xdp_lost_total"));
    assert!(server.stop().replies("af-xdp") >= 3);
}
