//! A take-over by a successor, under load; and draining.

use crate::http::get;
use crate::load::{RunningLoad, all_right};
use crate::modes::{GENERIC, KERNEL_GENERIC, KERNEL_NATIVE, Mode, NATIVE, SOCKETS, passing_program};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tempfile::TempDir;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::xstun;

fn control(directory: &TempDir) -> String {
    format!("--control={}", directory.path().join("control").display())
}

/// Two successive take-overs under load lose no request.
fn take_over_under_load(mode: Mode, queues: u32, more: &[&str]) {
    take_overs_under_load([mode; 3], queues, more);
}

/// The same with a mode for each of the three servers.
fn take_overs_under_load(modes: [Mode; 3], queues: u32, more: &[&str]) {
    let lab = Lab::new(queues);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let flags = [&[control.as_str()], more].concat();
    let first = modes[0].serve(&lab, &flags);
    let open = lab.client.enter(|| TcpStream::connect(address)).unwrap();
    let flags = [&flags[..], &["--take-over"]].concat();
    let running = RunningLoad::start(&lab, address, "2000");
    ask_over_udp(&lab, address);
    let second = modes[1].serve(&lab, &flags);
    first.wait_for("the first server to be taken over from", |line| {
        line["message"] == "another server has taken over"
    });
    // The predecessor serves its open connections; the successor accepts the new ones.
    ask(&open);
    drop(open);
    ask(&lab.client.enter(|| TcpStream::connect(address)).unwrap());
    let first = first.ended();
    ask_over_udp(&lab, address);
    let last = modes[2].serve(&lab, &flags);
    let second = second.ended();
    ask_over_udp(&lab, address);
    let requests = all_right(&format!("{modes:?}"), running.end());
    let last = last.stop();
    assert!(!lab.server.has_xdp(&lab.link().server_interface), "the last server detaches the program");
    let all = [&first, &second, &last];
    let paths = ["xdp", "af-xdp", "sockets"];
    let answered: u64 = all.iter().flat_map(|counters| paths.map(|path| counters.replies(path))).sum();
    assert!(answered >= requests, "{answered} replies to {requests} requests");
    for (counters, mode) in all.into_iter().zip(modes) {
        assert!(counters.replies(mode.path) > 0, "each server serves by the mode's path:\n{}", counters.log);
    }
}

fn ask_over_udp(lab: &Lab, server: SocketAddr) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    assert_eq!(asker.ask(server), asker.address());
}

