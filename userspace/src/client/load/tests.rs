use super::shape::ShapeMix;
use super::target::{is_near, target};
use super::{load, socket_generator};
use crate::cli::{Cli, Command, LoadArgs};
use crate::client::ClientExit;
use crate::config::Listen;
use crate::datapath::socket::SocketService;
use crate::datapath::{Inheritance, available_cores};
use crate::error::{FailureKind, Result};
use crate::stop::Stop;
use arc_swap::ArcSwap;
use clap::Parser as _;
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use xstun_core::stun::Policy;

/// A server in its own thread. Stops when dropped.
struct Server {
    address: SocketAddr,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    _service: Option<SocketService>,
}

impl Server {
    /// Runs the real socket path.
    fn real(address: &str) -> Self {
        let addresses = vec![address.parse().unwrap()];
        let listen = Listen { addresses, flag: "--listen", by_default: false, alternate: Vec::new() };
        let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
        let cores = available_cores().unwrap();
        let service =
            SocketService::start(&listen, &cores[..1], policy, &mut Inheritance::default()).unwrap();
        let (address, stop) = (service.addresses()[0], Arc::new(Stop::new().unwrap()));
        Server { address, stop, thread: None, _service: Some(service) }
    }

    /// Answers the n-th request with the right reply as `script` changes it, if that returns true.
    fn scripted(mut script: impl FnMut(usize, &mut Vec<u8>) -> bool + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), Arc::new(Stop::new().unwrap()));
        let ordered = stop.clone();
        let serve = move || {
            let mut request = [0; 64];
            for number in 0.. {
                let (_, from) = socket.recv_from(&mut request).unwrap();
                if ordered.is_ordered() {
                    return;
                }
                let SocketAddr::V4(from) = from else { panic!("a socket on IPv4") };
                let mut reply = [&[1, 1, 0, 12], &request[4..20], &[0, 0x20, 0, 8, 0, 1]].concat();
                reply.extend((from.port() ^ 0x2112).to_be_bytes());
                reply.extend((u32::from(*from.ip()) ^ 0x2112_a442).to_be_bytes());
                if script(number, &mut reply) {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        };
        Server { address, stop, thread: Some(thread::spawn(serve)), _service: None }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.order();
        let local = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let wake = UdpSocket::bind(local).and_then(|socket| socket.send_to(&[0], self.address));
        if let (Ok(_), Some(thread)) = (wake, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn arguments(server: &str, flags: &[&str]) -> LoadArgs {
    let line = [&["xstun", "load", server], flags].concat();
    match Cli::try_parse_from(line).unwrap().command {
        Command::Load(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

/// Runs a load. Returns its result, JSON and standard error.
fn run(server: SocketAddr, flags: &[&str]) -> (Result<ClientExit>, Value, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = arguments(&server.to_string(), &[&["--json", "--duration", "0.1"], flags].concat());
    let exit = load(&arguments, &mut out, &mut err, None);
    (exit, serde_json::from_slice(&out).unwrap_or_default(), String::from_utf8(err).unwrap())
}

#[test]
fn every_request_gets_a_right_reply() {
    for (address, flags) in [
        ("127.0.0.1:0", &["--rate", "3000"][..]),
        ("127.0.0.1:0", &[]),
        ("[::1]:0", &["--threads", "2", "--ports", "3"]),
        ("[::1]:0", &["--threads", "2", "--ports", "3", "--rate", "2001"]),
    ] {
        let server = Server::real(address);
        let (exit, json, err) = run(server.address, flags);
        assert_eq!((exit.unwrap(), err.as_str()), (ClientExit::Answered, ""), "{address} {flags:?}: {json}");
        assert!(json["sent"].as_u64().unwrap() > 0);
        assert_eq!((&json["received"], &json["wrong"]), (&json["sent"], &0.into()), "{json}");
        assert_eq!((&json["lost"], &json["loss"]), (&0.into(), &0.0.into()));
        let latency: Vec<_> = ["p50", "p90", "p99", "p999", "max"]
            .iter()
            .map(|name| json["latency_us"][name].as_f64().unwrap())
            .collect();
        assert!(latency[0] > 0.0 && latency.is_sorted(), "{json}");
    }
}

#[test]
fn the_rate_is_not_exceeded() {
    let server = Server::real("127.0.0.1:0");
    let (_, json, _) = run(server.address, &["--rate", "1000", "--threads", "2"]);
    let (sent, seconds) = (json["sent"].as_u64().unwrap(), json["duration_s"].as_f64().unwrap());
    // Each thread sends its first request at once.
    assert!(sent as f64 <= seconds * 1000.0 + 2.0, "{json}");
    assert!(seconds >= 0.1);
}

#[test]
fn the_text_has_the_same_numbers() {
    let server = Server::real("127.0.0.1:0");
    let mut out = Vec::new();
    let arguments = arguments(&server.address.to_string(), &["--duration", "0.1", "--rate", "500"]);
    assert_eq!(load(&arguments, &mut out, &mut Vec::new(), None).unwrap(), ClientExit::Answered);
    let out = String::from_utf8(out).unwrap();
    let names: Vec<_> = out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["server", "path", "sent", "replies", "lost", "wrong", "latency"], "{out}");
    assert!(out.contains("lost      0 (0.0000 %)\nwrong     0\nlatency   p50 "), "{out}");
}

#[test]
fn a_reply_with_another_address_or_transaction_is_wrong() {
    for byte in [31, 19, 1] {
        let server = Server::scripted(move |number, reply| {
            reply[byte] ^= u8::from(number == 3);
            true
        });
        let (exit, json, err) = run(server.address, &["--rate", "200"]);
        assert_eq!(exit.unwrap(), ClientExit::WrongReply, "byte {byte}: {json}");
        assert_eq!((&json["wrong"], &json["lost"]), (&1.into(), &1.into()), "byte {byte}");
        assert!(err.starts_with("xstun: 1 datagram from "), "{err}");
    }
}

#[test]
fn a_duplicate_reply_is_wrong() {
    let mut first = None;
    let server = Server::scripted(move |_, reply| {
        *reply = first.get_or_insert_with(|| reply.clone()).clone();
        true
    });
    let (exit, json, _) = run(server.address, &["--rate", "200", "--ports", "1"]);
    assert_eq!((exit.unwrap(), &json["received"]), (ClientExit::WrongReply, &1.into()));
    assert_eq!(json["wrong"].as_u64().unwrap() + 1, json["sent"].as_u64().unwrap());
}

#[test]
fn unanswered_requests_are_lost() {
    let server = Server::scripted(|number, _| number % 2 == 0);
    let (exit, json, _) = run(server.address, &["--rate", "400"]);
    let [sent, received, lost] = ["sent", "received", "lost"].map(|name| json[name].as_u64().unwrap());
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert_eq!((received, lost), (sent.div_ceil(2), sent / 2), "{json}");
    assert_eq!(json["loss"].as_f64().unwrap(), lost as f64 / sent as f64);
}

#[test]
fn a_silent_server_is_no_answer() {
    let server = Server::scripted(|_, _| false);
    let (exit, json, err) = run(server.address, &["--rate", "100"]);
    assert_eq!((exit.unwrap(), &json["received"]), (ClientExit::NoAnswer, &0.into()));
    assert_eq!(json["latency_us"]["p50"], Value::Null);
    assert!(err.starts_with(&format!("xstun: no reply from {} to ", server.address)), "{err}");
}

#[test]
fn a_closed_port_is_no_answer_with_a_reason() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (exit, _, err) = run(address, &[]);
    assert_eq!(exit.unwrap(), ClientExit::NoAnswer);
    assert!(err.contains("Connection refused"), "{err}");
}

#[test]
fn only_near_addresses_need_no_confirmation() {
    for (ip, near) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.31.0.1", true),
        ("192.168.7.1", true),
        ("169.254.1.1", true),
        ("198.19.255.1", true),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("2001:2::1", true),
        ("::ffff:10.0.0.1", true),
        ("::ffff:192.0.2.1", false),
        ("172.32.0.1", false),
        ("198.20.0.1", false),
        ("192.0.2.1", false),
        ("100.64.0.1", false),
        ("0.0.0.0", false),
        ("255.255.255.255", false),
        ("2001:db8::1", false),
        ("::", false),
    ] {
        assert_eq!(is_near(ip.parse().unwrap()), near, "{ip}");
    }
}

#[test]
fn a_remote_server_must_be_named_twice() {
    let failure = target(&arguments("192.0.2.1:9", &[])).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Usage);
    assert_eq!(
        failure.to_string(),
        "192.0.2.1:9 is neither a local nor a private address; load only servers that are yours; \
         if this one is, add --i-own 192.0.2.1"
    );
    for again in ["192.0.2.1", "192.0.2.1:9"] {
        let target = target(&arguments("192.0.2.1:9", &["--i-own", again])).unwrap();
        assert_eq!(target, "192.0.2.1:9".parse().unwrap());
    }
    let failure = target(&arguments("127.0.0.1", &["--i-own", "192.0.2.1"])).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Usage);
}

#[test]
fn each_thread_needs_a_port() {
    let server = "127.0.0.1:9".parse().unwrap();
    let mix = || ShapeMix::parse("bare").unwrap();
    let given = arguments("127.0.0.1:9", &["--threads", "3", "--ports", "8"]);
    assert_eq!(socket_generator(&given, server, mix()).unwrap().plan.flows.len(), 8);
    let Err(failure) =
        socket_generator(&arguments("127.0.0.1:9", &["--threads", "3", "--ports", "2"]), server, mix())
    else {
        panic!("two ports for three threads are accepted")
    };
    assert_eq!((failure.kind(), failure.to_string().starts_with("--ports 2 ")), (FailureKind::Usage, true));
}

#[test]
fn every_shape_gets_right_replies() {
    let mix = "bare=3,fingerprint,software-fingerprint=2,software,change-request,classic,\
               classic-change-request,ice";
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::real(address);
        let (exit, json, err) = run(server.address, &["--shape", mix, "--rate", "5000"]);
        assert_eq!((exit.unwrap(), err.as_str()), (ClientExit::Answered, ""), "{json}");
        assert_eq!((&json["received"], &json["wrong"], &json["lost"]), (&json["sent"], &0.into(), &0.into()));
        assert!(json["sent"].as_u64().unwrap() > 100, "{json}");
    }
}

