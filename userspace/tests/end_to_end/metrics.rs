//! What the server tells of itself: metrics, health, readiness.

use crate::clients::is_there;
use crate::http::{self, get};
use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use crate::streams::Certificate;
use rustix::process::Signal;
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Server;
use xstun_testkit::lab::{Lab, Namespace};
use xstun_testkit::wait::LIMIT;

/// Where the servers of these tests tell.
pub(crate) const TELL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9478);
pub(crate) const FLAGS: [&str; 2] = ["--metrics-listen", "127.0.0.1:9478"];
/// Serves in this mode, with metrics.
fn serve(mode: Mode, lab: &Lab, more: &[&str]) -> Server {
    mode.serve(lab, &[&FLAGS[..], more].concat())
}

/// Asks `count` times over IPv4 as a client does.
pub(crate) fn ask(lab: &Lab, count: usize) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    for _ in 0..count {
        assert_eq!(asker.ask(SocketAddr::new(lab.link().server_v4.into(), 3478)), asker.address());
    }
}

/// Sum of the samples of a family that have all of these labels.
fn sum(text: &str, family: &str, labels: &[(&str, &str)]) -> u64 {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        (name == family && wanted.iter().all(|label| rest.contains(label.as_str()))).then_some(value)
    });
    samples.map(|value| value.parse::<f64>().unwrap() as u64).sum()
}

