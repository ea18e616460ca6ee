//! Invalid flags and failures at start: the message says what to do, and no XDP program stays attached.

use crate::modes::{NATIVE, SOCKETS, WITHOUT_CAPABILITIES};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::xstun;

const USAGE: i32 = 2;
const SYSTEM: i32 = 1;

/// Asserts that `xstun serve` exits with `code` and that its message contains all of `words`.
pub(crate) fn refused(lab: &Lab, prefix: &[&str], flags: &[&str], code: i32, words: &[&str]) {
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let command = [prefix, &[program, "serve"], flags].concat();
    let output = lab.server.output(&command);
    let message = String::from_utf8_lossy(&output.stderr);
    let given = flags.join(" ");
    assert_eq!(output.status.code(), Some(code), "{given}: {}: {message}", output.status);
    for word in words {
        assert!(message.contains(word), "{given}: {word:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{given}: {message}");
}

/// Flags, the exit code, and what the message contains.
type Refusal<'a> = (&'a [&'a str], i32, &'a [&'a str]);

/// Refused on every machine.
const REFUSALS: &[Refusal<'static>] = &[
    (&["--interface", "nosuch0"], USAGE, &["--interface", "nosuch0"]),
    (&["--interface", ""], USAGE, &["--interface"]),
    (&["--interface", "a-name-longer-than-any-interface"], USAGE, &["--interface"]),
    (&["--listen", "nonsense"], USAGE, &["--listen", "nonsense"]),
    (&["--listen", "10.77.0.1"], USAGE, &["--listen", "10.77.0.1"]),
    (&["--listen", "10.77.0.1:99999"], USAGE, &["--listen"]),
    (&["--listen", "10.77.0.1:0"], USAGE, &["--listen"]),
    (&["--listen", "10.77.0.200:3478"], SYSTEM, &["--listen", "10.77.0.200:3478"]),
    (
        &["--listen", "10.77.0.1:3478", "--alternate-address", "10.77.0.200:3479"],
        SYSTEM,
        &["--alternate-address", "10.77.0.200:3479", "no interface has this address"],
    ),
    (&["--alternate-address", "10.77.0.200:3479"], USAGE, &["--alternate-address", "--listen"]),
    (
        &["--alternate-server", "10.77.0.200:3479"],
        USAGE,
        &["--alternate-server", "§14.8", "--credentials FILE"],
    ),
    (&["--datapath", "af-xdp"], USAGE, &["--datapath", "--interface"]),
    (&["--datapath", "dpdk"], USAGE, &["--datapath", "dpdk"]),
    (&["--log-level", "loud"], USAGE, &["--log-level", "loud"]),
    (&["--no-such-flag"], USAGE, &["--no-such-flag"]),
    (&["--tls-listen", "10.77.0.1:5349"], USAGE, &["--tls-listen", "--tls-certificate"]),
    (&["--tls-certificate", "/dev/null"], USAGE, &["--tls-certificate", "--tls-key"]),
    (
        &["--tls-certificate", "/dev/null", "--tls-key", "/dev/null"],
        USAGE,
        &["--tls-certificate /dev/null is empty"],
    ),
    (
        &["--tls-certificate", "/nosuch", "--tls-key", "/nosuch"],
        SYSTEM,
        &["--tls-certificate /nosuch", "No such file"],
    ),
    (&["--metrics-listen", "nonsense"], USAGE, &["--metrics-listen", "nonsense"]),
    (&["--metrics-listen", "10.77.0.1:0"], USAGE, &["--metrics-listen", "9478"]),
    (&["--metrics-listen", "10.77.0.1:3478"], USAGE, &["--metrics-listen", "--listen", "one port"]),
    (&["--interface", "lo", "--datapath", "af-xdp", "--xdp-mode", "native"], SYSTEM, &["--datapath", "lo"]),
    (&["--kernel-answers", "on"], USAGE, &["--kernel-answers on", "--interface"]),
    (&["--interface", "lo", "--kernel-answers", "on"], SYSTEM, &["--kernel-answers on", "lo", "loopback"]),
    (
        &["--interface", "lo", "--datapath", "socket", "--kernel-answers", "on"],
        USAGE,
        &["--kernel-answers on", "--datapath socket"],
    ),
];

#[test]
#[ignore = "needs root: makes network namespaces"]
fn invalid_flags_are_refused_and_named() {
    let lab = Lab::new(2);
    let interface = lab.link().server_interface.as_str();
    let with_interface: [Refusal<'_>; 10] = [
        (&["--interface", interface, "--queues", "3"], USAGE, &["--queues", "3", "2", interface]),
        (&["--interface", interface, "--queues", "0"], USAGE, &["--queues"]),
        (&["--interface", interface, "--cores", "4096"], USAGE, &["--cores", "4096"]),
        (&["--interface", interface, "--cores", "3-1"], USAGE, &["--cores", "3-1"]),
        (&["--interface", interface, "--cores", "first"], USAGE, &["--cores", "first"]),
        (&["--interface", interface, "--cores", ""], USAGE, &["--cores"]),
        (
            &["--interface", interface, "--metrics-listen", "10.77.0.200:9478"],
            SYSTEM,
            &["--metrics-listen", "10.77.0.200:9478", "no interface has this address"],
        ),
        (&["--interface", interface, "--max-connections", "0"], USAGE, &["--max-connections"]),
        (&["--interface", interface, "--tcp-idle", "never"], USAGE, &["--tcp-idle", "never"]),
        (
            &["--interface", interface, "--datapath", "af-xdp", "--bind-mode", "zero-copy"],
            SYSTEM,
            &["--bind-mode", interface],
        ),
    ];
    for &(flags, code, words) in REFUSALS.iter().chain(&with_interface) {
        refused(&lab, &[], flags, code, words);
        assert!(!lab.server.has_xdp(interface), "{flags:?} left a program");
        assert!(!lab.server.has_xdp("lo"), "{flags:?} left a program on lo");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_port_in_use_is_refused() {
    let lab = Lab::new(1);
    let link = lab.link();
    let _other = lab.server.enter(|| UdpSocket::bind("0.0.0.0:3478")).unwrap();
    for datapath in ["socket", "af-xdp", "auto"] {
        let flags = ["--interface", &link.server_interface, "--datapath", datapath];
        refused(&lab, &[], &flags, SYSTEM, &["3478", "--listen", "in use"]);
        assert!(!lab.server.has_xdp(&link.server_interface), "{datapath} left a program");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_tcp_port_in_use_is_refused_unless_no_tcp_is_given() {
    let lab = Lab::new(1);
    let link = lab.link();
    let _other = lab.server.enter(|| TcpListener::bind("0.0.0.0:3478")).unwrap();
    let flags = ["--interface", &link.server_interface];
    refused(&lab, &[], &flags, SYSTEM, &["TCP 0.0.0.0:3478", "--listen", "in use", "--no-tcp"]);
    assert!(!lab.server.has_xdp(&link.server_interface));
    SOCKETS.serve(&lab, &["--no-tcp"]).stop();
}

/// Another server must not share the port unnoticed: it would receive half of the requests.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_second_server_on_the_same_port_is_refused() {
    let lab = Lab::new(1);
    let link = lab.link();
    let server = SOCKETS.serve(&lab, &[]);
    let flags = ["--interface", &link.server_interface, "--datapath", "socket"];
    refused(&lab, &[], &flags, SYSTEM, &["3478", "--listen", "in use"]);
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn another_program_on_the_interface_is_left_in_place() {
    let lab = Lab::new(1);
    let link = lab.link();
    let server = NATIVE.serve(&lab, &[]);
    for (datapath, mode) in [("af-xdp", "native"), ("af-xdp", "generic"), ("auto", "auto")] {
        let flags = ["--interface", &link.server_interface, "--datapath", datapath, "--xdp-mode", mode];
        let flags = [&flags[..], &["--listen", "0.0.0.0:5349"]].concat();
        refused(&lab, &[], &flags, SYSTEM, &["--interface", &link.server_interface, "already"]);
        let flags = [&flags[..], &["--kernel-answers", "on"]].concat();
        refused(&lab, &[], &flags, SYSTEM, &["--kernel-answers on", "already", "detach it"]);
        assert!(lab.server.has_xdp(&link.server_interface));
    }
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") > 0, "{}", counters.log);
}

/// Without capabilities there is no XDP. A missing permission is an error, also with `--datapath auto`:
/// the server must not silently step down because the operator forgot to grant it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn missing_permission_is_refused() {
    let lab = Lab::new(1);
    let link = lab.link();
    for datapath in ["af-xdp", "auto"] {
        let flags = ["--interface", &link.server_interface, "--datapath", datapath];
        refused(
            &lab,
            &WITHOUT_CAPABILITIES,
            &flags,
            SYSTEM,
            &["not permitted", "CAP_BPF", "--datapath socket"],
        );
        assert!(!lab.server.has_xdp(&link.server_interface));
    }
    // A flag that needs the program is named, and the remedy is still that of the missing permission.
    for more in [&["--datapath", "auto"][..], &["--datapath", "af-xdp", "--xdp-mode", "native"]] {
        let flags = [&["--interface", &link.server_interface, "--kernel-answers", "on"], more].concat();
        let words = ["--kernel-answers on", "not permitted", "CAP_BPF"];
        refused(&lab, &WITHOUT_CAPABILITIES, &flags, SYSTEM, &words);
    }
}
