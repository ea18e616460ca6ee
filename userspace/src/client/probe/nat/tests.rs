use super::{ClientExit, run};
use crate::cli::{Cli, Command};
use clap::Parser as _;
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Seconds. Enough for a reply over loopback on a busy machine; a test of silence takes this long.
const TIMEOUT: &str = "2";

/// What to answer to a request: the mapped address, and the endpoint to answer from.
type Script = fn(endpoint: usize, flags: u8, from: SocketAddr) -> Option<(SocketAddr, usize)>;

/// A server with four endpoints on loopback: 0 is the primary one, 1 has the same address and the other
/// port, 2 the other address and the same port, 3 the other address and port.
struct DiscoveryServer {
    primary: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DiscoveryServer {
    fn start(has_other_address: bool, script: Script) -> Self {
        let sockets = bind();
        let endpoints: Arc<Vec<SocketAddr>> =
            Arc::new(sockets.iter().map(|s| s.local_addr().unwrap()).collect());
        let (sockets, stop) = (Arc::new(sockets), Arc::new(AtomicBool::new(false)));
        let serve = |endpoint: usize| {
            let (sockets, endpoints, stop) = (sockets.clone(), endpoints.clone(), stop.clone());
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = sockets[endpoint].recv_from(&mut buffer) else { continue };
                    let flags = if length == 28 { buffer[27] } else { 0 };
                    if let Some((mapped, origin)) = script(endpoint, flags, from) {
                        let other = has_other_address.then(|| endpoints[endpoint ^ 3]);
                        sockets[origin].send_to(&success(&buffer[..length], mapped, other), from).unwrap();
                    }
                }
            })
        };
        let threads = (0..4).map(serve).collect();
        DiscoveryServer { primary: endpoints[0], stop, threads }
    }
}

impl Drop for DiscoveryServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind() -> Vec<UdpSocket> {
    for _ in 0..100 {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let four = UdpSocket::bind("127.0.0.2:0").unwrap();
        let (first, second) = (one.local_addr().unwrap().port(), four.local_addr().unwrap().port());
        if first == second {
            continue;
        }
        let (Ok(two), Ok(three)) =
            (UdpSocket::bind(("127.0.0.1", second)), UdpSocket::bind(("127.0.0.2", first)))
        else {
            continue;
        };
        let all = vec![one, two, three, four];
        all.iter().for_each(|socket| socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap());
        return all;
    }
    panic!("no two ports are free on both addresses");
}

fn success(request: &[u8], mapped: SocketAddr, other: Option<SocketAddr>) -> Vec<u8> {
    let attribute = |kind: u16, address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("the server has IPv4 only") };
        [&kind.to_be_bytes()[..], &[0, 8, 0, 1], &address.port().to_be_bytes(), &address.ip().octets()]
            .concat()
    };
    let mut body = attribute(0x0001, mapped);
    body.extend(other.into_iter().flat_map(|other| attribute(0x802c, other)));
    [&[1, 1][..], &(body.len() as u16).to_be_bytes(), &request[4..20], &body].concat()
}

fn nat_address(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], port))
}

fn moved(endpoint: usize, flags: u8) -> usize {
    endpoint ^ usize::from(flags >> 1)
}

