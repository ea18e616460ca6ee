//! The conformance table over AF_XDP, with and without kernel answers, and over UDP sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_testkit::conformance::{
    PASSWORD, RequestEndpoints, Row, Setting, USER, policy, public_addresses, rows,
};
use xstun_testkit::lab::packets::{Datagram, Flow, PORT};
use xstun_testkit::lab::server::{Counters, Server};
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link, ip};
use xstun_testkit::plain::answer_in_kernel;

const LIMIT: Duration = Duration::from_secs(20);
/// Source port of the first row; each row has its own, which identifies its reply.
const FIRST_PORT: u16 = 20_000;
/// Bytes of UDP payload that fit in the veth pair's MTU over IPv6.
const MAX_UNFRAGMENTED: usize = 1500 - 40 - 8;

const NATIVE: [&str; 6] = ["--datapath", "af-xdp", "--xdp-mode", "native", "--kernel-answers", "off"];
const KERNEL_ANSWERS: [&str; 6] = ["--datapath", "af-xdp", "--xdp-mode", "generic", "--kernel-answers", "on"];
const SOCKETS: [&str; 2] = ["--datapath", "socket"];

/// Returns the flags for the setting. Adds the addresses that it needs to the server's host, and writes its
/// files in `directory`.
pub(crate) fn flags(setting: Setting, lab: &Lab, directory: &Path) -> Vec<String> {
    let link = lab.link();
    let prepared = match setting {
        Setting::AlternateServer | Setting::ShortTerm => users(directory),
        Setting::Discovery | Setting::Advertised => {
            let servers = [IpAddr::from(link.server_v4), link.server_v6.into()];
            servers.into_iter().flat_map(|server| discovery_flags(server, lab, setting)).collect()
        }
        _ => Vec::new(),
    };
    [prepared, setting.flags()].concat()
}

/// Returns the flags for discovery at `server`, and adds the other address to its host.
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

/// Returns the flags for a server with [`USER`], and writes its credentials file in `directory`.
fn users(directory: &Path) -> Vec<String> {
    let file = directory.join("users");
    std::fs::write(&file, format!("{USER}:{PASSWORD}\n")).unwrap();
    let file = file.to_str().expect("a path in UTF-8");
    ["--auth", "short-term", "--credentials", file].map(str::to_owned).to_vec()
}

/// The server's endpoint that differs from `server` in address and port.
pub(crate) fn other(server: IpAddr) -> SocketAddr {
    let address: IpAddr = match server {
        IpAddr::V4(ip) => (ip | std::net::Ipv4Addr::from_bits(8)).into(),
        IpAddr::V6(ip) => (ip | std::net::Ipv6Addr::from_bits(8)).into(),
    };
    SocketAddr::new(address, PORT + 1)
}

/// One row over one version of IP.
struct RowFlow<'a> {
    row: &'a Row,
    flow: Flow,
    /// Whether it fits in one frame, which AF_XDP can answer. Longer requests are sent in fragments, which the
    /// sockets answer.
    fits_frame: bool,
}

impl RowFlow<'_> {
    fn endpoints(&self) -> RequestEndpoints {
        let Flow { source, destination, .. } = self.flow;
        RequestEndpoints { source, server: destination, other: other(destination.ip()) }
    }

    fn expected(&self) -> Vec<u8> {
        self.row.reply(&self.endpoints())
    }

    fn send(&self, wire: &Wire) {
        if self.fits_frame {
            wire.send(&self.flow.frame(&self.row.request));
        } else {
            self.flow.fragments(&self.row.request, 1280).iter().for_each(|frame| wire.send(frame));
        }
    }

    /// The path that counts it, on a server whose plain requests are answered on `path`.
    fn path<'p>(&self, path: &'p str, link: &Link) -> &'p str {
        match path {
            _ if !self.fits_frame => "sockets",
            "xdp" if !self.is_plain(link) => "af-xdp",
            path => path,
        }
    }

    /// Whether the XDP program answers it.
    fn is_plain(&self, link: &Link) -> bool {
        let server = self.flow.destination;
        let served = Served::new(link.server_mac, [(server.ip(), server.port())], []);
        let permission = policy(self.row.setting, &self.endpoints()).permission(&server);
        answer_in_kernel(&self.flow.frame(&self.row.request), true, &served, permission).is_ok()
    }

    /// The datagram in `frame`, if its destination is that of this row's reply.
    fn reply_in(&self, frame: &[u8]) -> Option<Datagram> {
        let destination = SocketAddr::new(self.flow.source.ip(), self.row.port(&self.endpoints()));
        Datagram::read(frame).filter(|datagram| datagram.destination == destination)
    }

    fn check(&self, reply: &Datagram) {
        let name = self.row.name();
        let macs = (reply.source_mac, reply.destination_mac);
        assert_eq!(macs, (self.flow.destination_mac, self.flow.source_mac), "{name}: {reply:?}");
        assert_eq!(reply.source, self.row.origin(&self.endpoints()), "{name}: the reply's source");
        assert!(reply.checksums_hold, "{name}: the reply's checksums: {reply:?}");
        assert_eq!(reply.payload, self.expected(), "{name}, over {}", self.flow.source);
    }
}

