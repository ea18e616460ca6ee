//! The configuration is reloaded while the server runs, and under load.

use crate::http;
use crate::load::{RunningLoad, all_right};
use crate::metrics::{self, FLAGS, METRICS};
use crate::modes::{KERNEL_GENERIC, KERNEL_NATIVE, Mode, NATIVE, SOCKETS, passing_program};
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

/// A configuration file that is rewritten and reloaded.
pub(crate) struct ConfigFile {
    directory: TempDir,
    reloads: usize,
}

impl ConfigFile {
    pub(crate) fn new(text: &str) -> Self {
        let file = ConfigFile { directory: tempfile::tempdir().unwrap(), reloads: 0 };
        fs::write(file.path(), text).unwrap();
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("xstun.toml")
    }

    pub(crate) fn flag(&self) -> String {
        format!("--config={}", self.path().display())
    }

    /// Writes this text, reloads, and returns the log line with the result.
    pub(crate) fn reload(&mut self, server: &Server, text: &str) -> serde_json::Value {
        fs::write(self.path(), text).unwrap();
        server.signal(Signal::HUP);
        self.reloads += 1;
        let is_result = |line: &serde_json::Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("configuration reloaded")
                || message.starts_with("cannot reload, the configuration is unchanged")
        };
        server.wait_for_nth("the result of the reload", self.reloads, is_result)
    }
}

/// A configuration with these addresses and `more` keys.
pub(crate) fn text(addresses: &[SocketAddr], more: &str) -> String {
    let listen: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
    format!("listen = [{}]\n{more}", listen.join(", "))
}

/// Sends requests until the server replies, and checks the mapped address.
pub(crate) fn ask(lab: &Lab, server: SocketAddr) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    assert_eq!(asker.ask(server), asker.address());
}

/// Whether a reply comes within 100 ms. If none comes, the server may also be slow.
fn answers(lab: &Lab, server: SocketAddr) -> bool {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    asker.ask_once(server, Duration::from_millis(100)) == Some(asker.address())
}

