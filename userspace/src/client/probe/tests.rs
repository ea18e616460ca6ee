use super::ask::timetable;
use super::{Ending, probe};
use crate::cli::{Cli, Command, ProbeArgs};
use crate::client::message::mapped_address;
use crate::error::{Kind, Result};
use clap::Parser as _;
use serde_json::Value;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server on loopback that answers the n-th request as its script says, until dropped.
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

/// A response of this type to `request`, with these attributes' bytes.
fn response(kind: u16, request: &[u8], attributes: &[u8]) -> Vec<u8> {
    let mut response = kind.to_be_bytes().to_vec();
    response.extend((attributes.len() as u16).to_be_bytes());
    response.extend(&request[4..20]);
    response.extend(attributes);
    response
}

/// A success response with XOR-MAPPED-ADDRESS over IPv4.
fn success(request: &[u8], mapped: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(mapped) = mapped else { panic!("the script speaks IPv4") };
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

/// How a probe ended, and what it printed on standard output and standard error.
fn ask(server: impl ToString, flags: &[&str]) -> (Result<Ending>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ending = probe(&arguments(&server.to_string(), flags), &mut out, &mut err, false);
    (ending, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn ask_json(server: impl ToString, flags: &[&str]) -> (Result<Ending>, Value) {
    let (ending, out, _) = ask(server, &[&["--json"], flags].concat());
    assert_eq!(out.lines().count(), 1, "{out}");
    (ending, serde_json::from_str(&out).unwrap())
}

#[test]
fn an_answer_is_told_to_a_person() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (ending, out, err) = ask(server.address, &[]);
    assert_eq!((ending.unwrap(), err.as_str()), (Ending::Answered, ""));
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
fn an_answer_is_told_to_a_program() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (ending, json) = ask_json(server.address, &[]);
    assert_eq!(ending.unwrap(), Ending::Answered);
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
fn an_address_translator_on_the_way_shows() {
    let server = Server::start(|_, request, _| vec![success(request, "192.0.2.9:7".parse().unwrap())]);
    let (_, json) = ask_json(server.address, &[]);
    assert_eq!((&json["mapped"], &json["behind_nat"]), (&"192.0.2.9:7".into(), &true.into()));
    assert!(ask(server.address, &[]).1.contains("yes: the mapped address is not the local one"));
}

#[test]
fn software_is_told_without_what_steers_a_terminal() {
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
    let (ending, out, _) = ask(server.address, &[]);
    assert_eq!(ending.unwrap(), Ending::Answered);
    assert!(out.contains("192.0.2.1:9 (MAPPED-ADDRESS)"), "{out}");
    assert!(out.contains("\u{fffd}[2Jx/1") && !out.contains('\u{1b}'), "{out}");
}

#[test]
fn an_error_response_is_a_refusal_that_names_what_is_unknown() {
    let attributes = [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4, 0, 3, 0x7f, 0xee];
    let server = Server::start(move |_, request, _| vec![response(0x0111, request, &attributes)]);
    let (ending, out, err) = ask(server.address, &[]);
    assert_eq!((ending.unwrap(), out.as_str()), (Ending::Refused, ""));
    let address = server.address;
    assert_eq!(
        err,
        format!(
            "xstun: {address} answered with error 420 (Unknown Attribute); it does not know 0x0003, 0x7fee\n"
        )
    );
    let (_, json) = ask_json(server.address, &[]);
    assert_eq!((&json["error"]["kind"], &json["error"]["code"]), (&"stun_error".into(), &420.into()));
    assert_eq!(json["error"]["unknown_attributes"], serde_json::json!([3, 0x7fee]));
    assert_eq!(json["mapped"], Value::Null);
}

#[test]
fn another_s_transaction_is_ignored_and_noted() {
    let server = Server::start(|_, request, from| {
        let mut other = request.to_vec();
        other[19] ^= 1;
        vec![success(&other, "192.0.2.66:66".parse().unwrap()), vec![0; 3], success(request, from)]
    });
    let (ending, out, err) = ask(server.address, &[]);
    assert_eq!(ending.unwrap(), Ending::Answered);
    assert!(out.contains("NAT             no"), "{out}");
    let address = server.address;
    assert_eq!(err, format!("xstun: ignored 2 messages from {address}: its transaction ID is another\n"));
}

#[test]
fn nothing_but_wrong_replies_is_no_answer() {
    let server = Server::start(|_, request, from| vec![success(&[request, &[0; 8]].concat()[4..], from)]);
    let (ending, json) = ask_json(server.address, &["--timeout", "0.2"]);
    assert_eq!(ending.unwrap(), Ending::NoAnswer);
    assert_eq!((&json["error"]["kind"], &json["ignored"]), (&"no_answer".into(), &1.into()));
}

#[test]
fn silence_ends_with_the_timeout() {
    let server = Server::start(|_, _, _| vec![]);
    let (ending, out, err) = ask(server.address, &["--timeout", "0.2"]);
    assert_eq!((ending.unwrap(), out.as_str()), (Ending::NoAnswer, ""));
    assert!(
        err.starts_with(&format!("xstun: {} did not answer 1 request in 0.2 s", server.address)),
        "{err}"
    );
}

#[test]
fn an_unanswered_request_is_sent_again_as_it_was() {
    let server = Server::start(|number, request, from| match number {
        0 => vec![],
        _ => vec![success(request, from)],
    });
    let (ending, json) = ask_json(server.address, &["--fingerprint"]);
    assert_eq!(ending.unwrap(), Ending::Answered);
    assert_eq!(json["requests_sent"], 2);
    let requests: Vec<_> = server.requests.try_iter().collect();
    assert_eq!((requests.len(), requests[0].len()), (2, 28));
    assert_eq!(requests[0], requests[1]);
}

#[test]
fn a_closed_port_is_a_refusal() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let (ending, out, err) = ask(address, &[]);
    assert_eq!((ending.unwrap(), out.as_str()), (Ending::Refused, ""));
    assert!(err.starts_with(&format!("xstun: {address} is unreachable: Connection refused")), "{err}");
    assert_eq!(ask_json(address, &[]).1["error"]["kind"], "unreachable");
}

#[test]
fn a_classic_request_has_no_cookie_and_its_answer_is_read() {
    let server = Server::start(|_, request, from| {
        assert_ne!(request[4..8], [0x21, 0x12, 0xa4, 0x42]);
        let mut attribute = vec![0, 1, 0, 8, 0, 1];
        attribute.extend(from.port().to_be_bytes());
        attribute.extend([127, 0, 0, 1]);
        let reply = response(0x0101, request, &attribute);
        assert_eq!(mapped_address(&reply).unwrap().0, from);
        vec![reply]
    });
    let (ending, json) = ask_json(server.address, &["--classic"]);
    assert_eq!(ending.unwrap(), Ending::Answered);
    assert_eq!((&json["mapped_from"], &json["behind_nat"]), (&"MAPPED-ADDRESS".into(), &false.into()));
}

#[test]
fn the_source_is_the_one_asked_for() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let (_, json) = ask_json(server.address, &["--source", "127.0.0.5:0"]);
    assert!(json["mapped"].as_str().unwrap().starts_with("127.0.0.5:"), "{json}");
}

#[test]
fn bad_usage_is_told_also_to_a_program() {
    for (server, flags) in [
        ("host:99999", &[][..]),
        ("127.0.0.1", &["-6"]),
        ("::1", &["-4"]),
        ("127.0.0.1", &["--source", "[::1]:0"]),
        ("127.0.0.1", &["-4", "--source", "[::1]:0"]),
    ] {
        let (ending, json) = ask_json(server, flags);
        let failure = ending.unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage, "{server} {flags:?}");
        assert_eq!(json["error"]["message"], failure.to_string());
        assert_eq!((&json["server"], &json["error"]["kind"]), (&server.into(), &"usage".into()));
    }
}