/// Asks for a path until `wanted` says yes, and gives that answer.
fn wait_for(namespace: &Namespace, path: &str, wanted: impl Fn(&http::Response) -> bool) -> http::Response {
    let deadline = Instant::now() + LIMIT;
    loop {
        let response = get(namespace, TELL, path);
        if wanted(&response) {
            return response;
        }
        assert!(Instant::now() < deadline, "{path} still tells {response:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `promtool check metrics` has nothing to say.
fn check_by_promtool(namespace: &Namespace, text: &str) {
    if !is_there("promtool", "apt-get install prometheus") {
        return;
    }
    let mut command = namespace.command("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "promtool: {}: {said}", output.status);
}

fn what_is_counted_is_told(mode: Mode) {
    let lab = Lab::new(2);
    let server = serve(mode, &lab, &[]);
    ask(&lab, 20);
    let ready = get(&lab.server, TELL, "/readyz");
    assert_eq!((ready.status, &ready.body[..]), (200, "ready\n"), "{mode:?}");
    let alive = get(&lab.server, TELL, "/healthz");
    assert_eq!((alive.status, &alive.body[..]), (200, "alive\n"), "{mode:?}");

    // A request that was sent once more, since its reply was late, may still be on its way.
    let before = Cell::new(0);
    let response = wait_for(&lab.server, "/metrics", |response| {
        let answered = [("path", mode.path), ("outcome", "answered")];
        let answered = sum(&response.body, "xstun_outcomes_total", &answered);
        answered >= 20 && before.replace(answered) == answered
    });
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = response.body;
    check_by_promtool(&lab.server, &text);
    let interface = ("interface", lab.link().server_interface.as_str());
    if mode.path == "af-xdp" {
        let rung = if mode == NATIVE { "native-copy" } else { "generic" };
        assert_eq!(sum(&text, "xstun_interface_queues", &[interface, ("rung", rung)]), 2, "{text}");
        assert_eq!(sum(&text, "xstun_xdp_attached", &[interface]), 1, "{text}");
        assert!(sum(&text, "xstun_xdp_verdicts_total", &[interface, ("verdict", "redirect")]) >= 20);
        // Conservation, as the workers saw it.
        assert_eq!(sum(&text, "xstun_umem_frames", &[interface, ("queue", "0")]), 4096, "{text}");
        assert!(sum(&text, "xstun_umem_frames", &[interface, ("place", "fill")]) > 0, "{text}");
    } else {
        assert_eq!(sum(&text, "xstun_interface_queues", &[interface, ("rung", "sockets")]), 2, "{text}");
        assert_eq!(sum(&text, "xstun_xdp_verdicts_total", &[]), 0, "{text}");
    }
    assert!(sum(&text, "process_open_fds", &[]) > 3 && sum(&text, "process_resident_memory_bytes", &[]) > 0);

    // What is told last is what the server counts at its end, but for the counters of the kernel.
    let counters = server.stop();
    for path in ["af-xdp", "sockets"] {
        for outcome in ["answered", "not_stun", "transmit_failed"] {
            let told = sum(&text, "xstun_outcomes_total", &[("path", path), ("outcome", outcome)]);
            assert_eq!(told, counters.get(path, outcome), "{mode:?} {path} {outcome}: {}", counters.log);
        }
        let received = sum(&text, "xstun_received_total", &[("path", path)]);
        assert_eq!(received, counters.get(path, "received"), "{mode:?} {path}: {}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_is_counted_over_native_af_xdp_is_told() {
    what_is_counted_is_told(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_is_counted_over_generic_af_xdp_is_told() {
    what_is_counted_is_told(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_is_counted_over_sockets_is_told() {
    what_is_counted_is_told(SOCKETS);
}

/// Each path that does not answer is named, and is well again when it does.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn readiness_asks_each_path() {
    let lab = Lab::new(1);
    let certificate = Certificate::new();
    let flags = certificate.flags();
    let server = serve(SOCKETS, &lab, &flags.each_ref().map(String::as_str));
    let ready = |response: &http::Response| response.status == 200;
    wait_for(&lab.server, "/readyz", ready);
    for (rule, failing) in [
        ("ip daddr 127.0.0.1 udp dport 3478 drop", "UDP 0.0.0.0:3478"),
        ("ip6 daddr ::1 udp dport 3478 drop", "UDP [::]:3478"),
        ("ip daddr 127.0.0.1 tcp dport 3478 drop", "TCP 0.0.0.0:3478"),
        ("ip6 daddr ::1 tcp dport 5349 reject with tcp reset", "TLS [::]:5349"),
    ] {
        let table = "table inet closed { chain in { type filter hook input priority 0; RULE; }; }";
        lab.server.run(&["nft", &table.replace("RULE", rule)]);
        let response = wait_for(&lab.server, "/readyz", |response| !ready(response));
        assert_eq!(response.status, 503, "{rule}: {response:?}");
        assert_eq!(response.body.lines().count(), 1, "{rule}: {response:?}");
        assert!(response.body.starts_with(&format!("not ready: {failing}: ")), "{rule}: {response:?}");
        assert_eq!(get(&lab.server, TELL, "/healthz").status, 200, "{rule}");
        lab.server.run(&["nft", "delete table inet closed"]);
        wait_for(&lab.server, "/readyz", ready);
    }
    server.stop();
}

/// Where IPv6 is switched off, its wildcard is listened on and cannot be asked: that is no failing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_host_without_ipv6_is_ready() {
    let lab = Lab::new(1);
    lab.server.run(&["sysctl", "--quiet", "--write", "net.ipv6.conf.all.disable_ipv6=1"]);
    let certificate = Certificate::new();
    let flags = certificate.flags();
    let server = serve(SOCKETS, &lab, &flags.each_ref().map(String::as_str));
    let listen = server.serving();
    assert!(listen.iter().any(|line| line["listen"].to_string().contains("[::]:3478")), "{listen:?}");
    let ready = get(&lab.server, TELL, "/readyz");
    assert_eq!((ready.status, &ready.body[..]), (200, "ready\n"));
    server.stop();
}

/// Somebody takes the XDP program away: the sockets serve what then comes, and the metrics say so.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_program_that_was_taken_away_is_missed() {
    if !is_there("bpftool", "apt-get install bpftool") {
        return;
    }
    let lab = Lab::new(1);
    let server = serve(NATIVE, &lab, &[]);
    wait_for(&lab.server, "/readyz", |response| response.status == 200);
    let links: serde_json::Value =
        serde_json::from_str(&lab.server.run(&["bpftool", "--json", "link", "show"])).unwrap();
    let program = lab.server.run(&["ip", "-j", "-d", "link", "show", "dev", &lab.link().server_interface]);
    let program: serde_json::Value = serde_json::from_str(&program).unwrap();
    let program = &program[0]["xdp"]["prog"]["id"];
    let link = links.as_array().unwrap().iter().find(|link| link["prog_id"] == *program);
    let link = link.unwrap_or_else(|| panic!("no link of program {program} in {links:#}"))["id"].to_string();
    lab.server.run(&["bpftool", "link", "detach", "id", &link]);
    let response = wait_for(&lab.server, "/readyz", |response| response.status == 503);
    let expected = format!("not ready: {}: the XDP program is not attached\n", lab.link().server_interface);
    assert_eq!(response.body, expected);
    ask(&lab, 1);
    let text = get(&lab.server, TELL, "/metrics").body;
    assert_eq!(sum(&text, "xstun_xdp_attached", &[]), 0, "{text}");
    server.stop();
}

/// Load balancers see it go, clients do not.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn draining_fails_readiness_and_answers_on() {
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &["--drain-seconds", "3600"]);
    wait_for(&lab.server, "/readyz", |response| response.status == 200);
    server.signal(Signal::USR1);
    let response = wait_for(&lab.server, "/readyz", |response| response.status == 503);
    assert_eq!(response.body, "not ready: draining\n");
    ask(&lab, 1);
    assert_eq!(get(&lab.server, TELL, "/healthz").status, 200);
    assert_eq!(get(&lab.server, TELL, "/status.json").json()["state"], "draining");
    assert_eq!(sum(&get(&lab.server, TELL, "/metrics").body, "xstun_draining", &[]), 1);
    server.stop();
}

/// More peers than there is room for, and none of them says a whole request: others still get through,
/// and every one of the silent is sent away.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn silent_peers_keep_nobody_out() {
    const PLACES: u64 = 32;
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &[]);
    let before = server.open_files();
    let mut silent: Vec<_> = (0..80).map(|_| http::connect(&lab.server, TELL)).collect();
    for (index, stream) in silent.iter_mut().enumerate() {
        // Half of them begin a request, and one of these asks and then does not read.
        if index % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        }
    }
    silent[0].write_all(b"Host: a\r\n\r\n").unwrap();
    // The one who asks has the server look into /proc, for a moment with a file of its own; the least of
    // several looks is what stays open.
    let looks = (0..20).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        server.open_files()
    });
    let files = looks.min().unwrap();
    assert!(files <= before + PLACES, "{files} files are open, and {before} were");
    assert_eq!(get(&lab.server, TELL, "/healthz").status, 200);
    for stream in &mut silent {
        let mut rest = Vec::new();
        // Closed or reset: either way it is over.
        let _ = stream.read_to_end(&mut rest);
    }
    ask(&lab, 1);
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_is_not_there_is_said_so() {
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &[]);
    assert_eq!(get(&lab.server, TELL, "/nosuch").status, 404);
    let refused = http::ask(&lab.server, TELL, "POST", "/metrics");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    let head = http::ask(&lab.server, TELL, "HEAD", "/metrics");
    assert_eq!((head.status, &head.body[..]), (200, ""));
    for path in ["/", "/page.js", "/metrics", "/status.json", "/nosuch"] {
        let response = get(&lab.server, TELL, path);
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    let mut stream = http::connect(&lab.server, TELL);
    stream.write_all(&[b'x'; 100_000]).unwrap_or_default();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.stop();
}