/// Adding and removing an address repeatedly loses no request to another address, which is under load.
fn address_changes_lose_no_request(mode: Mode) {
    let lab = Lab::new(2);
    let link = lab.link();
    let [first, second] = [3478, 3479].map(|port| SocketAddr::new(link.server_v4.into(), port));
    let mut file = ConfigFile::new(&text(&[first], ""));
    let server = mode.serve(&lab, &[&file.flag()]);
    let running = RunningLoad::start(&lab, first, "4000");
    for _ in 0..4 {
        file.reload(&server, &text(&[first, second], "no-tcp = true"));
        wait_until("the second address to be served", || answers(&lab, second));
        file.reload(&server, &text(&[first], "drop-zero-transaction = true"));
        wait_until("the second address to be retired", || !answers(&lab, second));
    }
    let requests = all_right(&format!("{mode:?}"), running.end());
    let counters = server.stop();
    assert!(counters.replies(mode.path) > requests, "{}", counters.log);
    if mode.path == "af-xdp" {
        assert_eq!(counters.get("sockets", "answered"), 0, "{}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn address_changes_lose_no_request_in_native_mode() {
    address_changes_lose_no_request(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn address_changes_lose_no_request_over_sockets() {
    address_changes_lose_no_request(SOCKETS);
}

/// An address replaces the wildcard address that covered it, and the reverse, without loss.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_wildcard_and_an_address_replace_each_other_under_load() {
    let lab = Lab::new(1);
    let first = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let wildcard = SocketAddr::new([0, 0, 0, 0].into(), 3478);
    let mut file = ConfigFile::new(&text(&[wildcard], ""));
    let server = SOCKETS.serve(&lab, &[&file.flag()]);
    let running = RunningLoad::start(&lab, first, "4000");
    for address in [first, wildcard, first, wildcard] {
        let line = file.reload(&server, &text(&[address], ""));
        assert_eq!(line["changed"], "listen", "{line}");
    }
    all_right("wildcard", running.end());
    server.stop();
}

/// During a take-over both processes share the sockets: a reload that retires an address would close its
/// sockets to datagrams for the successor too. Once the take-over is abandoned, the reload is done.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reload_waits_for_a_take_over_to_end() {
    let lab = Lab::new(1);
    let [first, second] = [3478, 3479].map(|port| SocketAddr::new(lab.link().server_v4.into(), port));
    let file = ConfigFile::new(&text(&[first, second], ""));
    let control = file.directory.path().join("control");
    let server = SOCKETS.serve(&lab, &[&file.flag(), &format!("--control={}", control.display())]);
    let successor =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&successor, &SocketAddrUnix::new(&control).unwrap()).unwrap();
    send(&successor, br#"{"say":"take-over","version":2}"#, SendFlags::empty()).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let (length, _) = uninterrupted(|| Ok(recv(&successor, &mut buffer, RecvFlags::empty())?)).unwrap();
        let packet: serde_json::Value = serde_json::from_slice(&buffer[..length]).unwrap();
        match packet["say"].as_str() {
            Some("complete") => break,
            Some("udp" | "listener" | "link") => {}
            _ => panic!("{packet}"),
        }
    }
    fs::write(file.path(), text(&[first], "")).unwrap();
    server.signal(Signal::HUP);
    // A reload that did not wait would be done by then.
    thread::sleep(Duration::from_secs(2));
    ask(&lab, second);
    drop(successor);
    server.wait_for("the reload", |line| line["message"] == "configuration reloaded");
    wait_until("the second address to be retired", || !answers(&lab, second));
    ask(&lab, first);
    let log = server.stop().log;
    let position = |message: &str| log.find(message).unwrap_or_else(|| panic!("no '{message}':\n{log}"));
    assert!(position("this server continues") < position("configuration reloaded"), "{log}");
}

/// Policy, limits and the log level are reloaded; keys that require a restart are reported; an invalid file
/// changes nothing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn live_keys_are_reloaded_and_others_are_reported() {
    let lab = Lab::new(1);
    let link = lab.link();
    let first = SocketAddr::new(link.server_v4.into(), 3478);
    let mut file = ConfigFile::new(&text(&[first], ""));
    let server = NATIVE.serve(&lab, &[&file.flag()]);
    let client = || lab.client.enter(|| TcpStream::connect_timeout(&first, LIMIT));
    // A connection beyond the limit is reset, during connect or just after it.
    let stays_open = |stream: &std::io::Result<TcpStream>| {
        let Ok(stream) = stream else { return false };
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        uninterrupted(|| { stream }.read(&mut [0]))
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };

    let line = file.reload(&server, &text(&[first], "max-connections = 1\nqueues = 1\n"));
    assert_eq!(line["changed"], "max-connections", "{line}");
    let one = client();
    assert!(stays_open(&one));
    wait_until("the limit to apply", || !stays_open(&client()));
    let line = server.wait_for("the warning about a restart", |line| line["key"] == "queues");
    assert!(line["message"].as_str().unwrap().contains("needs a restart"), "{line}");

    let invalid = text(&[first], "log-level = 'info'\nmax-connections = 'many'");
    let line = file.reload(&server, &invalid);
    let expected = format!("{}:3:19: max-connections must be a decimal number", file.path().display());
    assert!(line["message"].as_str().unwrap().contains(&expected), "{line}");

    // Valid, but the port is in use by another server.
    let other = lab.server.enter(|| std::net::UdpSocket::bind((link.server_v4, 4000))).unwrap();
    let taken = other.local_addr().unwrap();
    let line = file.reload(&server, &text(&[first, taken], ""));
    let message = line["message"].as_str().unwrap();
    assert!(message.contains(&format!("{}:1:", file.path().display())), "{line}");
    assert!(message.contains(&format!("cannot bind UDP {taken} (--listen)")), "{line}");
    assert!(!stays_open(&client()), "the previous limit still applies");
    ask(&lab, first);

    // The result of a reload is logged at the level that the reload sets.
    drop(one);
    fs::write(file.path(), text(&[first], "log-level = 'error'")).unwrap();
    server.signal(Signal::HUP);
    wait_until("the limit to be lifted", || {
        let both = [client(), client()];
        both.iter().all(stays_open)
    });
    let line = file.reload(&server, &text(&[first], ""));
    assert_eq!(line["changed"], "log-level", "{line}");
    server.stop();
}

/// The reply, or `None` if none comes within 100 ms.
fn reply(lab: &Lab, server: SocketAddr, request: &[u8; 20]) -> Option<Vec<u8>> {
    let socket = lab.client.enter(|| UdpSocket::bind((lab.link().client_v4, 0))).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket.send_to(request, server).unwrap();
    let mut buffer = [0; 1024];
    let length = received(|| socket.recv(&mut buffer))?;
    Some(buffer[..length].to_vec())
}

