//! Third-party clients and `xstun probe` each get the address that they sent the request from.

use crate::modes::{GENERIC, KERNEL_GENERIC, KERNEL_NATIVE, Mode, NATIVE, SOCKETS, passing_program};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::{Datagram, PORT};
use xstun_testkit::lab::server::xstun;
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Link};

/// If set to 1, tests of missing clients are skipped; otherwise they fail.
const SKIP_MISSING: &str = "XSTUN_TEST_SKIP_MISSING";

/// One run of a third-party client.
pub(crate) struct Client {
    /// The package that provides `words[0]`, and how to install it.
    package: &'static str,
    words: Vec<String>,
    /// How the client prints its mapped address.
    prints: fn(SocketAddr) -> String,
}

pub(crate) fn client(package: &'static str, words: &[&str], prints: fn(SocketAddr) -> String) -> Client {
    Client { package, words: words.iter().map(|&word| word.to_owned()).collect(), prints }
}

/// The Python interpreter of the environment that has the clients from PyPI.
pub(crate) fn python() -> String {
    let path = std::env::var_os("XSTUN_TEST_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../tools/pyclients/bin/python")),
        PathBuf::from,
    );
    path.into_os_string().into_string().expect("a path in UTF-8")
}

/// The directory of the packages from npm.
pub(crate) fn node_modules() -> String {
    let path = std::env::var_os("XSTUN_TEST_NODE_MODULES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../tools/nodeclients/node_modules")),
        PathBuf::from,
    );
    path.into_os_string().into_string().expect("a path in UTF-8")
}

/// Whether a package from npm and `node` are installed; see [`is_program_installed`].
pub(crate) fn is_npm_package_installed(name: &str) -> bool {
    let package = format!("{}/{name}/package.json", node_modules());
    is_program_installed("node", "apt-get install nodejs")
        && is_program_installed(&package, "`cargo xtask setup` (npm install)")
}

/// npm's `stun`.
const NODE: &str = "
const [, modules, server] = process.argv;
require(`${modules}/stun`).request(`${server}:3478`, { retries: 20 }, (error, response) => {
    if (error) throw error;
    const { address, port } = response.getXorAddress();
    console.log('mapped', address, port);
});
";

/// pystun3's first test, which asks for the mapped address. Its command continues with tests that need a
/// second address of the server, and prints the result of the last one.
const PYSTUN: &str = "
import socket, stun, sys
stun._initialize()
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(2)
client.bind((sys.argv[2], 0))
result = stun.stun_test(client, sys.argv[1], 3478, *client.getsockname())
print('mapped', result['ExternalIP'], result['ExternalPort'])
";

/// aioice's codec over a plain socket: its own client supports IPv4 only.
const AIOICE: &str = "
import socket, sys
from aioice import stun
family, server = (socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET), sys.argv[1]
client = socket.socket(family, socket.SOCK_DGRAM)
client.settimeout(1)
client.connect((server, 3478))
for attempt in range(20):
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    client.send(bytes(request))
    try:
        response = stun.parse_message(client.recv(2048))
    except TimeoutError:
        continue
    assert response.message_class == stun.Class.RESPONSE, response
    assert response.transaction_id == request.transaction_id, response
    host, port = response.attributes['XOR-MAPPED-ADDRESS']
    print('mapped', host, port)
    break
";

/// aioice as an ICE agent: it gathers a server-reflexive candidate.
const AIOICE_GATHERS: &str = "
import asyncio, sys
from aioice import Connection
async def gather():
    agent = Connection(ice_controlling=True, stun_server=(sys.argv[1], 3478), use_ipv6=False)
    await agent.gather_candidates()
    for candidate in agent.local_candidates:
        print(candidate.type, candidate.host, candidate.port)
    await agent.close()
asyncio.run(gather())
";

