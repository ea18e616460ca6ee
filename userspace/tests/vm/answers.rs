//! Checks of kernel answers: what is plain leaves by XDP_TX, all else by AF_XDP, and a policy decides at once.

use crate::ask::Scene;
use crate::checks::{PLAIN_SHAPES, load_of};
use crate::stage::Stage;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::{Server, xstun};
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::{Namespace, ip};
use xstun_testkit::wait::{received, wait_for};

/// Longest wait for one reply; then the request is repeated.
const TRY: Duration = Duration::from_millis(500);
/// Bare requests in each phase.
const BARE: u64 = 20;
/// An empty attribute of a type that a server must understand (below 0x8000), and that is not assigned.
const UNKNOWN: [u8; 4] = [0x7f, 0xfe, 0x00, 0x00];

/// Whether the XDP program answers, as the server's line about the interface says.
pub(crate) fn are_on(rung: &Value) -> bool {
    rung["kernel_answers"].as_str().is_some_and(|text| text.starts_with("on"))
}

/// Runs the checks, each with a server of its own. Requests arrive with their checksums finished, as from another
/// machine.
pub(crate) fn all(scene: &Scene<'_>) {
    let checksums = |offload: &str| {
        scene.stage.client().run(&["ethtool", "-K", &scene.stage.link.client_interface, "tx", offload]);
    };
    checksums("off");
    scene.check("plain requests never reach a worker", || ((), plain(scene)));
    scene.check("a policy takes effect at once", || ((), policies(scene)));
    checksums("on");
}

/// Workers get nothing but plain requests for whose reply a frame had no room.
fn plain(scene: &Scene<'_>) -> String {
    let server = scene.serve(&[]);
    for (client, address) in scene.stage.endpoints() {
        ask(scene.stage, client, address);
    }
    let summary = load_of(scene.stage, "400", PLAIN_SHAPES);
    let counters = server.stop();
    let (answered, no_room) = (counters.get("xdp", "answered"), counters.get("xdp", "redirect_no_room"));
    assert_eq!(counters.get("af-xdp", "received"), no_room, "{}", counters.log);
    assert!(answered >= 2 * BARE && answered > no_room, "{}", counters.log);
    assert_eq!(counters.replies("sockets"), 0, "{}", counters.log);
    format!("{summary}: {answered} by the program, {no_room} without room by a worker")
}

fn ask(stage: &Stage, client: SocketAddr, server: SocketAddr) {
    let asker = Asker::new(stage.client(), client);
    for _ in 0..BARE {
        assert_eq!(asker.ask(server), asker.address());
    }
}

/// One life of a server. First its endpoints over IPv4 are those of RFC 5780, which are a worker's, and those over
/// IPv6 are plain. Then a reload requires credentials of every client, and another one withdraws that.
fn policies(scene: &Scene<'_>) -> String {
    let stage = scene.stage;
    let [(_, v4), (client, v6)] = stage.endpoints();
    let alternate = SocketAddr::new(second_address(stage).into(), v4.port() + 1);
    let discovery = format!("listen = ['{v4}', '{v6}']\nalternate-address = ['{alternate}']\n");
    let mut policy = PolicyFile::new(&scene.case.number.to_string(), &discovery);
    let server = scene.serve(&[&policy.flag()]);

    ask(stage, client, v6);
    assert_eq!(error_code(stage, client, v6, &UNKNOWN), 420, "an unknown attribute");
    let probed = stage.client().run(&[&program(), "probe", "--nat", "--json", &v4.to_string()]);
    let found: Value = serde_json::from_str(&probed).expect("one JSON object");
    assert_eq!(
        (&found["behind_nat"], &found["filtering"]),
        (&false.into(), &"endpoint-independent".into()),
        "{found}"
    );

    policy.reload(&server, &format!("listen = ['{v4}', '{v6}']\n{}", policy.credentials()));
    assert_eq!(error_code(stage, client, v6, &[]), 401, "a bare request of an unknown user");
    policy.reload(&server, &discovery);
    ask(stage, client, v6);

    let counters = server.stop();
    let by_program = counters.get("xdp", "answered");
    assert!(by_program >= 2 * BARE, "{}", counters.log);
    for outcome in ["answered", "unknown_attribute", "unauthenticated"] {
        assert!(counters.get("af-xdp", outcome) > 0, "{outcome}: {}", counters.log);
    }
    format!("{by_program} by the program; RFC 5780, 420 and 401 by a worker, in one life with two reloads")
}

/// Adds a second IPv4 address to the server's interface.
fn second_address(stage: &Stage) -> Ipv4Addr {
    let [a, b, c, _] = stage.link.server_v4.octets();
    let second = Ipv4Addr::new(a, b, c, 9);
    let words = ["-n", stage.server.name(), "addr", "replace", &format!("{second}/24"), "dev"];
    ip(&[&words[..], &[stage.interface()]].concat());
    second
}

/// Sends a request with these attributes until an error response comes; returns its code.
fn error_code(stage: &Stage, client: SocketAddr, server: SocketAddr, attributes: &[u8]) -> u16 {
    let socket = bound(stage.client(), client);
    wait_for("an error response", || {
        let transaction = Transaction::with_cookie();
        socket.send_to(&transaction.request(attributes), server).expect("a request leaves");
        let mut buffer = [0; 2048];
        let (length, _) = received(|| socket.recv_from(&mut buffer))?;
        transaction.error_code(&buffer[..length])
    })
}

fn bound(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind(address)).expect("a socket");
    socket.set_read_timeout(Some(TRY)).expect("a limit that is not zero");
    socket
}

fn program() -> String {
    xstun().into_string().expect("a path in UTF-8")
}

/// A configuration file that is rewritten and reloaded.
struct PolicyFile {
    path: String,
    reloads: usize,
}

impl PolicyFile {
    fn new(name: &str, text: &str) -> Self {
        let path = format!("/tmp/policy-{name}.toml");
        fs::write(&path, text).expect("a file in memory");
        PolicyFile { path, reloads: 0 }
    }

    fn flag(&self) -> String {
        format!("--config={}", self.path)
    }

    /// Writes a file of credentials; returns the keys that require them.
    fn credentials(&self) -> String {
        let users = format!("{}.users", self.path);
        fs::write(&users, "anna:correct horse\n").expect("a file in memory");
        fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
        format!("credentials = '{users}'\nrealm = 'example.org'\n")
    }

    fn reload(&mut self, server: &Server, text: &str) {
        fs::write(&self.path, text).expect("a file in memory");
        server.signal(Signal::HUP);
        self.reloads += 1;
        let is_result = |line: &Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("configuration reloaded") || message.contains("cannot reload")
        };
        let line = server.wait_for_nth("the result of the reload", self.reloads, is_result);
        assert!(line["message"].as_str().is_some_and(|text| text.contains("reloaded")), "{line}");
    }
}