/// A changed policy is applied, and the previous one once it is restored. What the XDP program may no longer answer
/// reaches the workers, which count it.
fn a_reloaded_policy_is_applied(mode: Mode) {
    const CLASSIC: &[u8; 20] = b"\0\x01\0\0abcdefghijklmnop";
    const ZERO: &[u8; 20] = b"\0\x01\0\0\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\0";
    const PLAIN: &[u8; 20] = b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl";
    let lab = Lab::new(1);
    let _passing = (mode == KERNEL_NATIVE).then(|| passing_program(&lab));
    let first = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let answered = |request| reply(&lab, first, request).is_some();
    let has_software =
        || reply(&lab, first, PLAIN).map(|reply| reply.windows(2).any(|two| two == b"\x80\x22"));
    // On a slow machine silence may be a late reply; that a worker dropped the request is certain once it is counted.
    let dropped = |outcome: &str, request| {
        let count = || {
            let text = http::get(&lab.server, METRICS, "/metrics").body;
            metrics::sum(&text, "xstun_outcomes_total", &[("path", "af-xdp"), ("outcome", outcome)])
        };
        let before = count();
        !answered(request) && count() > before
    };
    let mut file = ConfigFile::new(&text(&[first], ""));
    let server = mode.serve(&lab, &[&FLAGS[..], &[&file.flag()]].concat());
    for _ in 0..2 {
        wait_until("RFC 3489 requests to be answered", || answered(CLASSIC));
        wait_until("requests with a zero transaction ID to be answered", || answered(ZERO));
        wait_until("a reply without SOFTWARE", || has_software() == Some(false));
        file.reload(&server, &text(&[first], "no-classic = true"));
        wait_until("RFC 3489 requests to be dropped", || dropped("no_cookie", CLASSIC) && answered(ZERO));
        file.reload(&server, &text(&[first], "drop-zero-transaction = true"));
        wait_until("requests with a zero transaction ID to be dropped", || {
            dropped("zero_transaction", ZERO) && answered(CLASSIC)
        });
        file.reload(&server, &text(&[first], "software = true"));
        wait_until("a reply with SOFTWARE", || has_software() == Some(true));
        file.reload(&server, &text(&[first], ""));
    }
    let counters = server.stop();
    for outcome in ["no_cookie", "zero_transaction"] {
        assert!(counters.get("af-xdp", outcome) >= 2, "{}", counters.log);
    }
    assert!(counters.replies(mode.path) >= 6, "{}", counters.log);
    // With SOFTWARE only the workers answer.
    assert!(counters.replies("af-xdp") >= 2, "{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn workers_apply_a_reloaded_policy() {
    a_reloaded_policy_is_applied(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_follow_a_reloaded_policy_in_native_mode() {
    a_reloaded_policy_is_applied(KERNEL_NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_follow_a_reloaded_policy_in_generic_mode() {
    a_reloaded_policy_is_applied(KERNEL_GENERIC);
}

/// Kernel answers are switched on and off, and the policy changes under them, without a wrong or lost reply. The load's
/// own XDP program lets the replies reach its end of the pair; before it is attached, only the workers answer.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_are_switched_under_load_without_loss() {
    const TEXTS: [&str; 7] = [
        "kernel-answers = 'on'",
        "kernel-answers = 'on'\nno-classic = true",
        "kernel-answers = 'on'\nsoftware = true",
        "kernel-answers = 'on'\ndrop-zero-transaction = true",
        "",
        "kernel-answers = 'on'",
        "kernel-answers = 'off'",
    ];
    let lab = Lab::new(2);
    let link = lab.link();
    let first = SocketAddr::new(link.server_v4.into(), 3478);
    let mut file = ConfigFile::new(&text(&[first], ""));
    let (interface, config) = (link.server_interface.as_str(), file.flag());
    let server =
        Server::start(&lab.server, &["--interface", interface, "--xdp-mode", "native", config.as_str()]);
    let running = RunningLoad::start(&lab, first, "4000");
    for more in TEXTS {
        let line = file.reload(&server, &text(&[first], more));
        assert_eq!(line["message"], "configuration reloaded", "{line}");
        // Long enough for each state to answer some.
        thread::sleep(Duration::from_millis(200));
    }
    let requests = all_right("kernel answers", running.end());
    let counters = server.stop();
    let [by_program, by_workers] = ["xdp", "af-xdp"].map(|path| counters.replies(path));
    assert!(by_program > 0 && by_workers > 0, "{}", counters.log);
    // The load asks once more before it begins.
    assert!(by_program + by_workers + counters.replies("sockets") > requests, "{}", counters.log);
}

/// `--kernel-answers on` cannot be reloaded where the sockets serve, and changes nothing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_that_are_not_available_are_refused() {
    let lab = Lab::new(1);
    let first = SocketAddr::new(lab.link().server_v4.into(), 3478);
    let mut file = ConfigFile::new(&text(&[first], "interface = ['lo']"));
    let server = Server::start(&lab.server, &[&file.flag()]);
    let line = file.reload(&server, &text(&[first], "interface = ['lo']\nkernel-answers = 'on'"));
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("cannot reload, the configuration is unchanged: "), "{line}");
    let expected = format!("{}:3:", file.path().display());
    assert!(
        message.contains(&expected) && message.contains("--kernel-answers on is not available on lo"),
        "{line}"
    );
    ask(&lab, first);
    server.stop();
}