fn probe(server: SocketAddr, flags: &[&str]) -> (ClientExit, String, String) {
    let server = server.to_string();
    let line = [&["xstun", "probe", &server, "--nat", "--timeout", TIMEOUT], flags].concat();
    let Command::Probe(args) = Cli::try_parse_from(line).unwrap().command else { panic!("a probe") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&args, &mut out, &mut err).unwrap();
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// What the network does to the tests of RFC 5780 §4.3 and §4.4: a description, the script, the names of
/// the mapping and of the filtering behaviour, and whether there is a NAT.
const BEHAVIOURS: [(&str, Script, &str, &str, bool); 6] = [
    (
        "no NAT",
        |endpoint, flags, from| Some((from, moved(endpoint, flags))),
        "endpoint-independent",
        "endpoint-independent",
        false,
    ),
    (
        "one mapping, no filter",
        |endpoint, flags, _| Some((nat_address(9), moved(endpoint, flags))),
        "endpoint-independent",
        "endpoint-independent",
        true,
    ),
    (
        "a mapping and a filter by address",
        |endpoint, flags, _| {
            (flags & 4 == 0).then(|| (nat_address(10 + endpoint as u16 / 2), moved(endpoint, flags)))
        },
        "address-dependent",
        "address-dependent",
        true,
    ),
    (
        "a mapping and a filter by address and port",
        |endpoint, flags, _| (flags == 0).then(|| (nat_address(10 + endpoint as u16), endpoint)),
        "address- and port-dependent",
        "address- and port-dependent",
        true,
    ),
    (
        "one mapping, a filter by address and port",
        |endpoint, flags, _| (flags == 0).then(|| (nat_address(9), endpoint)),
        "endpoint-independent",
        "address- and port-dependent",
        true,
    ),
    (
        "no NAT, a firewall",
        |endpoint, flags, from| (flags == 0).then_some((from, endpoint)),
        "endpoint-independent",
        "address- and port-dependent",
        false,
    ),
];

#[test]
fn each_behaviour_has_its_name() {
    // The tests wait for timeouts, so they run in parallel.
    thread::scope(|scope| {
        for (what, script, mapping, filtering, nat) in BEHAVIOURS {
            scope.spawn(move || {
                let server = DiscoveryServer::start(true, script);
                let (exit, out, err) = probe(server.primary, &["--json"]);
                assert_eq!((exit, err.as_str()), (ClientExit::Answered, ""), "{what}");
                let json: Value = serde_json::from_str(&out).unwrap();
                assert_eq!(json["mapping"], mapping, "{what}: {json}");
                assert_eq!(json["filtering"], filtering, "{what}: {json}");
                assert_eq!(json["behind_nat"], nat, "{what}: {json}");
                assert_eq!(json["error"], Value::Null, "{what}: {json}");
            });
        }
    });
}

#[test]
fn the_text_explains_each_behaviour() {
    let server = DiscoveryServer::start(true, |endpoint, flags, from| Some((from, moved(endpoint, flags))));
    let (_, out, _) = probe(server.primary, &[]);
    for line in [
        "NAT             no: ",
        "mapping         endpoint-independent: ",
        "filtering       endpoint-independent: ",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("hairpinning"), "{out}");
}

#[test]
fn a_server_without_other_address_is_reported() {
    let server = DiscoveryServer::start(false, |endpoint, _, from| Some((from, endpoint)));
    let (exit, out, err) = probe(server.primary, &[]);
    assert_eq!((exit, out.as_str()), (ClientExit::Refused, ""));
    assert!(err.contains("no OTHER-ADDRESS"), "{err}");
    let (_, out, _) = probe(server.primary, &["--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["error"]["kind"], "no_other_address");
}

#[test]
fn a_silent_server_and_a_partly_silent_one_are_distinguished() {
    let server = DiscoveryServer::start(true, |_, _, _| None);
    let (exit, out, err) = probe(server.primary, &[]);
    assert_eq!((exit, out.as_str()), (ClientExit::NoAnswer, ""));
    assert!(err.contains("did not answer"), "{err}");
    let server = DiscoveryServer::start(true, |endpoint, _, _| (endpoint == 0).then(|| (nat_address(9), 0)));
    let (exit, out, _) = probe(server.primary, &[]);
    assert_eq!(exit, ClientExit::NoAnswer);
    assert!(out.contains("mapping         unknown: 127.0.0.2:"), "{out}");
    assert!(
        out.contains("filtering       unknown: 127.0.0.1:"),
        "the reply came from the endpoint of the request: {out}"
    );
}
