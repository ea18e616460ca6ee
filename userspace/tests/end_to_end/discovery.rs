//! NAT behaviour discovery (RFC 5780) by third-party clients and `xstun probe`.

use crate::clients::{is_npm_package_installed, is_program_installed, node_modules, python};
use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use xstun_testkit::lab::server::{Server, xstun};
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::{Lab, Namespace, ip};

const OTHER_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 9);

/// Adds a second IPv4 and IPv6 address to the server's interface and serves on all endpoints of
/// RFC 5780.
fn serve(mode: Mode, lab: &Lab) -> Server {
    let link = lab.link();
    for other in [format!("{OTHER_V4}/24"), format!("{OTHER_V6}/64")] {
        let mut words = vec!["-n", lab.server.name(), "addr", "add", &other, "dev", &link.server_interface];
        if other.contains("::") {
            words.push("nodad");
        }
        ip(&words);
    }
    let (v4, v6) = (format!("{}:3478", link.server_v4), format!("[{}]:3478", link.server_v6));
    let (other_v4, other_v6) = (format!("{OTHER_V4}:3479"), format!("[{OTHER_V6}]:3479"));
    let flags = [
        "--listen",
        &v4,
        "--listen",
        &v6,
        "--alternate-address",
        &other_v4,
        "--alternate-address",
        &other_v6,
    ];
    mode.serve(lab, &flags)
}

/// Runs a client and returns its standard output and error. The exit code is not checked except for a
/// time-out: Debian's `stun` has one for each kind of NAT.
fn printed(client: &Namespace, words: &[&str]) -> String {
    let output = client.output(words);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(124), "{words:?} timed out:\n{text}");
    text
}

fn probe(client: &Namespace, server: &str) -> Value {
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let text = client.run(&[program, "probe", "--nat", "--json", server]);
    serde_json::from_str(&text).expect("one JSON object")
}

/// pystun3's complete test, whose requests are those of RFC 3489.
const PYSTUN: &str = "
import stun, sys
print(stun.get_ip_info(sys.argv[2], 0, sys.argv[1], 3478)[0])
";

/// Requests that arrive in two fragments: the second one of each run of coturn's client, with 1,500 bytes
/// of PADDING.
const FRAGMENTED: u64 = 2;

fn probe_finds_no_nat(mode: Mode, client: &Namespace, server: &str) {
    let found = probe(client, server);
    assert_eq!(found["behind_nat"], false, "{mode:?}: {found}");
    assert_eq!(found["mapping"], "endpoint-independent", "{mode:?}: {found}");
    assert_eq!(found["filtering"], "endpoint-independent", "{mode:?}: {found}");
}

