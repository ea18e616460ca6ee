//! TCP and TLS on an interface on which AF_XDP serves datagrams.

use crate::clients::{client, is_installed, python};
use crate::modes::{NATIVE, SOCKETS};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use tempfile::TempDir;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::server::{Server, xstun};
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::lab::{Lab, Link, Namespace};
use xstun_testkit::wait::{LIMIT, wait_until};

const NAME: &str = "stun.example.net";

fn connect(namespace: &Namespace, server: SocketAddr) -> TcpStream {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&server, LIMIT));
    let stream = stream.unwrap_or_else(|error| panic!("connect to {server}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends one request over TCP, and checks the mapped address.
fn ask(mut stream: &TcpStream) {
    let transaction = Transaction::with_cookie();
    stream.write_all(&transaction.request(&[])).unwrap();
    let mut reply = vec![0; 20];
    stream.read_exact(&mut reply).unwrap();
    reply.resize(20 + usize::from(reply[3]), 0);
    stream.read_exact(&mut reply[20..]).unwrap();
    assert_eq!(transaction.mapped_address(&reply), stream.local_addr().ok());
}

fn ask_over_udp(lab: &Lab) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(lab.link().server_v4.into(), PORT)), asker.address());
}

fn servers(link: &Link, port: u16) -> [SocketAddr; 2] {
    [IpAddr::from(link.server_v4), IpAddr::from(link.server_v6)].map(|ip| SocketAddr::new(ip, port))
}

/// A certificate and its key, in files of a temporary directory.
pub(crate) struct Certificate(TempDir);

impl Certificate {
    pub(crate) fn new() -> Self {
        let certificate = Certificate(tempfile::tempdir().unwrap());
        certificate.renew();
        certificate
    }