fn clients(link: &Link) -> Vec<Client> {
    let (v4, v6) = (link.server_v4.to_string(), link.server_v6.to_string());
    let own_v4 = link.client_v4.to_string();
    let python = python();
    let reflexive: fn(SocketAddr) -> String =
        |address| format!("UDP reflexive addr: {}:{}\n", address.ip(), address.port());
    let pypi = "the virtual environment of `cargo xtask setup` (aioice and pystun3 from PyPI)";
    let mut clients = vec![
        client("apt-get install stun-client", &["stun", &v4, "1", "-v", "-p", "40100"], |address| {
            format!("mappedAddr={address}\n")
        }),
        client("apt-get install coturn", &["turnutils_stunclient", &v4], reflexive),
        client("apt-get install coturn", &["turnutils_stunclient", &v6], reflexive),
        client("apt-get install coturn", &["turnutils_natdiscovery", "-m", &v4], reflexive),
        client("apt-get install coturn", &["turnutils_natdiscovery", "-m", &v6], reflexive),
        client("apt-get install sofia-sip-bin", &["stunc", &v4, "-b"], |address| {
            format!("local address NATed as {address}\n")
        }),
        // Its script reads MAPPED-ADDRESS only, which a reply to a request with the magic cookie does not
        // have (RFC 8489 §6.3.1.1), so it can do no more than detect a STUN server.
        client(
            "apt-get install nmap",
            &["nmap", "-n", "-Pn", "-sU", "-p", "3478", "--script", "stun-info", &v4],
            |_| "3478/udp open  stun\n".into(),
        ),
        client(pypi, &[&python, "-c", PYSTUN, &v4, &own_v4], |address| {
            format!("mapped {} {}\n", address.ip(), address.port())
        }),
        client(pypi, &[&python, "-c", AIOICE, &v4], |address| {
            format!("mapped {} {}\n", address.ip(), address.port())
        }),
        client(pypi, &[&python, "-c", AIOICE, &v6], |address| {
            format!("mapped {} {}\n", address.ip(), address.port())
        }),
        client(pypi, &[&python, "-c", AIOICE_GATHERS, &v4], |address| {
            format!("srflx {} {}\n", address.ip(), address.port())
        }),
    ];
    if is_npm_package_installed("stun") {
        let words = ["node", "-e", NODE, &node_modules(), &v4];
        clients.push(client("apt-get install nodejs", &words, |address| {
            format!("mapped {} {}\n", address.ip(), address.port())
        }));
    }
    clients
}

/// Whether the client's program is installed; see [`is_program_installed`].
pub(crate) fn is_installed(client: &Client) -> bool {
    is_program_installed(&client.words[0], client.package)
}

/// Whether `program`, which `package` provides, is installed. Panics if it is not, unless
/// [`SKIP_MISSING`] allows that.
pub(crate) fn is_program_installed(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        let may_be_missing = std::env::var_os(SKIP_MISSING) == Some(OsString::from("1"));
        assert!(may_be_missing, "{program} is missing; it comes with {package}");
        eprintln!("skipped: {program} is missing; it comes with {package}");
    }
    found
}

