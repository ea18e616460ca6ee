//! The server's metrics, health and readiness endpoints.

use crate::clients::is_program_installed;
use crate::http::{self, get};
use crate::modes::{GENERIC, KERNEL_GENERIC, KERNEL_NATIVE, Mode, NATIVE, SOCKETS, passing_program};
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

/// The metrics endpoint of the servers of these tests.
pub(crate) const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9478);
pub(crate) const FLAGS: [&str; 2] = ["--metrics-listen", "127.0.0.1:9478"];

/// Serves in this mode, with the metrics endpoint.
fn serve(mode: Mode, lab: &Lab, more: &[&str]) -> Server {
    mode.serve(lab, &[&FLAGS[..], more].concat())
}

/// Sends `count` requests over IPv4, and checks each mapped address.
pub(crate) fn ask(lab: &Lab, count: usize) {
    let asker = Asker::new(&lab.client, SocketAddr::new(lab.link().client_v4.into(), 0));
    for _ in 0..count {
        assert_eq!(asker.ask(SocketAddr::new(lab.link().server_v4.into(), 3478)), asker.address());
    }
}

/// Sum of the samples of a family that have all of these labels.
pub(crate) fn sum(text: &str, family: &str, labels: &[(&str, &str)]) -> u64 {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        (name == family && wanted.iter().all(|label| rest.contains(label.as_str()))).then_some(value)
    });
    samples.map(|value| value.parse::<f64>().unwrap() as u64).sum()
}

