//! The configuration changes under a running server, and under load.

use crate::load::{RunningLoad, all_right};
use crate::modes::{Mode, NATIVE, SOCKETS};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};
use rustix::process::Signal;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Server;
use xstun_testkit::wait::{LIMIT, received, uninterrupted, wait_until};

/// A configuration file that is written anew again and again.
struct File {
    directory: TempDir,
    reloads: usize,
}

impl File {
    fn new(text: &str) -> Self {
        let file = File { directory: tempfile::tempdir().unwrap(), reloads: 0 };
        fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("xstun.toml")
    }

    fn flag(&self) -> String {
        format!("--config={}", self.path().display())
    }

    /// Has the server read this text, and gives what it says of it.
    fn change(&mut self, server: &Server, text: &str) -> serde_json::Value {
        fs::write(self.path(), text).unwrap();
        server.signal(Signal::HUP);
        self.reloads += 1;
        let ends = |line: &serde_json::Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("configuration reloaded")
                || message.starts_with("cannot reload, the configuration is unchanged")
        };
        server.wait_for_nth("the end of the reload", self.reloads, ends)
    }
}

fn text(addresses: &[SocketAddr], more: &str) -> String {
    let listen: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
    format!("listen = [{}]\n{more}", listen.join(", "))
}

/// Asks until the server answers there, as it has to.
fn ask(lab: &Lab, server: SocketAddr) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    assert_eq!(asker.ask(server), asker.address());
}

/// Whether a reply comes at once. Without one the server may also be slow.
fn answers(lab: &Lab, server: SocketAddr) -> bool {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    asker.ask_once(server, Duration::from_millis(100)) == Some(asker.address())
}

/// Addresses come and go again and again while another is under load: not one request is lost.
fn addresses_change_under_load(mode: Mode) {
    let lab = Lab::new(2);
    let link = lab.link();
    let [first, second] = [3478, 3479].map(|port| SocketAddr::new(link.server_v4.into(), port));
    let mut file = File::new(&text(&[first], ""));
    let server = mode.serve(&lab, &[&file.flag()]);
    let running = RunningLoad::start(&lab, first, "4000");
    for _ in 0..4 {
        file.change(&server, &text(&[first, second], "no-tcp = true"));
        wait_until("the second address", || answers(&lab, second));
        file.change(&server, &text(&[first], "drop-zero-transaction = true"));
        wait_until("the end of the second address", || !answers(&lab, second));
    }
    let asked = all_right(&format!("{mode:?}"), running.end());
    let counters = server.stop();
    assert!(counters.replies(mode.path) > asked, "{}", counters.log);
    if mode.path == "af-xdp" {
        assert_eq!(counters.get("sockets", "answered"), 0, "{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn addresses_of_af_xdp_change_under_load() {
    addresses_change_under_load(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn addresses_of_sockets_change_under_load() {
    addresses_change_under_load(SOCKETS);
}

/// An address takes the place of the wildcard that stood for it, and the other way round.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_wildcard_changes_places_with_an_address_under_load() {
    let lab = Lab::new(1);
    let first = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let wildcard = SocketAddr::new([0, 0, 0, 0].into(), 3478);
    let mut file = File::new(&text(&[wildcard], ""));
    let server = SOCKETS.serve(&lab, &[&file.flag()]);
    let running = RunningLoad::start(&lab, first, "4000");
    for address in [first, wildcard, first, wildcard] {
        let told = file.change(&server, &text(&[address], ""));
        assert_eq!(told["changed"], "listen", "{told}");
    }
    all_right("wildcard", running.end());
    server.stop();
}

/// While another server may be about to take over, its sockets are this one's too: a reload would close them
/// to datagrams for good. Once it has given up, the file is read.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reload_waits_while_another_server_takes_over() {
    let lab = Lab::new(1);
    let [first, second] = [3478, 3479].map(|port| SocketAddr::new(lab.link().server_v4.into(), port));
    let file = File::new(&text(&[first, second], ""));
    let control = file.directory.path().join("control");
    let server = SOCKETS.serve(&lab, &[&file.flag(), &format!("--control={}", control.display())]);
    let other = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&other, &SocketAddrUnix::new(&control).unwrap()).unwrap();
    send(&other, br#"{"say":"take-over","version":2}"#, SendFlags::empty()).unwrap();
    let mut packet = [0; 4096];
    loop {
        let (length, _) = uninterrupted(|| Ok(recv(&other, &mut packet, RecvFlags::empty())?)).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&packet[..length]).unwrap();
        match said["say"].as_str() {
            Some("complete") => break,
            Some("udp" | "listener" | "link") => {}
            _ => panic!("{said}"),
        }
    }
    fs::write(file.path(), text(&[first], "")).unwrap();
    server.signal(Signal::HUP);
    // A reload that does not wait is through by then.
    thread::sleep(Duration::from_secs(2));
    ask(&lab, second);
    drop(other);
    server.wait_for("the reload", |line| line["message"] == "configuration reloaded");
    wait_until("the end of the second address", || !answers(&lab, second));
    ask(&lab, first);
    let log = server.stop().log;
    let at = |message: &str| log.find(message).unwrap_or_else(|| panic!("no '{message}':\n{log}"));
    assert!(at("this one goes on") < at("configuration reloaded"), "{log}");
}

/// Policy, limits and the log level change; what needs a restart says so; a bad file changes nothing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn all_that_can_change_does_and_the_rest_says_so() {
    let lab = Lab::new(1);
    let link = lab.link();
    let first = SocketAddr::new(link.server_v4.into(), 3478);
    let mut file = File::new(&text(&[first], ""));
    let server = NATIVE.serve(&lab, &[&file.flag()]);
    let client = || lab.client.enter(|| TcpStream::connect_timeout(&first, LIMIT));
    // One too many is reset, at once or when the client has hardly seen that it is connected.
    let stays_open = |stream: &std::io::Result<TcpStream>| {
        let Ok(stream) = stream else { return false };
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        uninterrupted(|| { stream }.read(&mut [0]))
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };

    let told = file.change(&server, &text(&[first], "max-connections = 1\nqueues = 1\n"));
    assert_eq!(told["changed"], "max-connections", "{told}");
    let one = client();
    assert!(stays_open(&one));
    wait_until("the limit", || !stays_open(&client()));
    let told = server.wait_for("the need of a restart", |line| line["key"] == "queues");
    assert!(told["message"].as_str().unwrap().contains("needs a restart"), "{told}");

    let bad = text(&[first], "log-level = 'info'\nmax-connections = 'many'");
    let told = file.change(&server, &bad);
    let expected = format!("{}:3:19: max-connections must be a decimal number", file.path().display());
    assert!(told["message"].as_str().unwrap().contains(&expected), "{told}");

    // Sound in itself, and not to be had: a port of another server.
    let other = lab.server.enter(|| std::net::UdpSocket::bind((link.server_v4, 4000))).unwrap();
    let taken = other.local_addr().unwrap();
    let told = file.change(&server, &text(&[first, taken], ""));
    let message = told["message"].as_str().unwrap();
    assert!(message.contains(&format!("{}:1:", file.path().display())), "{told}");
    assert!(message.contains(&format!("cannot bind UDP {taken} (--listen)")), "{told}");
    assert!(!stays_open(&client()), "the limit of before is in force");
    ask(&lab, first);

    // What is told of a reload is told at the level that it sets.
    drop(one);
    fs::write(file.path(), text(&[first], "log-level = 'error'")).unwrap();
    server.signal(Signal::HUP);
    wait_until("the end of the limit", || {
        let both = [client(), client()];
        both.iter().all(stays_open)
    });
    let told = file.change(&server, &text(&[first], ""));
    assert_eq!(told["changed"], "log-level", "{told}");
    server.stop();
}