fn every_client_finds_no_nat(mode: Mode) {
    let lab = Lab::new(2);
    let link = lab.link();
    let server = serve(mode, &lab);
    let (v4, v6) = (link.server_v4.to_string(), link.server_v6.to_string());
    let coturn = "apt-get install coturn";
    let own_v4 = link.client_v4.to_string();
    let python = python();
    let rows: [(&str, &[&str], &[&str]); 6] = [
        (
            coturn,
            &["turnutils_natdiscovery", "-m", "-f", &v4],
            &[
                "NAT with Endpoint Independent Mapping",
                "NAT with Endpoint Independent Filtering",
                "Response origin: : 10.77.0.9:3479",
            ],
        ),
        (
            coturn,
            &["turnutils_natdiscovery", "-m", "-f", &v6],
            &["NAT with Endpoint Independent Mapping", "NAT with Endpoint Independent Filtering"],
        ),
        (
            coturn,
            &["turnutils_stunclient", "-f", &v4],
            &["RFC 5780 response 3", "Response origin: : 10.77.0.9:3479"],
        ),
        (coturn, &["turnutils_stunclient", "-f", &v6], &["RFC 5780 response 3"]),
        ("apt-get install stun-client", &["stun", &v4], &["Primary: Open"]),
        ("`cargo xtask setup`", &[&python, "-c", PYSTUN, &v4, &own_v4], &["Open Internet"]),
    ];
    let modules = node_modules();
    let node: [(&str, &[&str], &[&str]); 1] = [(
        "apt-get install nodejs",
        &["node", "-e", NODE_STUN, &modules, &v4, &own_v4],
        &["result 0 type Open to internet natted false mapped 10.77.0.2:"],
    )];
    let node = is_npm_package_installed("node-stun").then_some(node).into_iter().flatten();
    for (package, words, expected) in rows.into_iter().chain(node) {
        if !is_program_installed(words[0], package) {
            continue;
        }
        let text = printed(&lab.client, words);
        for line in expected {
            assert!(text.contains(line), "{mode:?}: {words:?} printed:\n{text}");
        }
    }
    for server in [v4, format!("[{v6}]")] {
        probe_finds_no_nat(mode, &lab.client, &server);
    }
    let counters = server.stop();
    assert!(counters.get(mode.path, "answered") >= 10, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.path, "transmit_failed"), 0, "{mode:?}:\n{}", counters.log);
    if mode.path == "af-xdp" {
        // XDP never sees a reassembled datagram: the sockets serve the fragmented requests and no others.
        assert_eq!(counters.get("sockets", "received"), FRAGMENTED, "{mode:?}:\n{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_finds_no_nat_in_native_mode() {
    every_client_finds_no_nat(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_finds_no_nat_in_generic_mode() {
    every_client_finds_no_nat(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_finds_no_nat_over_sockets() {
    every_client_finds_no_nat(SOCKETS);
}

/// npm's node-stun: all tests of RFC 3489, with the attributes of RFC 5780.
const NODE_STUN: &str = "
const [, modules, server, own] = process.argv;
const client = require(`${modules}/node-stun`).createClient();
client.setLocalAddr(own);
client.setServerAddr(server, 3478);
client.start(result => {
    const { address, port } = client.getMappedAddr();
    const isNatted = client.isNatted();
    console.log(`result ${result} type ${client.getNatType()} natted ${isNatted} mapped ${address}:${port}`);
    client.close(() => {});
});
";

/// A NAT in the client's namespace, with a host behind it.
pub(crate) struct Nat {
    pub(crate) host: Namespace,
}

impl Nat {
    /// Loads `rules` in the client's namespace, in which `INSIDE` stands for the host's address and
    /// `OUTSIDE` for the interface towards the server.
    pub(crate) fn new(lab: &Lab, rules: &str) -> Self {
        let host = Namespace::new(lab.client.name().replace("-c", "-h"));
        ip(&[
            "-n",
            lab.client.name(),
            "link",
            "add",
            "xn0",
            "type",
            "veth",
            "peer",
            "name",
            "xh0",
            "netns",
            host.name(),
        ]);
        for (namespace, interface, address) in
            [(&lab.client, "xn0", "192.168.9.1/24"), (&host, "xh0", "192.168.9.2/24")]
        {
            ip(&["-n", namespace.name(), "addr", "add", address, "dev", interface]);
            ip(&["-n", namespace.name(), "link", "set", interface, "up"]);
        }
        ip(&["-n", host.name(), "route", "add", "default", "via", "192.168.9.1"]);
        lab.client.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("forwarding");
        let rules = rules.replace("INSIDE", "192.168.9.2").replace("OUTSIDE", &lab.link().client_interface);
        lab.client.run(&["nft", &rules]);
        Nat { host }
    }
}

/// Linux's NAT, by its documentation, keeps the source port while it is free (`fully-random`: picks one
/// for each flow), and accepts only packets from endpoints that a flow has sent to.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_probe_distinguishes_nat_behaviours() {
    if !is_program_installed("nft", "apt-get install nftables") {
        return;
    }
    const TABLE: &str = "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname OUTSIDE masquerade RANDOM; }; IN }";
    let forward_all = "chain pre { type nat hook prerouting priority dstnat; iifname OUTSIDE udp dport 1024-65535 dnat to INSIDE; };";
    let rows = [
        ("", "", "endpoint-independent", "address- and port-dependent"),
        ("fully-random", "", "address- and port-dependent", "address- and port-dependent"),
        ("", forward_all, "endpoint-independent", "endpoint-independent"),
    ];
    for (random, inbound, mapping, filtering) in rows {
        let lab = Lab::new(1);
        let server = serve(NATIVE, &lab);
        let nat = Nat::new(&lab, &TABLE.replace("RANDOM", random).replace("IN }", &format!("{inbound} }}")));
        let found = probe(&nat.host, &lab.link().server_v4.to_string());
        assert_eq!(found["behind_nat"], true, "{random} {inbound}: {found}");
        assert_eq!(found["mapping"], mapping, "{random} {inbound}: {found}");
        assert_eq!(found["filtering"], filtering, "{random} {inbound}: {found}");
        let counters = server.stop();
        assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
    }
}

/// Sends requests with this CHANGE-REQUEST to `server` until a reply comes; returns the reply's source
/// endpoint and the mapped address in it.
fn ask(client: &Namespace, server: SocketAddr, flags: u8) -> (SocketAddr, SocketAddr) {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = client.enter(|| UdpSocket::bind((any, 0))).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for _ in 0..40 {
        let transaction = Transaction::with_cookie();
        socket.send_to(&transaction.request(&[0, 3, 0, 4, 0, 0, 0, flags]), server).unwrap();
        let mut buffer = [0; 2048];
        if let Ok((length, origin)) = socket.recv_from(&mut buffer)
            && let Some(mapped) = transaction.mapped_address(&buffer[..length])
        {
            assert_eq!(mapped.port(), socket.local_addr().unwrap().port(), "{server}, flags {flags}");
            return (origin, mapped);
        }
    }
    panic!("{server} does not answer a CHANGE-REQUEST with flags {flags}");
}

/// Each address is on its own interface. AF_XDP sends a reply on the interface that received the request,
/// the sockets by the routing table, which gives the same one. Either way the reply's source may be the
/// address of the other link.
fn two_links_serve_four_endpoints(mode: Mode) {
    let mut lab = Lab::new(1);
    let links = [lab.link().clone(), lab.add_link(1)];
    // Reverse-path filtering would drop replies whose source is not routed to the receiving interface.
    for name in ["all", &links[0].client_interface, &links[1].client_interface] {
        let filter = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        lab.client.enter(|| std::fs::write(filter, "0")).expect("reverse-path filtering is switched off");
    }
    let addresses = links.each_ref().map(|link| [IpAddr::from(link.server_v4), link.server_v6.into()]);
    let mut flags = vec!["--interface".to_owned(), links[1].server_interface.clone()];
    for (primary, other) in addresses[0].into_iter().zip(addresses[1]) {
        flags.extend(["--listen".to_owned(), SocketAddr::new(primary, 3478).to_string()]);
        flags.extend(["--alternate-address".to_owned(), SocketAddr::new(other, 3479).to_string()]);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = mode.serve(&lab, &flags);
    if mode.path == "af-xdp" {
        assert_eq!(server.serving_on(&links[1].server_interface)["path"], mode.path);
    }
    let mut requests = 0;
    for (version, link) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let own: IpAddr =
            if version == 0 { links[link].client_v4.into() } else { links[link].client_v6.into() };
        for (port, other_port) in [(3478, 3479), (3479, 3478)] {
            let endpoint = SocketAddr::new(addresses[link][version], port);
            let other = SocketAddr::new(addresses[1 - link][version], other_port);
            for (flags, expected) in [(0, endpoint), (6, other)] {
                let (origin, mapped) = ask(&lab.client, endpoint, flags);
                assert_eq!((origin, mapped.ip()), (expected, own), "{mode:?}: {endpoint}, flags {flags}");
                requests += 1;
            }
        }
    }
    let counters = server.stop();
    assert!(counters.get(mode.path, "answered") >= requests, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.path, "transmit_failed"), 0, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.other_path(), "received"), 0, "{mode:?}:\n{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn two_links_serve_four_endpoints_in_native_mode() {
    two_links_serve_four_endpoints(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn two_links_serve_four_endpoints_over_sockets() {
    two_links_serve_four_endpoints(SOCKETS);
}