#[test]
fn a_reply_without_fingerprint_to_a_request_with_one_is_wrong() {
    let server = Server::scripted(|_, _| true);
    let (exit, json, _) = run(server.address, &["--shape", "fingerprint", "--rate", "100"]);
    assert_eq!((exit.unwrap(), &json["received"]), (ClientExit::WrongReply, &0.into()));
    assert_eq!(json["wrong"], json["sent"]);
}

#[test]
fn each_source_has_its_ports_and_foreign_sources_are_rejected() {
    let server = Server::real("127.0.0.1:0");
    let sources = ["--source", "127.0.0.1", "--source", "127.0.0.9", "--ports", "2"];
    let (exit, json, _) = run(server.address, &sources);
    assert_eq!((exit.unwrap(), &json["wrong"]), (ClientExit::Answered, &0.into()));
    let address = server.address.to_string();
    let generator =
        socket_generator(&arguments(&address, &sources), server.address, ShapeMix::parse("bare").unwrap());
    let ips: Vec<_> = generator.unwrap().plan.flows.iter().map(|flow| flow.source.ip().to_string()).collect();
    assert_eq!(ips, ["127.0.0.1", "127.0.0.9", "127.0.0.1", "127.0.0.9"]);
    for (sources, words) in [
        (&["--source", "::1"][..], "--source ::1 is not of the family"),
        (&["--source", "192.0.2.77"], "--source 192.0.2.77 is not an address of this host"),
        (&["--source", "127.0.0.1", "--source", "127.0.0.1"], "--source 127.0.0.1 is given twice"),
    ] {
        let (exit, _, _) = run(server.address, sources);
        let failure = exit.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Usage);
        assert!(failure.to_string().starts_with(words), "{failure}");
    }
}