#[test]
fn a_source_that_is_not_ours_is_the_system_s_refusal() {
    let (ending, _, _) = ask("127.0.0.1", &["--source", "192.0.2.1:0"]);
    let failure = ending.unwrap_err();
    assert_eq!((failure.kind(), failure.errno()), (Kind::System, Some(libc::EADDRNOTAVAIL)));
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
fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
    let server = Server::start(|_, request, from| vec![success(request, from)]);
    let arguments = arguments(&server.address.to_string(), &[]);
    let ask = |kind| probe(&arguments, &mut Closed(kind), &mut io::sink(), false);
    assert_eq!(ask(io::ErrorKind::BrokenPipe).unwrap(), Ending::Answered);
    assert_eq!(ask(io::ErrorKind::StorageFull).unwrap_err().kind(), Kind::System);
}

#[test]
fn requests_are_due_as_the_rfc_says() {
    let (due, give_up) = timetable(None);
    let due: Vec<_> = due.iter().map(Duration::as_millis).collect();
    assert_eq!(due, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(give_up.as_millis(), 39_500);
    let (due, give_up) = timetable(Some(Duration::from_millis(1_500)));
    assert_eq!((due.len(), give_up.as_millis()), (2, 1_500));
    assert_eq!(timetable(Some(Duration::from_secs(60))).0.len(), 7);
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let table = [(Ending::Answered, 0), (Ending::Wrong, 1), (Ending::NoAnswer, 3), (Ending::Refused, 4)];
    for (ending, code) in table {
        assert_eq!(ExitCode::from(ending), ExitCode::from(code));
    }
}