fn row_flows<'a>(link: &Link, rows: &'a [Row]) -> Vec<RowFlow<'a>> {
    let ports = FIRST_PORT..;
    let row_flows = rows.iter().zip(ports).flat_map(|(row, port)| {
        let fits_frame = row.request.len() <= MAX_UNFRAGMENTED;
        [Flow::v4(link, port), Flow::v6(link, port)].map(|flow| RowFlow { row, flow, fits_frame })
    });
    row_flows.collect()
}

/// Sends every row of every setting and waits for each expected reply. After the server has stopped, checks
/// that nothing else was answered, and that each row is counted once, under its outcome and path.
fn run(path: &str, path_flags: &[&str]) {
    for setting in Setting::ALL {
        let mut rows: Vec<Row> = rows().into_iter().filter(|row| row.setting == setting).collect();
        // The last one is answered: when its reply comes, the server has processed all rows.
        rows.sort_by_key(|row| row.outcome == Outcome::Answered);
        let lab = Lab::new(1);
        let link = lab.link();
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(setting, &lab, directory.path());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let common = ["--interface", &link.server_interface];
        let server = Server::start(&lab.server, &[&common, path_flags, &flags[..]].concat());
        let wire = Wire::open(&lab.client, &link.client_interface);
        let row_flows = row_flows(link, &rows);
        for row_flow in &row_flows {
            row_flow.send(&wire);
            if !row_flow.expected().is_empty() {
                let mut reply = None;
                wire.wait_for(LIMIT, |frame| {
                    let silent = row_flows.iter().filter(|other| other.expected().is_empty());
                    silent.for_each(|silent| assert_unanswered(silent, frame));
                    reply = row_flow.reply_in(frame);
                    reply.is_some()
                });
                row_flow.check(&reply.unwrap_or_else(|| panic!("{}: no reply", row_flow.row.name())));
            }
        }
        let counters = server.stop();
        for frame in wire.drain() {
            row_flows.iter().for_each(|row_flow| assert_unanswered(row_flow, &frame));
        }
        check_counters(&counters, path, link, &row_flows);
    }
}

fn assert_unanswered(row_flow: &RowFlow, frame: &[u8]) {
    let reply = row_flow.reply_in(frame);
    assert!(reply.is_none(), "{}: answered by {reply:?}", row_flow.row.name());
}

fn check_counters(counters: &Counters, path: &str, link: &Link, row_flows: &[RowFlow]) {
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut answered_by_program = 0;
    for row_flow in row_flows {
        let path = row_flow.path(path, link);
        answered_by_program += u64::from(path == "xdp");
        *expected.entry((path, row_flow.row.outcome.name())).or_default() += 1;
    }
    assert_eq!(counters.get("xdp", "answered"), answered_by_program, "by the program:\n{}", counters.log);
    for path in ["af-xdp", "sockets"] {
        for name in Outcome::ALL.map(Outcome::name) {
            let count = expected.get(&(path, name)).copied().unwrap_or_default();
            assert_eq!(counters.get(path, name), count, "{name} on {path}:\n{}", counters.log);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn af_xdp_keeps_every_rule() {
    run("af-xdp", &NATIVE);
}

/// What is not plain goes to the workers in the same run.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_keep_every_rule() {
    run("xdp", &KERNEL_ANSWERS);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sockets_keep_every_rule() {
    run("sockets", &SOCKETS);
}