/// What comes back, if anything does.
fn reply(lab: &Lab, server: SocketAddr, request: &[u8; 20]) -> Option<Vec<u8>> {
    let socket = lab.client.enter(|| UdpSocket::bind((lab.link().client_v4, 0))).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket.send_to(request, server).unwrap();
    let mut buffer = [0; 1024];
    let length = received(|| socket.recv(&mut buffer))?;
    Some(buffer[..length].to_vec())
}

/// Workers answer by what the file says now, and again by what it said before.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_changed_policy_is_answered_by() {
    const CLASSIC: &[u8; 20] = b"\0\x01\0\0abcdefghijklmnop";
    const ZERO: &[u8; 20] = b"\0\x01\0\0\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\0";
    const PLAIN: &[u8; 20] = b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl";
    let lab = Lab::new(1);
    let first = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let answered = |request| reply(&lab, first, request).is_some();
    let named = || reply(&lab, first, PLAIN).map(|reply| reply.windows(2).any(|two| two == b"\x80\x22"));
    let mut file = File::new(&text(&[first], ""));
    let server = NATIVE.serve(&lab, &[&file.flag()]);
    for _ in 0..2 {
        wait_until("RFC 3489 clients to be answered", || answered(CLASSIC));
        wait_until("zero transactions to be answered", || answered(ZERO));
        wait_until("a reply that names no software", || named() == Some(false));
        file.change(&server, &text(&[first], "no-classic = true"));
        wait_until("RFC 3489 clients to be turned away", || !answered(CLASSIC) && answered(ZERO));
        file.change(&server, &text(&[first], "drop-zero-transaction = true"));
        wait_until("zero transactions to be dropped", || !answered(ZERO) && answered(CLASSIC));
        file.change(&server, &text(&[first], "software = true"));
        wait_until("a reply that names the software", || named() == Some(true));
        file.change(&server, &text(&[first], ""));
    }
    let counters = server.stop();
    for outcome in ["no_cookie", "zero_transaction"] {
        assert!(counters.get("af-xdp", outcome) >= 2, "{}", counters.log);
    }
}