/// Sends one request over TCP and checks that a success response comes.
fn ask(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl").unwrap();
    let mut reply = [0; 32];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..2], [1, 1]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_in_native_mode_loses_no_request() {
    take_over_under_load(NATIVE, 2, &["--metrics-listen=127.0.0.1:9100"]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_in_generic_mode_loses_no_request() {
    take_over_under_load(GENERIC, 1, &[]);
}

/// Kernel answers begin once the load's own XDP program is there, which lets the replies reach its end of the pair.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_of_kernel_answers_in_native_mode_loses_no_request() {
    take_overs_under_load([NATIVE, KERNEL_NATIVE, KERNEL_NATIVE], 2, &[]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_of_kernel_answers_in_generic_mode_loses_no_request() {
    take_over_under_load(KERNEL_GENERIC, 1, &[]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_over_sockets_loses_no_request() {
    take_over_under_load(SOCKETS, 1, &[]);
}

/// If the successor fails, the predecessor continues unchanged.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_failed_take_over_leaves_the_predecessor_unchanged() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let link = lab.link();
    let predecessor = NATIVE.serve(&lab, &[&control]);
    let program = xstun().into_string().unwrap();
    let fail = |flags: &[&str]| {
        let words = [&[program.as_str(), "serve", &control], flags].concat();
        let output = lab.server.output(&words);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = fail(&[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("another server listens at") && err.contains("--take-over"), "{err}");
    let taken = lab.server.enter(|| std::net::UdpSocket::bind((link.server_v4, 4000))).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (code, err) = fail(&["--take-over", "--listen", &taken]);
    assert_eq!(code, Some(1), "{err}");
    predecessor.wait_for("the predecessor to go on", |line| {
        line["message"].as_str().is_some_and(|message| message.ends_with("this server continues"))
    });
    let (code, err) = fail(&["--take-over", "--interface", &link.server_interface, "--xdp-mode", "generic"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("runs in native mode"), "{err}");
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
    let counters = predecessor.stop();
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
    assert_eq!(counters.replies("sockets"), 0, "{}", counters.log);
}

/// If the successor fails after the predecessor has closed its queues, the predecessor serves with sockets.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn after_a_late_failure_the_predecessor_serves_with_sockets() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let interface = &lab.link().server_interface;
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let predecessor = NATIVE.serve(&lab, &[&control]);
    let running = RunningLoad::start(&lab, address, "200");
    ask_over_udp(&lab, address);
    let program = xstun().into_string().unwrap();
    let words = [program.as_str(), "serve", &control, "--take-over", "--datapath", "af-xdp"];
    let output = lab.server.output(&[&words[..], &["--interface", interface, "--interface", "lo"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("loopback traffic is served by the sockets"), "{err}");
    predecessor.wait_for("the predecessor to go on", |line| {
        line["message"].as_str().is_some_and(|message| message.ends_with("this server continues"))
    });
    ask_over_udp(&lab, address);
    all_right("a late failure", running.end());
    let counters = predecessor.stop();
    for path in ["af-xdp", "sockets"] {
        assert!(counters.replies(path) > 0, "{}", counters.log);
    }
    assert!(!lab.server.has_xdp(interface), "the predecessor detaches its program");
}

/// While a predecessor drains its connections, another server may still reach it, having opened its control
/// socket before the successor replaced it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_predecessor_refuses_a_second_take_over() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let [path, displaced] = ["control", "displaced"].map(|name| directory.path().join(name));
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let predecessor = NATIVE.serve(&lab, &[&control, "--drain-seconds=3600"]);
    std::fs::hard_link(&path, &displaced).unwrap();
    let open = lab.client.enter(|| TcpStream::connect(address)).unwrap();
    ask(&open);
    let successor = NATIVE.serve(&lab, &[&control, "--take-over"]);
    predecessor.wait_for("the take-over", |line| line["message"] == "another server has taken over");
    let program = xstun().into_string().unwrap();
    let displaced = format!("--control={}", displaced.display());
    let output = lab.server.output(&[&program, "serve", &displaced, "--take-over"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("another server has taken over from it"), "{err}");
    ask_over_udp(&lab, address);
    ask(&open);
    drop(open);
    predecessor.ended();
    assert!(path.exists(), "the successor's control socket");
    let counters = successor.stop();
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
    assert_eq!(counters.replies("sockets"), 0, "{}", counters.log);
    assert!(!path.exists());
}

/// While draining, /readyz fails and requests are answered. Two servers drain for longer than the test takes, and exit
/// on SIGTERM; the other two exit by themselves.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_drains_by_signal_and_by_command() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let link = lab.link();
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    let ready = || get(&lab.server, "127.0.0.1:9100".parse().unwrap(), "/readyz").status;
    let program = xstun().into_string().unwrap();
    let rows = [
        ("3600", true, KERNEL_NATIVE),
        ("3600", false, KERNEL_GENERIC),
        ("1", true, SOCKETS),
        ("1", false, SOCKETS),
    ];
    let _passing = passing_program(&lab);
    for (seconds, by_signal, mode) in rows {
        let limit = format!("--drain-seconds={seconds}");
        let server = mode.serve(&lab, &[&control, &limit, "--metrics-listen=127.0.0.1:9100"]);
        assert_eq!(ready(), 200);
        if by_signal {
            server.signal(Signal::USR1);
        } else {
            let printed = lab.server.run(&[&program, "drain", &control]);
            assert_eq!(printed, format!("draining: it exits in {seconds} seconds\n"));
        }
        server.wait_for("draining", |line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("draining"))
        });
        if seconds == "1" {
            server.ended();
            continue;
        }
        assert_eq!(ready(), 503);
        assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
        let counters = server.stop_by(Signal::TERM);
        assert!(counters.replies(mode.path) > 0, "{}", counters.log);
    }
    assert!(!directory.path().join("control").exists(), "the server removes its control socket");
}
