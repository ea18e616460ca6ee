//! NAT behaviour discovery (RFC 5780), by other people's clients and our own.

use crate::clients::{is_there, python};
use crate::common::lab::{Lab, Namespace, ip};
use crate::common::server::{Server, xstun};
use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};

const OTHER_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 9);

/// Gives the server's end a second address of each version of IP, and serves on all four endpoints.
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

/// What a client prints that has to succeed, on both of its outputs: Debian's `stun` has an exit code of
/// its own for each kind of NAT.
fn printed(client: &Namespace, words: &[&str]) -> String {
    let output = client.output(words);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(124), "{words:?} did not end:\n{text}");
    text
}

fn probe(client: &Namespace, server: &str) -> Value {
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let text = client.run(&[program, "probe", "--nat", "--json", server]);
    serde_json::from_str(&text).expect("one JSON object")
}

/// pystun3's whole test, which asks as RFC 3489 clients do.
const PYSTUN: &str = "
import stun, sys
print(stun.get_ip_info(sys.argv[2], 0, sys.argv[1], 3478)[0])
";

fn every_client_finds_no_nat(mode: Mode) {
    let lab = Lab::new(2);
    let link = lab.link();
    let server = serve(mode, &lab);
    let (v4, v6) = (link.server_v4.to_string(), link.server_v6.to_string());
    let coturn = "apt-get install coturn";
    // Its second request has 1500 bytes of PADDING and comes in two fragments.
    let fragmented: u64 = 2;
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
    for (package, words, expected) in rows {
        if !is_there(words[0], package) {
            continue;
        }
        let text = printed(&lab.client, words);
        for line in expected {
            assert!(text.contains(line), "{mode:?}: {words:?} printed:\n{text}");
        }
    }
    for server in [v4, format!("[{v6}]")] {
        let found = probe(&lab.client, &server);
        assert_eq!(found["behind_nat"], false, "{mode:?}: {found}");
        assert_eq!(found["mapping"], "endpoint-independent", "{mode:?}: {found}");
        assert_eq!(found["filtering"], "endpoint-independent", "{mode:?}: {found}");
    }
    let counters = server.stop();
    assert!(counters.get(mode.path, "answered") >= 10, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.path, "transmit_failed"), 0, "{mode:?}:\n{}", counters.log);
    if mode.path == "af-xdp" {
        // XDP sees no whole datagram in a fragment: the sockets served these and nothing else.
        assert_eq!(counters.get("sockets", "received"), fragmented, "{mode:?}:\n{}", counters.log);
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

/// A NAT in the client's namespace: behind it a host of its own.
struct Behind {
    host: Namespace,
}

impl Behind {
    /// `rules` go into the NAT table of the client's namespace; `INSIDE` stands for the host's address and
    /// `OUTSIDE` for the interface towards the server.
    fn new(lab: &Lab, rules: &str) -> Self {
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
        Behind { host }
    }
}

/// What Linux's own NAT does, by its documentation: it maps to the same port as long as that is free, or
/// to one drawn anew for each flow, and lets back in only what a flow has sent to.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_probe_tells_nats_apart() {
    if !is_there("nft", "apt-get install nftables") {
        return;
    }
    const TABLE: &str = "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname OUTSIDE masquerade RANDOM; }; IN }";
    let all_in = "chain pre { type nat hook prerouting priority dstnat; iifname OUTSIDE udp dport 1024-65535 dnat to INSIDE; };";
    let rows = [
        ("", "", "endpoint-independent", "address- and port-dependent"),
        ("fully-random", "", "address- and port-dependent", "address- and port-dependent"),
        ("", all_in, "endpoint-independent", "endpoint-independent"),
    ];
    for (random, inward, mapping, filtering) in rows {
        let lab = Lab::new(1);
        let server = serve(NATIVE, &lab);
        let behind =
            Behind::new(&lab, &TABLE.replace("RANDOM", random).replace("IN }", &format!("{inward} }}")));
        let found = probe(&behind.host, &lab.link().server_v4.to_string());
        assert_eq!(found["behind_nat"], true, "{random} {inward}: {found}");
        assert_eq!(found["mapping"], mapping, "{random} {inward}: {found}");
        assert_eq!(found["filtering"], filtering, "{random} {inward}: {found}");
        let counters = server.stop();
        assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
    }
}