/// Gets a path repeatedly until `wanted` accepts the response, and returns that.
fn wait_for(namespace: &Namespace, path: &str, wanted: impl Fn(&http::Response) -> bool) -> http::Response {
    let deadline = Instant::now() + LIMIT;
    loop {
        let response = get(namespace, METRICS, path);
        if wanted(&response) {
            return response;
        }
        assert!(Instant::now() < deadline, "{path} still returns {response:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Asserts that `promtool check metrics` reports nothing.
fn check_by_promtool(namespace: &Namespace, text: &str) {
    if !is_program_installed("promtool", "apt-get install prometheus") {
        return;
    }
    let mut command = namespace.command("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success() && printed.trim().is_empty(), "promtool: {}: {printed}", output.status);
}

fn counters_are_exposed(mode: Mode) {
    let lab = Lab::new(2);
    let _passing = (mode == KERNEL_NATIVE).then(|| passing_program(&lab));
    let server = serve(mode, &lab, &[]);
    ask(&lab, 20);
    let ready = get(&lab.server, METRICS, "/readyz");
    assert_eq!((ready.status, &ready.body[..]), (200, "ready\n"), "{mode:?}");
    let alive = get(&lab.server, METRICS, "/healthz");
    assert_eq!((alive.status, &alive.body[..]), (200, "alive\n"), "{mode:?}");

    // A retransmitted request may still be in flight: wait until the counter is stable.
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
    if let Some(xdp_mode) = mode.xdp_mode() {
        let rung = if xdp_mode == "native" { "native-copy" } else { "generic" };
        assert_eq!(sum(&text, "xstun_interface_queues", &[interface, ("rung", rung)]), 2, "{text}");
        assert_eq!(sum(&text, "xstun_xdp_attached", &[interface]), 1, "{text}");
        let by_program = mode.path == "xdp";
        assert_eq!(sum(&text, "xstun_kernel_answers", &[interface]), u64::from(by_program), "{text}");
        let (verdict, other) = if by_program { ("answered", "redirect") } else { ("redirect", "answered") };
        assert!(sum(&text, "xstun_xdp_verdicts_total", &[interface, ("verdict", verdict)]) >= 20, "{text}");
        assert_eq!(sum(&text, "xstun_xdp_verdicts_total", &[interface, ("verdict", other)]), 0, "{text}");
        // The frames of the UMEM are accounted for.
        assert_eq!(sum(&text, "xstun_umem_frames", &[interface, ("queue", "0")]), 4096, "{text}");
        assert!(sum(&text, "xstun_umem_frames", &[interface, ("place", "fill")]) > 0, "{text}");
    } else {
        assert_eq!(sum(&text, "xstun_interface_queues", &[interface, ("rung", "sockets")]), 2, "{text}");
        assert_eq!(sum(&text, "xstun_xdp_verdicts_total", &[]), 0, "{text}");
    }
    assert!(sum(&text, "process_open_fds", &[]) > 3 && sum(&text, "process_resident_memory_bytes", &[]) > 0);

    // The last exposed values are those logged at exit, except for the counters of the kernel.
    let counters = server.stop();
    for path in ["xdp", "af-xdp", "sockets"] {
        for outcome in ["answered", "not_stun", "transmit_failed"] {
            let exposed = sum(&text, "xstun_outcomes_total", &[("path", path), ("outcome", outcome)]);
            assert_eq!(exposed, counters.get(path, outcome), "{mode:?} {path} {outcome}: {}", counters.log);
        }
        let received = sum(&text, "xstun_received_total", &[("path", path)]);
        // The program counts what it answers, and nothing else.
        let counted =
            if path == "xdp" { counters.get(path, "answered") } else { counters.get(path, "received") };
        assert_eq!(received, counted, "{mode:?} {path}: {}", counters.log);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn counters_are_exposed_in_native_mode() {
    counters_are_exposed(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn counters_are_exposed_in_generic_mode() {
    counters_are_exposed(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn counters_are_exposed_over_sockets() {
    counters_are_exposed(SOCKETS);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn counters_of_kernel_answers_are_exposed_in_native_mode() {
    counters_are_exposed(KERNEL_NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn counters_of_kernel_answers_are_exposed_in_generic_mode() {
    counters_are_exposed(KERNEL_GENERIC);
}

/// /readyz names an endpoint that does not answer, and succeeds again when it does.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn readiness_probes_each_endpoint() {
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
        assert_eq!(get(&lab.server, METRICS, "/healthz").status, 200, "{rule}");
        lab.server.run(&["nft", "delete table inet closed"]);
        wait_for(&lab.server, "/readyz", ready);
    }
    server.stop();
}

/// With IPv6 disabled, the server listens on its wildcard address, which cannot be probed: /readyz must not
/// fail for that.
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
    let ready = get(&lab.server, METRICS, "/readyz");
    assert_eq!((ready.status, &ready.body[..]), (200, "ready\n"));
    server.stop();
}

/// After somebody detaches the XDP program, the sockets serve, and /readyz and the metrics report it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_detached_program_is_reported() {
    if !is_program_installed("bpftool", "apt-get install bpftool") {
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
    let text = get(&lab.server, METRICS, "/metrics").body;
    assert_eq!(sum(&text, "xstun_xdp_attached", &[]), 0, "{text}");
    server.stop();
}

/// While draining, /readyz fails for load balancers, and clients are still answered.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn draining_fails_readiness_and_requests_are_answered() {
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &["--drain-seconds", "3600"]);
    wait_for(&lab.server, "/readyz", |response| response.status == 200);
    server.signal(Signal::USR1);
    let response = wait_for(&lab.server, "/readyz", |response| response.status == 503);
    assert_eq!(response.body, "not ready: draining\n");
    ask(&lab, 1);
    assert_eq!(get(&lab.server, METRICS, "/healthz").status, 200);
    assert_eq!(get(&lab.server, METRICS, "/status.json").json()["state"], "draining");
    assert_eq!(sum(&get(&lab.server, METRICS, "/metrics").body, "xstun_draining", &[]), 1);
    server.stop();
}

/// More peers than the limit, none of which completes a request: other peers are still served, and every
/// silent connection is closed.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn silent_peers_do_not_block_others() {
    const CONNECTIONS: u64 = 32;
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &[]);
    let before = server.open_files();
    let mut silent: Vec<_> = (0..80).map(|_| http::connect(&lab.server, METRICS)).collect();
    for (index, stream) in silent.iter_mut().enumerate() {
        // Half of them start a request; the first one completes it and does not read the response.
        if index % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        }
    }
    silent[0].write_all(b"Host: a\r\n\r\n").unwrap();
    // For the completed request the server briefly opens files in /proc: the minimum of several samples is
    // the number of files that stay open.
    let samples = (0..20).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        server.open_files()
    });
    let files = samples.min().unwrap();
    assert!(files <= before + CONNECTIONS, "{files} files are open, and {before} were");
    assert_eq!(get(&lab.server, METRICS, "/healthz").status, 200);
    for stream in &mut silent {
        let mut rest = Vec::new();
        // Closed or reset: either way the connection has ended.
        let _ = stream.read_to_end(&mut rest);
    }
    ask(&lab, 1);
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn unknown_paths_and_methods_are_refused_and_headers_are_set() {
    let lab = Lab::new(1);
    let server = serve(SOCKETS, &lab, &[]);
    assert_eq!(get(&lab.server, METRICS, "/nosuch").status, 404);
    let refused = http::request(&lab.server, METRICS, "POST", "/metrics");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    let head = http::request(&lab.server, METRICS, "HEAD", "/metrics");
    assert_eq!((head.status, &head.body[..]), (200, ""));
    for path in ["/", "/page.js", "/metrics", "/status.json", "/nosuch"] {
        let response = get(&lab.server, METRICS, path);
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    let mut stream = http::connect(&lab.server, METRICS);
    stream.write_all(&[b'x'; 100_000]).unwrap_or_default();
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response);
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
    server.stop();
}
