//! The table sent to the program, over every path that it serves by.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use xstun_core::outcome::Outcome;
use xstun_testkit::conformance::{Asked, PASSWORD, Row, Setting, USER, public_addresses, rows};
use xstun_testkit::lab::packets::{Datagram, Flow, PORT};
use xstun_testkit::lab::server::{Counters, Server};
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link, ip};

const LIMIT: Duration = Duration::from_secs(20);
/// Source port of the first row; each row has its own, by which its reply is known.
const FIRST_PORT: u16 = 20_000;
/// What the veth pair's MTU leaves for a UDP payload behind an IPv6 header.
const MOST_IN_ONE_FRAME: usize = 1500 - 40 - 8;

const NATIVE: [&str; 4] = ["--datapath", "af-xdp", "--xdp-mode", "native"];
const SOCKETS: [&str; 2] = ["--datapath", "socket"];

/// The setting as the command line knows it. Gives the server the addresses that it needs for it, and the
/// files, in `directory`.
pub(crate) fn flags(setting: Setting, lab: &Lab, directory: &Path) -> Vec<String> {
    let link = lab.link();
    let made = match setting {
        Setting::Elsewhere | Setting::ShortTerm => users(directory),
        Setting::Discovery | Setting::Advertised => {
            let servers = [IpAddr::from(link.server_v4), link.server_v6.into()];
            servers.into_iter().flat_map(|server| discovery_flags(server, lab, setting)).collect()
        }
        _ => Vec::new(),
    };
    [made, setting.flags()].concat()
}

/// The flags for discovery at `server`, whose host is given the other address that it needs.
fn discovery_flags(server: IpAddr, lab: &Lab, setting: Setting) -> Vec<String> {
    let other = other(server);
    let prefix = if server.is_ipv4() { 24 } else { 64 };
    let address = format!("{}/{prefix}", other.ip());
    let nodad: &[&str] = if server.is_ipv4() { &[] } else { &["nodad"] };
    let add = ["-n", lab.server.name(), "addr", "add", &address, "dev", &lab.link().server_interface];
    ip(&[&add, nodad].concat());
    let mut flags = vec!["--listen".to_owned(), SocketAddr::new(server, PORT).to_string()];
    flags.extend(["--alternate-address".to_owned(), other.to_string()]);
    if setting == Setting::Advertised {
        for (local, public) in [server, other.ip()].into_iter().zip(public_addresses(server.is_ipv4())) {
            flags.extend(["--advertise".to_owned(), format!("{local}={public}")]);
        }
    }
    flags
}

/// The flags for a server that knows [`USER`], and in `directory` the file that they name.
fn users(directory: &Path) -> Vec<String> {
    let file = directory.join("users");
    std::fs::write(&file, format!("{USER}:{PASSWORD}\n")).unwrap();
    let file = file.to_str().expect("a path in UTF-8");
    ["--auth", "short-term", "--credentials", file].map(str::to_owned).to_vec()
}

/// The endpoint beside `server` that differs in address and port.
pub(crate) fn other(server: IpAddr) -> SocketAddr {
    let address: IpAddr = match server {
        IpAddr::V4(ip) => (ip | std::net::Ipv4Addr::from_bits(8)).into(),
        IpAddr::V6(ip) => (ip | std::net::Ipv6Addr::from_bits(8)).into(),
    };
    SocketAddr::new(address, PORT + 1)
}

/// One row over one version of IP.
struct Question<'a> {
    row: &'a Row,
    flow: Flow,
    /// Whether AF_XDP can take it: what is longer than a frame comes in fragments, which are the sockets'.
    whole: bool,
}

