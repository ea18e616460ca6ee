use super::{Ending, run};
use crate::cli::{Cli, Command};
use clap::Parser as _;
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Long enough for a reply over loopback, also on a busy machine; silence costs this much.
const TIMEOUT: &str = "2";

/// What a script says to a request: the mapped address to tell, and the endpoint to answer from.
type Script = fn(asked: usize, flags: u8, from: SocketAddr) -> Option<(SocketAddr, usize)>;

/// Four endpoints on loopback, as far as the client can tell: 0 is the primary one, 1 has its address and
/// the other port, 2 the other address, 3 both.
struct Four {
    primary: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Four {
    fn start(tells_other: bool, script: Script) -> Self {
        let sockets = bind();
        let endpoints: Arc<Vec<SocketAddr>> =
            Arc::new(sockets.iter().map(|s| s.local_addr().unwrap()).collect());
        let (sockets, stop) = (Arc::new(sockets), Arc::new(AtomicBool::new(false)));
        let serve = |asked: usize| {
            let (sockets, endpoints, stop) = (sockets.clone(), endpoints.clone(), stop.clone());
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = sockets[asked].recv_from(&mut buffer) else { continue };
                    let flags = if length == 28 { buffer[27] } else { 0 };
                    if let Some((mapped, origin)) = script(asked, flags, from) {
                        let other = tells_other.then(|| endpoints[asked ^ 3]);
                        sockets[origin].send_to(&success(&buffer[..length], mapped, other), from).unwrap();
                    }
                }
            })
        };
        let threads = (0..4).map(serve).collect();
        Four { primary: endpoints[0], stop, threads }
    }
}

impl Drop for Four {
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
        let SocketAddr::V4(address) = address else { panic!("the script speaks IPv4") };
        [&kind.to_be_bytes()[..], &[0, 8, 0, 1], &address.port().to_be_bytes(), &address.ip().octets()]
            .concat()
    };
    let mut body = attribute(0x0001, mapped);
    body.extend(other.into_iter().flat_map(|other| attribute(0x802c, other)));
    [&[1, 1][..], &(body.len() as u16).to_be_bytes(), &request[4..20], &body].concat()
}

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], port))
}

fn moved(asked: usize, flags: u8) -> usize {
    asked ^ usize::from(flags >> 1)
}

fn probe(server: SocketAddr, flags: &[&str]) -> (Ending, String, String) {
    let server = server.to_string();
    let line = [&["xstun", "probe", &server, "--nat", "--timeout", TIMEOUT], flags].concat();
    let Command::Probe(args) = Cli::try_parse_from(line).unwrap().command else { panic!("a probe") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ending = run(&args, &mut out, &mut err).unwrap();
    (ending, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// What each behaviour is called, by how the network treats the tests of RFC 5780 §4.3 and §4.4.
#[test]
fn each_behaviour_has_its_name() {
    let table: [(&str, Script, &str, &str, bool); 6] = [
        (
            "no NAT",
            |asked, flags, from| Some((from, moved(asked, flags))),
            "endpoint-independent",
            "endpoint-independent",
            false,
        ),
        (
            "one mapping, and everyone gets in",
            |asked, flags, _| Some((elsewhere(9), moved(asked, flags))),
            "endpoint-independent",
            "endpoint-independent",
            true,
        ),
        (
            "a mapping an address, and its ports get in",
            |asked, flags, _| {
                (flags & 4 == 0).then(|| (elsewhere(10 + asked as u16 / 2), moved(asked, flags)))
            },
            "address-dependent",
            "address-dependent",
            true,
        ),
        (
            "a mapping an endpoint, which alone gets in",
            |asked, flags, _| (flags == 0).then(|| (elsewhere(10 + asked as u16), asked)),
            "address- and port-dependent",
            "address- and port-dependent",
            true,
        ),
        (
            "one mapping, and only who was asked gets in",
            |asked, flags, _| (flags == 0).then(|| (elsewhere(9), asked)),
            "endpoint-independent",
            "address- and port-dependent",
            true,
        ),
        (
            "no NAT, and a firewall",
            |asked, flags, from| (flags == 0).then_some((from, asked)),
            "endpoint-independent",
            "address- and port-dependent",
            false,
        ),
    ];
    // Silence takes its time: all wait for it together.
    thread::scope(|scope| {
        for (what, script, mapping, filtering, nat) in table {
            scope.spawn(move || {
                let four = Four::start(true, script);
                let (ending, out, err) = probe(four.primary, &["--json"]);
                assert_eq!((ending, err.as_str()), (Ending::Answered, ""), "{what}");
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
fn a_person_reads_it_in_words() {
    let four = Four::start(true, |asked, flags, from| Some((from, moved(asked, flags))));
    let (_, out, _) = probe(four.primary, &[]);
    for line in [
        "NAT             no NAT: ",
        "mapping         endpoint-independent: ",
        "filtering       endpoint-independent: ",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("hairpinning"), "{out}");
}

#[test]
fn a_server_without_other_address_is_told_apart() {
    let four = Four::start(false, |asked, _, from| Some((from, asked)));
    let (ending, out, err) = probe(four.primary, &[]);
    assert_eq!((ending, out.as_str()), (Ending::Refused, ""));
    assert!(err.contains("no OTHER-ADDRESS"), "{err}");
    let (_, out, _) = probe(four.primary, &["--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["error"]["kind"], "no_other_address");
}

#[test]
fn a_mute_server_and_one_half_mute_are_told_apart() {
    let four = Four::start(true, |_, _, _| None);
    let (ending, out, err) = probe(four.primary, &[]);
    assert_eq!((ending, out.as_str()), (Ending::NoAnswer, ""));
    assert!(err.contains("did not answer"), "{err}");
    let four = Four::start(true, |asked, _, _| (asked == 0).then(|| (elsewhere(9), 0)));
    let (ending, out, _) = probe(four.primary, &[]);
    assert_eq!(ending, Ending::NoAnswer);
    assert!(out.contains("mapping         unknown: 127.0.0.2:"), "{out}");
    assert!(
        out.contains("filtering       unknown: 127.0.0.1:"),
        "a reply from the endpoint that was asked: {out}"
    );
}