#[test]
fn the_highest_rate_of_a_slow_server_is_found() {
    // It answers the first 60 requests of every tenth of a second.
    let began = std::time::Instant::now();
    let (mut period, mut answered) = (0, 0);
    let server = Server::scripted(move |_, _| {
        let now = began.elapsed().as_millis() / 100;
        if now != period {
            (period, answered) = (now, 0);
        }
        answered += 1;
        answered <= 60
    });
    let mut out = Vec::new();
    let flags = ["--json", "--find-max", "--rate", "100", "--step", "0.3", "--loss", "0.02"];
    let arguments = arguments(&server.address.to_string(), &flags);
    assert_eq!(load(&arguments, &mut out, &mut Vec::new(), None).unwrap(), ClientExit::Answered);
    let json: Value = serde_json::from_slice(&out).unwrap();
    let steps = json["steps"].as_array().unwrap();
    let max = json["max_rate"].as_f64().unwrap();
    // The machine may be slow, but no rate above the server's can be sustained.
    assert!(max < 800.0 && steps.iter().any(|step| step["rate"] == max), "{json}");
    assert!(steps.iter().any(|step| step["loss"].as_f64().unwrap() > 0.02), "{json}");
    assert!(json["loss"].as_f64().unwrap() <= 0.02, "{json}");
}

#[test]
fn the_warm_up_does_not_count() {
    let server = Server::real("127.0.0.1:0");
    let (exit, json, _) = run(server.address, &["--warm-up", "0.3", "--rate", "1000"]);
    assert_eq!((exit.unwrap(), &json["lost"], &json["wrong"]), (ClientExit::Answered, &0.into(), &0.into()));
    assert!(json["duration_s"].as_f64().unwrap() >= 0.1);
    let sent = json["sent"].as_f64().unwrap();
    assert!(sent <= json["duration_s"].as_f64().unwrap() * 1000.0 + 1.0, "{json}");
}