impl Question<'_> {
    fn asked(&self) -> Asked {
        let Flow { source, destination, .. } = self.flow;
        Asked { source, server: destination, other: other(destination.ip()) }
    }

    fn owed(&self) -> Vec<u8> {
        self.row.reply(&self.asked())
    }

    fn send(&self, wire: &Wire) {
        if self.whole {
            wire.send(&self.flow.frame(&self.row.request));
        } else {
            self.flow.fragments(&self.row.request, 1280).iter().for_each(|frame| wire.send(frame));
        }
    }

    /// The datagram in `frame`, if it goes to where this question's reply is due.
    fn reply_in(&self, frame: &[u8]) -> Option<Datagram> {
        let due = SocketAddr::new(self.flow.source.ip(), self.row.port(&self.asked()));
        Datagram::read(frame).filter(|datagram| datagram.destination == due)
    }

    fn check(&self, reply: &Datagram) {
        let name = self.row.name();
        let macs = (reply.source_mac, reply.destination_mac);
        assert_eq!(macs, (self.flow.destination_mac, self.flow.source_mac), "{name}: {reply:?}");
        assert_eq!(reply.source, self.row.origin(&self.asked()), "{name}: where it leaves from");
        assert!(reply.checksums_hold, "{name}: the reply's checksums: {reply:?}");
        assert_eq!(reply.payload, self.owed(), "{name}, over {}", self.flow.source);
    }
}

fn questions<'a>(link: &Link, rows: &'a [Row]) -> Vec<Question<'a>> {
    let ports = FIRST_PORT..;
    let asked = rows.iter().zip(ports).flat_map(|(row, port)| {
        let whole = row.request.len() <= MOST_IN_ONE_FRAME;
        [Flow::v4(link, port), Flow::v6(link, port)].map(|flow| Question { row, flow, whole })
    });
    asked.collect()
}

/// Sends every row of every setting and waits for each reply that is owed; checks after the server's end
/// that nothing else came back, and that each row is counted once, where it should be.
fn run(path: &str, path_flags: &[&str]) {
    for setting in Setting::ALL {
        let mut rows: Vec<Row> = rows().into_iter().filter(|row| row.setting == setting).collect();
        // The last is answered, so that all before it were seen when its reply is.
        rows.sort_by_key(|row| row.outcome == Outcome::Answered);
        let lab = Lab::new(1);
        let link = lab.link();
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(setting, &lab, directory.path());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let common = ["--interface", &link.server_interface];
        let server = Server::start(&lab.server, &[&common, path_flags, &flags[..]].concat());
        let wire = Wire::open(&lab.client, &link.client_interface);
        let questions = questions(link, &rows);
        for question in &questions {
            question.send(&wire);
            if !question.owed().is_empty() {
                let mut reply = None;
                wire.wait_for(LIMIT, |frame| {
                    let silent = questions.iter().filter(|other| other.owed().is_empty());
                    silent.for_each(|silent| stays_silent(silent, frame));
                    reply = question.reply_in(frame);
                    reply.is_some()
                });
                question.check(&reply.unwrap_or_else(|| panic!("{}: no answer", question.row.name())));
            }
        }
        let counters = server.stop();
        for frame in wire.drain() {
            questions.iter().for_each(|question| stays_silent(question, &frame));
        }
        check_counters(&counters, path, &questions);
    }
}

fn stays_silent(question: &Question, frame: &[u8]) {
    let reply = question.reply_in(frame);
    assert!(reply.is_none(), "{}: answered by {reply:?}", question.row.name());
}

fn check_counters(counters: &Counters, path: &str, questions: &[Question]) {
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for question in questions {
        let path = if question.whole { path } else { "sockets" };
        *expected.entry((path, question.row.outcome.name())).or_default() += 1;
    }
    for path in ["af-xdp", "sockets"] {
        for name in Outcome::ALL.map(Outcome::name) {
            let owed = expected.get(&(path, name)).copied().unwrap_or_default();
            assert_eq!(counters.get(path, name), owed, "{name} on {path}:\n{}", counters.log);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn af_xdp_keeps_every_rule() {
    run("af-xdp", &NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sockets_keep_every_rule() {
    run("sockets", &SOCKETS);
}
