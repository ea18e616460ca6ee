use super::{ClientExit, probe};
use crate::cli::{Cli, Command, ProbeArgs};
use crate::client::message::mapped_address;
use crate::error::{FailureKind, Result};
use clap::Parser as _;
use serde_json::Value;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

/// A server on loopback that answers the n-th request as its script says. Stops when dropped.
struct Server {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    requests: Receiver<Vec<u8>>,
}

impl Server {
    fn start(mut script: impl FnMut(usize, &[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            for number in 0.. {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                if length == 0 {
                    return;
                }
                let _ = sender.send(buffer[..length].to_vec());
                for reply in script(number, &buffer[..length], from) {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        Server { address, thread: Some(thread), requests }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let end = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address));
        if let (Ok(_), Some(thread)) = (end, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Returns a response of this type to `request`, with these attributes.
fn response(kind: u16, request: &[u8], attributes: &[u8]) -> Vec<u8> {
    let mut response = kind.to_be_bytes().to_vec();
    response.extend((attributes.len() as u16).to_be_bytes());
    response.extend(&request[4..20]);
    response.extend(attributes);
    response
}

/// Returns a success response with XOR-MAPPED-ADDRESS over IPv4.
fn success(request: &[u8], mapped: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(mapped) = mapped else { panic!("the server has IPv4 only") };
    let mut attribute = vec![0, 0x20, 0, 8, 0, 1];
    attribute.extend((mapped.port() ^ 0x2112).to_be_bytes());
    attribute.extend((u32::from(*mapped.ip()) ^ 0x2112_a442).to_be_bytes());
    response(0x0101, request, &attribute)
}

fn arguments(server: &str, flags: &[&str]) -> ProbeArgs {
    let line = [&["xstun", "probe", server], flags].concat();
    match Cli::try_parse_from(line).unwrap().command {
        Command::Probe(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

/// Runs a probe. Returns its result, standard output and standard error.
fn ask(server: impl ToString, flags: &[&str]) -> (Result<ClientExit>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = probe(&arguments(&server.to_string(), flags), &mut out, &mut err, false);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn ask_json(server: impl ToString, flags: &[&str]) -> (Result<ClientExit>, Value) {
    let (exit, out, _) = ask(server, &[&["--json"], flags].concat());
    assert_eq!(out.lines().count(), 1, "{out}");
    (exit, serde_json::from_str(&out).unwrap())
}

#[test]
fn a_reply_is_printed_as_text() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (exit, out, err) = ask(server.address, &[]);
    assert_eq!((exit.unwrap(), err.as_str()), (ClientExit::Answered, ""));
    let lines: Vec<_> = out.lines().map(|line| line.split_at(16)).collect();
    assert!(
        lines[0].0.starts_with("mapped address") && lines[0].1.ends_with("(XOR-MAPPED-ADDRESS)"),
        "{out}"
    );
    assert!(lines[1].0.starts_with("round trip") && lines[1].1.ends_with(" ms"), "{out}");
    assert_eq!(lines[1].1.trim_end_matches(" ms").split_once('.').unwrap().1.len(), 3);
    assert_eq!(lines[2].1, server.address.to_string());
    assert_eq!(lines[0].1.split(' ').next(), Some(lines[3].1));
    assert!(lines[4].1.starts_with("no: "), "{out}");
}

#[test]
fn a_reply_is_printed_as_json() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (exit, json) = ask_json(server.address, &[]);
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert_eq!(json["server"], server.address.to_string());
    assert_eq!(json["mapped"], json["local"]);
    assert_eq!(json["mapped_from"], "XOR-MAPPED-ADDRESS");
    assert_eq!(json["requests_sent"], 1);
    assert_eq!(json["behind_nat"], false);
    assert!(json["rtt_ms"].as_f64().unwrap() > 0.0);
    for absent in ["software", "other_address", "error"] {
        assert_eq!(json.get(absent), Some(&Value::Null), "{absent}");
    }
}

#[test]
fn a_nat_in_the_path_is_reported() {
    let server = Server::start(|_, request, _| vec![success(request, "192.0.2.9:7".parse().unwrap())]);
    let (_, json) = ask_json(server.address, &[]);
    assert_eq!((&json["mapped"], &json["behind_nat"]), (&"192.0.2.9:7".into(), &true.into()));
    assert!(ask(server.address, &[]).1.contains("yes: the mapped address is not the local one"));
}

#[test]
fn software_is_printed_without_control_characters() {
    let server = Server::start(|_, request, _| {
        vec![response(
            0x0101,
            request,
            &[
                [0, 1, 0, 8, 0, 1, 0, 9, 192, 0, 2, 1],
                [0x80, 0x22, 0, 7, 0x1b, b'[', b'2', b'J', b'x', b'/', b'1', 0],
            ]
            .concat(),
        )]
    });
    let (exit, out, _) = ask(server.address, &[]);
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert!(out.contains("192.0.2.1:9 (MAPPED-ADDRESS)"), "{out}");
    assert!(out.contains("\u{fffd}[2Jx/1") && !out.contains('\u{1b}'), "{out}");
}

#[test]
fn an_error_response_is_a_refusal_that_names_unknown_attributes() {
    let attributes = [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4, 0, 3, 0x7f, 0xee];
    let server = Server::start(move |_, request, _| vec![response(0x0111, request, &attributes)]);
    let (exit, out, err) = ask(server.address, &[]);
    assert_eq!((exit.unwrap(), out.as_str()), (ClientExit::Refused, ""));
    let address = server.address;
    assert_eq!(
        err,
        format!(
            "xstun: {address} answered with error 420 (Unknown Attribute); unknown attributes: 0x0003, 0x7fee\n"
        )
    );
    let (_, json) = ask_json(server.address, &[]);
    assert_eq!((&json["error"]["kind"], &json["error"]["code"]), (&"stun_error".into(), &420.into()));
    assert_eq!(json["error"]["unknown_attributes"], serde_json::json!([3, 0x7fee]));
    assert_eq!(json["mapped"], Value::Null);
}

#[test]
fn a_reply_to_another_transaction_is_ignored_and_counted() {
    let server = Server::start(|_, request, from| {
        let mut other = request.to_vec();
        other[19] ^= 1;
        vec![success(&other, "192.0.2.66:66".parse().unwrap()), vec![0; 3], success(request, from)]
    });
    let (exit, out, err) = ask(server.address, &[]);
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert!(out.contains("NAT             no"), "{out}");
    let address = server.address;
    assert_eq!(err, format!("xstun: ignored 2 messages from {address}: wrong transaction ID\n"));
}

#[test]
fn only_wrong_replies_are_no_answer() {
    let server = Server::start(|_, request, from| vec![success(&[request, &[0; 8]].concat()[4..], from)]);
    let (exit, json) = ask_json(server.address, &["--timeout", "0.2"]);
    assert_eq!(exit.unwrap(), ClientExit::NoAnswer);
    assert_eq!((&json["error"]["kind"], &json["ignored"]), (&"no_answer".into(), &1.into()));
}

#[test]
fn the_timeout_ends_a_probe_without_reply() {
    let server = Server::start(|_, _, _| vec![]);
    let (exit, out, err) = ask(server.address, &["--timeout", "0.2"]);
    assert_eq!((exit.unwrap(), out.as_str()), (ClientExit::NoAnswer, ""));
    assert!(
        err.starts_with(&format!("xstun: {} did not answer 1 request in 0.2 s", server.address)),
        "{err}"
    );
}

#[test]
fn an_unanswered_request_is_retransmitted_unchanged() {
    let server = Server::start(|number, request, from| match number {
        0 => vec![],
        _ => vec![success(request, from)],
    });
    let (exit, json) = ask_json(server.address, &["--fingerprint"]);
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert_eq!(json["requests_sent"], 2);
    let requests: Vec<_> = server.requests.try_iter().collect();
    assert_eq!((requests.len(), requests[0].len()), (2, 28));
    assert_eq!(requests[0], requests[1]);
}

#[test]
fn a_closed_port_is_a_refusal() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (exit, out, err) = ask(address, &[]);
    assert_eq!((exit.unwrap(), out.as_str()), (ClientExit::Refused, ""));
    assert!(err.starts_with(&format!("xstun: {address} is unreachable: Connection refused")), "{err}");
    assert_eq!(ask_json(address, &[]).1["error"]["kind"], "unreachable");
}

#[test]
fn a_classic_request_has_no_cookie_and_its_reply_is_parsed() {
    let server = Server::start(|_, request, from| {
        assert_ne!(request[4..8], [0x21, 0x12, 0xa4, 0x42]);
        let mut attribute = vec![0, 1, 0, 8, 0, 1];
        attribute.extend(from.port().to_be_bytes());
        attribute.extend([127, 0, 0, 1]);
        let reply = response(0x0101, request, &attribute);
        assert_eq!(mapped_address(&reply).unwrap().0, from);
        vec![reply]
    });
    let (exit, json) = ask_json(server.address, &["--classic"]);
    assert_eq!(exit.unwrap(), ClientExit::Answered);
    assert_eq!((&json["mapped_from"], &json["behind_nat"]), (&"MAPPED-ADDRESS".into(), &false.into()));
}

#[test]
fn the_source_flag_is_used() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (_, json) = ask_json(server.address, &["--source", "127.0.0.5:0"]);
    assert!(json["mapped"].as_str().unwrap().starts_with("127.0.0.5:"), "{json}");
}

#[test]
fn a_usage_error_is_printed_as_json_too() {
    for (server, flags) in [
        ("host:99999", &[][..]),
        ("127.0.0.1", &["-6"]),
        ("::1", &["-4"]),
        ("127.0.0.1", &["--source", "[::1]:0"]),
        ("127.0.0.1", &["-4", "--source", "[::1]:0"]),
    ] {
        let (exit, json) = ask_json(server, flags);
        let failure = exit.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Usage, "{server} {flags:?}");
        assert_eq!(json["error"]["message"], failure.to_string());
        assert_eq!((&json["server"], &json["error"]["kind"]), (&server.into(), &"usage".into()));
    }
}

#[test]
fn a_foreign_source_address_is_a_system_error() {
    let (exit, _, _) = ask("127.0.0.1", &["--source", "192.0.2.1:0"]);
    let failure = exit.unwrap_err();
    assert_eq!((failure.kind(), failure.errno()), (FailureKind::System, Some(libc::EADDRNOTAVAIL)));
    assert!(failure.to_string().starts_with("cannot bind UDP 192.0.2.1:0 (--source): "), "{failure}");
}

/// A standard output that fails with one kind of error.
struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let arguments = arguments(&server.address.to_string(), &[]);
    let ask = |kind| probe(&arguments, &mut Closed(kind), &mut io::sink(), false);
    assert_eq!(ask(io::ErrorKind::BrokenPipe).unwrap(), ClientExit::Answered);
    assert_eq!(ask(io::ErrorKind::StorageFull).unwrap_err().kind(), FailureKind::System);
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let table = [
        (ClientExit::Answered, 0),
        (ClientExit::WrongReply, 1),
        (ClientExit::NoAnswer, 3),
        (ClientExit::Refused, 4),
    ];
    for (exit, code) in table {
        assert_eq!(ExitCode::from(exit), ExitCode::from(code));
    }
}
