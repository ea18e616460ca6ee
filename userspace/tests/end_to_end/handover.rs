//! One server takes over from another, under load; and draining.

use crate::http::get;
use crate::load::{RunningLoad, all_right};
use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
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

/// Two take over, one after the other, while requests come in: not one is lost.
fn servers_change_under_load(mode: Mode, queues: u32, more: &[&str]) {
    let lab = Lab::new(queues);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let flags = [&[control.as_str()], more].concat();
    let first = mode.serve(&lab, &flags);
    let open = lab.client.enter(|| TcpStream::connect(address)).unwrap();
    let flags = [&flags[..], &["--take-over"]].concat();
    let running = RunningLoad::start(&lab, address, "2000");
    asked_by_datagram(&lab, address);
    let second = mode.serve(&lab, &flags);
    first.wait_for("the end of the first", |line| line["message"] == "another server has taken over");
    // A connection that is open goes on, and new ones are the new server's.
    ask(&open);
    drop(open);
    ask(&lab.client.enter(|| TcpStream::connect(address)).unwrap());
    let first = first.ended();
    asked_by_datagram(&lab, address);
    let last = mode.serve(&lab, &flags);
    let second = second.ended();
    asked_by_datagram(&lab, address);
    let asked = all_right(&format!("{mode:?}"), running.end());
    let last = last.stop();
    assert!(!lab.server.has_xdp(&lab.link().server_interface), "the last one takes the program off");
    let all = [&first, &second, &last];
    let answered: u64 =
        all.iter().map(|counters| counters.replies("af-xdp") + counters.replies("sockets")).sum();
    assert!(answered >= asked, "{answered} of {asked}");
    for counters in all {
        assert!(counters.replies(mode.path) > 0, "each serves by its own path:\n{}", counters.log);
    }
}

fn asked_by_datagram(lab: &Lab, server: SocketAddr) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    assert_eq!(asker.ask(server), asker.address());
}

/// Asks once over TCP.
fn ask(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl").unwrap();
    let mut reply = [0; 32];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..2], [1, 1]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn servers_change_over_native_af_xdp() {
    servers_change_under_load(NATIVE, 2, &["--metrics-listen=127.0.0.1:9100"]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn servers_change_over_generic_af_xdp() {
    servers_change_under_load(GENERIC, 1, &[]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn servers_change_over_sockets() {
    servers_change_under_load(SOCKETS, 1, &[]);
}

/// A new server that fails leaves the old one as it was.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_that_fails_to_take_over_changes_nothing() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let link = lab.link();
    let old = NATIVE.serve(&lab, &[&control]);
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
    old.wait_for("the old server to go on", |line| {
        line["message"].as_str().is_some_and(|message| message.ends_with("this one goes on"))
    });
    let (code, err) = fail(&["--take-over", "--interface", &link.server_interface, "--xdp-mode", "generic"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("runs in native mode"), "{err}");
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
    let counters = old.stop();
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
    assert_eq!(counters.replies("sockets"), 0, "{}", counters.log);
}

/// A new server that fails when the queues are closed already leaves the sockets to the old one.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_that_fails_late_leaves_the_old_one_its_sockets() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let interface = &lab.link().server_interface;
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let old = NATIVE.serve(&lab, &[&control]);
    let running = RunningLoad::start(&lab, address, "200");
    asked_by_datagram(&lab, address);
    let program = xstun().into_string().unwrap();
    let words = [program.as_str(), "serve", &control, "--take-over", "--datapath", "af-xdp"];
    let output = lab.server.output(&[&words[..], &["--interface", interface, "--interface", "lo"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("loopback traffic is served by the sockets"), "{err}");
    old.wait_for("the old server to go on", |line| {
        line["message"].as_str().is_some_and(|message| message.ends_with("this one goes on"))
    });
    asked_by_datagram(&lab, address);
    all_right("a late failure", running.end());
    let counters = old.stop();
    for path in ["af-xdp", "sockets"] {
        assert!(counters.replies(path) > 0, "{}", counters.log);
    }
    assert!(!lab.server.has_xdp(interface), "the program goes with the old server");
}

/// While it still has connections it is asked by one who found its socket before the new server's was there.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_that_was_taken_over_from_hands_nothing_over() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let [path, displaced] = ["control", "displaced"].map(|name| directory.path().join(name));
    let address = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let old = NATIVE.serve(&lab, &[&control, "--drain-seconds=3600"]);
    std::fs::hard_link(&path, &displaced).unwrap();
    let open = lab.client.enter(|| TcpStream::connect(address)).unwrap();
    ask(&open);
    let new = NATIVE.serve(&lab, &[&control, "--take-over"]);
    old.wait_for("the end of the old one", |line| line["message"] == "another server has taken over");
    let program = xstun().into_string().unwrap();
    let displaced = format!("--control={}", displaced.display());
    let output = lab.server.output(&[&program, "serve", &displaced, "--take-over"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("another server has taken over from it"), "{err}");
    asked_by_datagram(&lab, address);
    ask(&open);
    drop(open);
    old.ended();
    assert!(path.exists(), "the new server's socket");
    let counters = new.stop();
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
    assert_eq!(counters.replies("sockets"), 0, "{}", counters.log);
    assert!(!path.exists());
}

/// Health checks fail first, requests are answered, then the server ends by itself.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_drains_by_signal_and_by_command() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let control = control(&directory);
    let link = lab.link();
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    let ready = || get(&lab.server, "127.0.0.1:9100".parse().unwrap(), "/readyz").status;
    for by_signal in [true, false] {
        let flags = [control.as_str(), "--drain-seconds=5", "--metrics-listen=127.0.0.1:9100"];
        let server = SOCKETS.serve(&lab, &flags);
        assert_eq!(ready(), 200);
        if by_signal {
            server.signal(Signal::USR1);
        } else {
            let program = xstun().into_string().unwrap();
            let told = lab.server.run(&[&program, "drain", &control]);
            assert_eq!(told, "draining: it exits in 5 seconds\n");
        }
        server.wait_for("draining", |line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("draining"))
        });
        assert_eq!(ready(), 503);
        assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
        let counters = server.ended();
        assert!(counters.replies("sockets") > 0, "{}", counters.log);
    }
    assert!(!directory.path().join("control").exists(), "the socket goes with the server");
}