    fn renew(&self) {
        let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(self.file("certificate.pem"), pair.cert.pem()).unwrap();
        std::fs::write(self.file("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub(crate) fn flags(&self) -> [String; 4] {
        let flag = |name: &str| name.to_owned();
        [flag("--tls-certificate"), self.file("certificate.pem"), flag("--tls-key"), self.file("key.pem")]
    }
}

/// aioice's codec over Python's sockets and OpenSSL: three requests on one connection.
const PYTHON: &str = "
import socket, ssl, struct, sys
from aioice import stun
server, port, trusted = sys.argv[1], int(sys.argv[2]), sys.argv[3]
stream = socket.create_connection((server, port), 30)
own = stream.getsockname()[:2]
if trusted:
    context = ssl.create_default_context(cafile=trusted)
    context.set_alpn_protocols(['stun.nat-discovery'])
    stream = context.wrap_socket(stream, server_hostname='stun.example.net')
    assert stream.selected_alpn_protocol() == 'stun.nat-discovery'
def exactly(count):
    data = b''
    while len(data) < count:
        more = stream.recv(count - len(data))
        assert more, 'the server closed the connection'
        data += more
    return data
for number in range(3):
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.add_fingerprint()
    stream.sendall(bytes(request))
    header = exactly(20)
    response = stun.parse_message(header + exactly(struct.unpack('!H', header[2:4])[0]))
    assert response.message_class == stun.Class.RESPONSE, response
    assert response.transaction_id == request.transaction_id, response
    assert response.attributes['XOR-MAPPED-ADDRESS'] == own, response
print('answered')
";

/// Asserts that `xstun probe` with these flags prints the local address of its connection as the mapped one.
fn probe(namespace: &Namespace, server: SocketAddr, flags: &[&str]) {
    let (program, server) = (xstun(), server.to_string());
    let program = program.to_str().expect("a path in UTF-8");
    let printed = namespace.run(&[&[program, "probe", "--json", &server], flags].concat());
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("one JSON object");
    assert_eq!(printed["mapped"], printed["local"], "{printed}");
    assert_eq!(printed["behind_nat"], false, "{printed}");
}

fn ask_by_python(namespace: &Namespace, server: SocketAddr, trusted: &str) {
    let (python, ip, port) = (python(), server.ip().to_string(), server.port().to_string());
    let words = [&python, "-c", PYTHON, &ip, &port, trusted];
    let pypi = "the virtual environment of `cargo xtask setup` (aioice from PyPI)";
    if is_installed(&client(pypi, &words, |_| String::new())) {
        assert_eq!(namespace.run(&words), "answered\n");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn tcp_and_tls_are_served_next_to_af_xdp() {
    let lab = Lab::new(2);
    let certificate = Certificate::new();
    let flags = certificate.flags();
    let server = NATIVE.serve(&lab, &flags.each_ref().map(String::as_str));
    let listens: Vec<_> = server.serving().iter().map(|line| line["path"].clone()).collect();
    assert_eq!(listens, ["af-xdp", "sockets", "tcp", "tls"]);
    for address in servers(lab.link(), PORT) {
        let stream = connect(&lab.client, address);
        ask(&stream);
        ask_over_udp(&lab);
        ask(&stream);
        ask_by_python(&lab.client, address, "");
        probe(&lab.client, address, &["--tcp"]);
    }
    for address in servers(lab.link(), 5349) {
        ask_by_python(&lab.client, address, &certificate.file("certificate.pem"));
        probe(&lab.client, address, &["--tls", "--insecure"]);
    }
    let counters = server.stop();
    assert_eq!(counters.get("tcp", "answered"), 12, "{}", counters.log);
    assert_eq!(counters.get("tcp", "accepted"), 6, "{}", counters.log);
    assert_eq!(counters.get("tls", "answered"), 8, "{}", counters.log);
    assert!(counters.get("af-xdp", "answered") >= 2, "{}", counters.log);
    assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sighup_reloads_the_certificate() {
    let lab = Lab::new(1);
    let certificate = Certificate::new();
    let flags = certificate.flags();
    let server = SOCKETS.serve(&lab, &flags.each_ref().map(String::as_str));
    let [address, _] = servers(lab.link(), 5349);
    ask_by_python(&lab.client, address, &certificate.file("certificate.pem"));

    std::fs::write(certificate.file("key.pem"), "").unwrap();
    server.signal(Signal::HUP);
    let line = server.wait_for("the error", |line| line["signal"] == "SIGHUP");
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("cannot reload, the configuration is unchanged: --tls-key "), "{message}");

    certificate.renew();
    server.signal(Signal::HUP);
    server.wait_for("the reload", |line| line["message"] == "configuration reloaded");
    ask_by_python(&lab.client, address, &certificate.file("certificate.pem"));
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sighup_without_a_file_is_harmless_and_no_tcp_listens_on_no_tcp_port() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &["--no-tcp"]);
    server.signal(Signal::HUP);
    server.wait_for("the reload", |line| line["message"] == "configuration reloaded");
    ask_over_udp(&lab);
    let [address, _] = servers(lab.link(), PORT);
    let refused = lab.client.enter(|| TcpStream::connect_timeout(&address, LIMIT)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    server.stop();
}

/// Without free file descriptors the listener waits without spinning, and continues when some are free;
/// datagrams are answered meanwhile.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_server_survives_the_lack_of_file_descriptors() {
    let lab = Lab::new(1);
    let server = SOCKETS.serve(&lab, &[]);
    let [address, _] = servers(lab.link(), PORT);
    ask(&connect(&lab.client, address));
    let before = getrlimit(Resource::Nofile);
    let limit = server.open_files() + 3;
    let low = Rlimit { current: Some(limit), maximum: before.maximum };
    prlimit(Some(server.pid()), Resource::Nofile, low).unwrap();
    let streams: Vec<_> = (0..10).map(|_| connect(&lab.client, address)).collect();
    ask(&streams[0]);
    ask_over_udp(&lab);
    // The kernel completes all ten handshakes; connections without a descriptor wait in its queue.
    wait_until("every file descriptor to be in use", || server.open_files() >= limit);
    std::thread::sleep(Duration::from_millis(500));
    prlimit(Some(server.pid()), Resource::Nofile, before).unwrap();
    streams.iter().for_each(ask);
    let counters = server.stop();
    let failed = counters.get("tcp", "accept_failed");
    assert!((1..1000).contains(&failed), "{failed} failures to accept:\n{}", counters.log);
    assert_eq!(counters.get("tcp", "accepted"), 11, "{}", counters.log);
}

/// If there are fewer file descriptors than connections, the server logs a warning and lowers the limit on
/// connections, so that it keeps enough for the rest.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_low_limit_on_files_lowers_the_limit_on_connections() {
    let lab = Lab::new(1);
    let server =
        Server::start_behind(&lab.server, &["prlimit", "--nofile=700:700"], &["--datapath", "socket"]);
    let line = server.wait_for("the warning", |line| line["level"] == "WARN");
    assert!(
        line["message"].as_str().unwrap().starts_with("--max-connections 4096 is lowered to 1"),
        "{line}"
    );
    let [address, _] = servers(lab.link(), PORT);
    ask(&connect(&lab.client, address));
    server.stop();
}