fn every_client_gets_its_own_address(mode: Mode) {
    let lab = Lab::new(2);
    let link = lab.link();
    let _passing = (mode == KERNEL_NATIVE).then(|| passing_program(&lab));
    let server = mode.serve(&lab, &[]);
    let wire = Wire::open(&lab.client, &link.client_interface);
    for client in clients(link).into_iter().filter(is_installed) {
        wire.drain();
        let words: Vec<_> = client.words.iter().map(String::as_str).collect();
        let output = lab.client.output(&words);
        let printed =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // A reply's destination is the client's source endpoint: the stack delivers it to no other.
        let sources: BTreeSet<_> = wire
            .drain()
            .iter()
            .filter_map(|frame| Datagram::read(frame))
            .filter(|datagram| datagram.source.port() == PORT)
            .map(|datagram| datagram.destination)
            .collect();
        assert!(
            sources.iter().any(|&address| printed.contains(&(client.prints)(address))),
            "{mode:?}: {words:?} ({}) was answered at {sources:?} and printed:\n{printed}",
            output.status
        );
    }
    let counters = server.stop();
    assert!(counters.replies(mode.path) > 0, "{mode:?}:\n{}", counters.log);
    // The workers answer what the program leaves to them, such as a request with CHANGE-REQUEST.
    let other_path = if mode.path == "xdp" { "sockets" } else { mode.other_path() };
    assert_eq!(counters.get(other_path, "received"), 0, "{mode:?}:\n{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_gets_its_own_address_from_kernel_answers_in_native_mode() {
    every_client_gets_its_own_address(KERNEL_NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_gets_its_own_address_from_kernel_answers_in_generic_mode() {
    every_client_gets_its_own_address(KERNEL_GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_gets_its_own_address_over_af_xdp() {
    every_client_gets_its_own_address(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_client_gets_its_own_address_over_sockets() {
    every_client_gets_its_own_address(SOCKETS);
}

/// `xstun probe` prints the mapped address, and `--json` gives it in `mapped`.
fn probe(lab: &Lab, source: SocketAddr, server: SocketAddr) {
    for more in [&[][..], &["--fingerprint"], &["--classic"]] {
        let (program, source_text, server_text) = (xstun(), source.to_string(), server.to_string());
        let program = program.to_str().expect("a path in UTF-8");
        let words = [&[program, "probe", &server_text, "--source", &source_text][..], more].concat();
        let printed = lab.client.run(&words);
        assert!(printed.contains(&source_text), "{words:?} printed {printed}");
        let printed = lab.client.run(&[&words[..], &["--json"]].concat());
        let printed: serde_json::Value = serde_json::from_str(&printed).expect("one JSON object");
        assert_eq!(printed["mapped"], source_text, "{words:?} printed {printed}");
    }
}

fn answers_probe_and_socket(mode: Mode) {
    for queues in [1, 2] {
        // veth does not give the generic hook the queue of a frame. The hook reads the transmit queue that
        // the sender left in the frame as the receive queue plus one: 0 stays 0, 2 becomes 1.
        let veth_queues = if mode == GENERIC && queues > 1 { queues + 1 } else { queues };
        let lab = Lab::new(veth_queues);
        let link = lab.link();
        let server = mode.serve(&lab, &["--queues", &queues.to_string()]);
        for (client, server) in [
            (IpAddr::from(link.client_v4), IpAddr::from(link.server_v4)),
            (IpAddr::from(link.client_v6), IpAddr::from(link.server_v6)),
        ] {
            let server = SocketAddr::new(server, PORT);
            probe(&lab, SocketAddr::new(client, 40_201), server);
            // Enough source ports to reach every queue.
            for _ in 0..32 {
                let asker = Asker::new(&lab.client, SocketAddr::new(client, 0));
                assert_eq!(asker.ask(server), asker.address(), "{mode:?}, {queues} queues");
            }
        }
        let counters = server.stop();
        assert!(counters.get(mode.path, "answered") >= 68, "{mode:?}:\n{}", counters.log);
        assert!(counters.get(mode.path, "answered_classic") >= 4, "{mode:?}:\n{}", counters.log);
        assert_eq!(counters.get(mode.other_path(), "received"), 0, "{mode:?}:\n{}", counters.log);
        if mode.path == "af-xdp" {
            for queue in 0..u64::from(queues) {
                assert!(counters.queue(queue, "answered") > 0, "queue {queue}, {mode:?}:\n{}", counters.log);
            }
            assert!(counters.get("xdp", "redirect") >= 72, "{mode:?}:\n{}", counters.log);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn probe_and_socket_requests_are_answered_on_every_queue_in_native_mode() {
    answers_probe_and_socket(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn probe_and_socket_requests_are_answered_on_every_queue_in_generic_mode() {
    answers_probe_and_socket(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn probe_and_socket_requests_are_answered_over_sockets() {
    answers_probe_and_socket(SOCKETS);
}
