//! A browser behind a NAT gathers a server-reflexive candidate.

use crate::clients::is_program_installed;
use crate::discovery::Nat;
use crate::modes::{Mode, NATIVE, SOCKETS};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use xstun_testkit::lab::packets::{Datagram, PORT};
use xstun_testkit::lab::wire::Wire;
use xstun_testkit::lab::{Lab, Namespace};

/// Longest wait for the browser; generous, since nothing is timed.
const LIMIT: Duration = Duration::from_secs(120);

/// Headless, and without network access of its own.
pub(crate) const HEADLESS: [&str; 6] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
];

/// Gathers candidates and posts them to the server of the page.
const PAGE: &str = r#"<!DOCTYPE html><script type="module">
const agent = new RTCPeerConnection({ iceServers: [{ urls: "stun:SERVER" }] });
const candidates = [];
const gathered = new Promise(done => {
    agent.onicecandidate = event => event.candidate ? candidates.push(event.candidate.candidate) : done();
    agent.onicecandidateerror = event => candidates.push(`error ${event.errorCode} ${event.errorText}`);
});
agent.createDataChannel("any");
await agent.setLocalDescription();
await gathered;
await fetch("/", { method: "POST", body: candidates.join("\n") });
</script>"#;

const NAT: &str =
    "table ip nat { chain post { type nat hook postrouting priority srcnat; oifname OUTSIDE masquerade; }; }";

/// A running browser, killed on drop.
struct Browser {
    child: Child,
    /// Its profile and everything else that it writes.
    home: tempfile::TempDir,
}

impl Browser {
    fn open(namespace: &Namespace, page: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = namespace.command("chromium");
        command.args(HEADLESS);
        command.arg(format!("--user-data-dir={}", home.path().display())).arg(format!("http://{page}/"));
        command.env("HOME", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Browser { child, home }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes exit with the first one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.home.path());
    }
}

/// Serves the page until it has posted its candidates.
fn candidates(listener: &TcpListener, browser: &mut Browser, page: &str) -> Vec<String> {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Some(body) = serve_request(stream, page) {
                    return body.lines().map(str::to_owned).collect();
                }
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
        assert!(Instant::now() < deadline, "the browser posts no candidates");
        let status = browser.child.try_wait().unwrap();
        assert!(status.is_none(), "the browser exited with {status:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Handles one HTTP request: serves the page to a GET, returns the body of a POST.
fn serve_request(stream: TcpStream, page: &str) -> Option<String> {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut reader = BufReader::new(&stream);
    let (mut lines, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        // A browser opens connections ahead of need and drops them.
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        lines.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let is_post = lines[0].starts_with("POST ");
    let (status, text) = match (is_post, lines[0].starts_with("GET / ")) {
        (true, _) => ("204 No Content", ""),
        (false, true) => ("200 OK", page),
        (false, false) => ("404 Not Found", ""),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n");
    let _ = write!(&stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len());
    is_post.then(|| String::from_utf8(body).unwrap())
}

fn the_browser_gathers_its_reflexive_candidate(mode: Mode) {
    if !is_program_installed("chromium", "apt-get install chromium")
        || !is_program_installed("nft", "apt-get install nftables")
    {
        return;
    }
    let lab = Lab::new(1);
    let link = lab.link();
    let server = mode.serve(&lab, &[]);
    let nat = Nat::new(&lab, NAT);
    let wire = Wire::open(&lab.client, &link.client_interface);
    let listener = nat.host.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let page = PAGE.replace("SERVER", &format!("{}:{PORT}", link.server_v4));
    let mut browser = Browser::open(&nat.host, listener.local_addr().unwrap());
    let candidates = candidates(&listener, &mut browser, &page);
    drop(browser);

    // Only the wire shows what the NAT translated the browser's address to.
    let frames = wire.drain();
    let answered: BTreeSet<_> = frames
        .iter()
        .filter_map(|frame| Datagram::read(frame))
        .filter(|datagram| datagram.source == SocketAddr::new(link.server_v4.into(), PORT))
        .map(|datagram| datagram.destination)
        .collect();
    let reflexive: BTreeSet<SocketAddr> = candidates.iter().filter_map(|line| reflexive(line)).collect();
    assert!(!reflexive.is_empty(), "{mode:?}: no server-reflexive candidate in {candidates:#?}");
    assert!(reflexive.is_subset(&answered), "{mode:?}: {candidates:#?}, and replies went to {answered:?}");
    assert!(reflexive.iter().all(|address| address.ip() == link.client_v4), "{mode:?}: {candidates:#?}");
    let counters = server.stop();
    assert!(counters.get(mode.path, "answered") > 0, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.other_path(), "received"), 0, "{mode:?}:\n{}", counters.log);
}

/// Address of a server-reflexive candidate (RFC 8839 §5.1).
fn reflexive(candidate: &str) -> Option<SocketAddr> {
    let words: Vec<_> = candidate.split(' ').collect();
    let ["udp", _, ip, port, "typ", "srflx"] = words.get(2..8)? else { return None };
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn chromium_gathers_its_reflexive_candidate_over_af_xdp() {
    the_browser_gathers_its_reflexive_candidate(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn chromium_gathers_its_reflexive_candidate_over_sockets() {
    the_browser_gathers_its_reflexive_candidate(SOCKETS);
}
