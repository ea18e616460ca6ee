//! `xstun probe` and `xstun load` as a shell sees them: exit codes, output, signals.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use arc_swap::ArcSwap;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use xstun::datapath::socket::{Listen, SocketService};
use xstun::datapath::{Inheritance, available_cores};
use xstun::stats::WorkerStats;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Discovery, Extras, Policy};

/// The socket path with one worker, in this process.
struct Server {
    address: SocketAddr,
    service: SocketService,
}

impl Server {
    fn start(address: &str) -> Self {
        let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
        let service = Self::serve(vec![address.parse().unwrap()], policy);
        Server { address: service.addresses()[0], service }
    }

    /// Starts it with the four endpoints of NAT behaviour discovery on two loopback addresses.
    fn start_discovery() -> Self {
        let [one, two] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for _ in 0..100 {
            let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
            let mut service = Self::serve(vec![(one, 0).into(), (two, 0).into()], Arc::clone(&policy));
            let [primary, alternate] = [service.addresses()[0], service.addresses()[1]];
            let Some(discovery) = Discovery::new(primary, alternate) else { continue };
            // Another process may use either port on the other address.
            let all = listen(vec![
                primary,
                (one, alternate.port()).into(),
                (two, primary.port()).into(),
                alternate,
            ]);
            let Ok(rest) = service.bind(&all) else { continue };
            let extras = Extras { discovery_v4: Some(discovery), ..Extras::default() };
            policy.store(Arc::new(Policy { extras: Some(extras), ..Policy::default() }));
            service.add(rest);
            return Server { address: primary, service };
        }
        panic!("no two ports are free on both addresses");
    }

    fn serve(addresses: Vec<SocketAddr>, policy: Arc<ArcSwap<Policy>>) -> SocketService {
        let cores = available_cores().unwrap();
        SocketService::start(&listen(addresses), &cores[..1], policy, &mut Inheritance::default()).unwrap()
    }

    /// The worker's counters.
    fn stats(&self) -> &WorkerStats {
        self.service.workers().next().unwrap().1
    }
}

fn listen(addresses: Vec<SocketAddr>) -> Listen {
    Listen { addresses, flag: "--listen", by_default: false, alternate: Vec::new() }
}

/// A process, killed on drop.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn xstun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xstun"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = xstun(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn probe_nat_finds_no_nat_on_loopback() {
    let server = Server::start_discovery();
    let (code, out, err) = output(&["probe", "--nat", "--json", &server.address.to_string()]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["mapped"], json["local"], "{json}");
    assert_eq!(json["behind_nat"], false, "{json}");
    assert_eq!(
        (&json["mapping"], &json["filtering"]),
        (&"endpoint-independent".into(), &"endpoint-independent".into())
    );
    let plain = Server::start("127.0.0.1:0");
    let (code, out, err) = output(&["probe", "--nat", &plain.address.to_string()]);
    assert_eq!((code, out.as_str()), (Some(4), ""));
    assert!(err.contains("no OTHER-ADDRESS"), "{err}");
}

#[test]
fn probe_prints_the_local_address_on_loopback() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::start(listen);
        let address = server.address.to_string();
        for flags in [&[][..], &["--fingerprint"], &["--classic"]] {
            let (code, out, err) = output(&[&["probe", "--json", &address], flags].concat());
            assert_eq!((code, err.as_str()), (Some(0), ""), "{flags:?}");
            let json: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(json["mapped"], json["local"]);
            let attribute = if flags == ["--classic"] { "MAPPED-ADDRESS" } else { "XOR-MAPPED-ADDRESS" };
            assert_eq!(json["mapped_from"], attribute, "{flags:?}");
        }
    }
}

#[test]
fn probe_resolves_a_host_name() {
    let server = Server::start("127.0.0.1:0");
    let name = format!("localhost:{}", server.address.port());
    let (code, out, err) = output(&["probe", "-4", &name]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

#[test]
fn the_exit_codes_of_probe_are_those_of_its_help() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed_address = closed.local_addr().unwrap().to_string();
    drop(closed);
    for (arguments, expected) in [
        (&["probe", &silent_address, "--timeout", "0.1"][..], 3),
        (&["probe", &closed_address], 4),
        (&["probe", "127.0.0.1:0"], 2),
        (&["probe", "127.0.0.1", "--timeout", "never"], 2),
        (&["probe", "127.0.0.1", "--source", "192.0.2.1:0"], 1),
        (&["load", "192.0.2.1"], 2),
    ] {
        let (code, out, err) = output(arguments);
        assert_eq!((code, out.as_str()), (Some(expected), ""), "{arguments:?}: {err}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let server = Server::start("127.0.0.1:0");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = xstun(&["probe", &server.address.to_string()]).stdout(writer).stderr(Stdio::piped()).spawn();
    let Output { status, stderr, .. } = child.unwrap().wait_with_output().unwrap();
    assert_eq!((status.code(), stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_signal_stops_a_load_and_the_results_are_printed() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start("127.0.0.1:0");
        let address = server.address.to_string();
        let mut load = xstun(&["load", &address, "--json", "--rate", "100", "--duration", "3600"]);
        let mut load = Process(load.stdout(Stdio::piped()).spawn().unwrap());
        // It installs its signal handlers before it sends: after a request they are in place.
        while server.stats().outcome(Outcome::Answered) < 10 {
            assert!(load.0.try_wait().unwrap().is_none(), "the load exited by itself");
            thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&load.0), signal).unwrap();
        let status = load.0.wait().unwrap();
        let json: serde_json::Value = serde_json::from_reader(load.0.stdout.take().unwrap()).unwrap();
        assert_eq!(status.code(), Some(0), "{json}");
        assert!(json["received"].as_u64().unwrap() >= 10, "{json}");
        assert_eq!(json["received"], json["sent"]);
    }
}
