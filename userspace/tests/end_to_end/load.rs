//! The load generator over AF_XDP, against the server on each path and against servers with faults.

use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use xstun::stop::Stop;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::server::xstun;
use xstun_testkit::wait::wait_until;

const EVERY_SHAPE: &str = "bare=3,fingerprint,software-fingerprint=2,software,change-request,classic,\
                           classic-change-request,ice";

/// Exit code, JSON and standard error of `xstun load`.
type LoadOutput = (Option<i32>, Value, String);

/// Runs `xstun load` over AF_XDP in the client's namespace, and waits for its exit.
pub(crate) fn load(lab: &Lab, server: SocketAddr, flags: &[&str]) -> LoadOutput {
    let program = xstun().into_string().expect("a path in UTF-8");
    let server = server.to_string();
    let words = [&[program.as_str()], &words(lab, &server)[..], flags].concat();
    read(lab, lab.client.output(&words))
}

fn words<'a>(lab: &'a Lab, server: &'a str) -> [&'a str; 5] {
    ["load", server, "--interface", &lab.link().client_interface, "--json"]
}

fn read(lab: &Lab, Output { status, stdout, stderr }: Output) -> LoadOutput {
    let err = String::from_utf8(stderr).unwrap();
    assert!(!lab.client.has_xdp(&lab.link().client_interface), "`xstun load` detaches its XDP program");
    (status.code(), serde_json::from_slice(&stdout).unwrap_or_default(), err)
}

/// A load that runs until the test ends it, however slow the machine is; killed on drop.
pub(crate) struct RunningLoad<'a> {
    lab: &'a Lab,
    child: Option<Child>,
}

impl<'a> RunningLoad<'a> {
    /// Starts a load of `rate` requests per second, and waits until its XDP program is attached.
    pub(crate) fn start(lab: &'a Lab, server: SocketAddr, rate: &str) -> Self {
        let mut command = lab.client.command(xstun());
        command.args(words(lab, &server.to_string())).args(["--rate", rate, "--duration", "3600"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut load = RunningLoad { lab, child: Some(child) };
        wait_until("the load's XDP program", || {
            assert!(load.runs(), "the load starts");
            lab.client.has_xdp(&lab.link().client_interface)
        });
        load
    }

    /// Whether it is still running.
    pub(crate) fn runs(&mut self) -> bool {
        let child = self.child.as_mut().expect("the load was not ended before");
        child.try_wait().expect("the load is a child of this process").is_none()
    }

    /// Stops it by SIGINT, upon which it waits for the outstanding replies, and returns its output.
    pub(crate) fn end(mut self) -> LoadOutput {
        assert!(self.runs(), "the load runs until the test ends it");
        let child = self.child.take().expect("the load was not ended before");
        kill_process(Pid::from_child(&child), Signal::INT).expect("the load runs");
        read(self.lab, child.wait_with_output().expect("the load is a child of this process"))
    }
}

impl Drop for RunningLoad<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn number(json: &Value, key: &str) -> u64 {
    json[key].as_u64().unwrap_or_else(|| panic!("no number '{key}' in {json}"))
}

/// Asserts that every request got a right reply; returns the number of requests.
pub(crate) fn all_right(what: &str, (code, json, err): LoadOutput) -> u64 {
    assert_eq!((code, err.as_str()), (Some(0), ""), "{what}: {json}");
    assert_eq!((&json["path"], &json["wrong"]), (&"af-xdp".into(), &0.into()), "{what}: {json}");
    assert_eq!(json["lost"], 0, "{what}: {json}");
    let sent = number(&json, "sent");
    assert!(sent > 0, "{what}: {json}");
    sent
}

fn each_family(lab: &Lab) -> [SocketAddr; 2] {
    let link = lab.link();
    [IpAddr::from(link.server_v4), link.server_v6.into()].map(|ip| SocketAddr::new(ip, PORT))
}

fn every_request_is_answered(mode: Mode, queues: u32, flags: &[&str]) {
    let lab = Lab::new(queues);
    let server = mode.serve(&lab, &[]);
    let mut requests = 0;
    for address in each_family(&lab) {
        let flags = [&["--rate", "2000", "--duration", "0.5", "--shape", EVERY_SHAPE], flags].concat();
        // Plus one: first, `xstun load` sends one request from an ordinary socket.
        requests +=
            1 + all_right(&format!("{mode:?}, {queues} queues, {address}"), load(&lab, address, &flags));
    }
    let counters = server.stop();
    assert_eq!(counters.replies(mode.path), requests, "{}", counters.log);
    if queues > 1 && mode.path == "af-xdp" {
        for queue in 0..queues.into() {
            assert!(counters.queue(queue, "answered") > 0, "queue {queue}: {}", counters.log);
        }
    }
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn every_shape_gets_a_right_reply_on_one_queue() {
    every_request_is_answered(NATIVE, 1, &[]);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn two_load_workers_check_each_others_replies() {
    every_request_is_answered(NATIVE, 2, &[]);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn one_load_worker_serves_two_queues() {
    every_request_is_answered(NATIVE, 2, &["--cores", "0", "--xdp-mode", "generic"]);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn every_shape_gets_a_right_reply_in_generic_mode() {
    every_request_is_answered(GENERIC, 1, &["--ports", "300"]);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn every_shape_gets_a_right_reply_over_sockets() {
    every_request_is_answered(SOCKETS, 2, &["--ports", "1"]);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn requests_are_sent_from_several_sources() {
    let lab = Lab::new(1);
    let link = lab.link();
    lab.client.run(&["ip", "addr", "add", "10.77.0.9/24", "dev", &link.client_interface]);
    let server = NATIVE.serve(&lab, &[]);
    let address = SocketAddr::new(link.server_v4.into(), PORT);
    let own = link.client_v4.to_string();
    let flags = ["--rate", "1000", "--duration", "0.3", "--source", &own, "--source", "10.77.0.9"];
    let requests = 1 + all_right("two sources", load(&lab, address, &flags));
    let (code, _, err) = load(&lab, address, &["--source", "10.77.0.10"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("--source 10.77.0.10 is not an address of"), "{err}");
    assert_eq!(server.stop().replies("af-xdp"), requests);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn a_flood_gets_no_wrong_reply_and_ping_passes() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &[]);
    let link = lab.link();
    let address = SocketAddr::new(link.server_v4.into(), PORT);
    thread::scope(|scope| {
        let flood = scope.spawn(|| load(&lab, address, &["--duration", "1", "--warm-up", "0.2"]));
        let mut pings = 0;
        while !flood.is_finished() {
            lab.client.run(&["ping", "-q", "-c", "1", "-W", "20", &link.server_v6.to_string()]);
            pings += 1;
        }
        assert!(pings > 0);
        let (code, json, err) = flood.join().unwrap();
        assert_eq!((code, err.as_str(), &json["wrong"]), (Some(0), "", &0.into()), "{json}");
        assert!(number(&json, "received") > 0 && number(&json, "sent") > number(&json, "lost"), "{json}");
    });
    let counters = server.stop();
    assert_eq!(counters.get("af-xdp", "bad_udp_checksum"), 0, "{}", counters.log);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn find_max_finds_the_highest_rate() {
    let lab = Lab::new(1);
    let _server = NATIVE.serve(&lab, &[]);
    let address = SocketAddr::new(lab.link().server_v4.into(), PORT);
    let (code, json, err) =
        load(&lab, address, &["--find-max", "--rate", "1000", "--step", "0.1", "--loss", "0.01"]);
    assert_eq!((code, err.as_str(), &json["wrong"]), (Some(0), "", &0.into()), "{json}");
    let steps = json["steps"].as_array().unwrap();
    let best = steps.iter().find(|step| step["rate"] == json["max_rate"]);
    assert!(best.is_some_and(|step| step["loss"].as_f64().unwrap() <= 0.01), "{json}");
    assert!(steps.iter().all(|step| step["replies_per_second"].is_f64()), "{json}");
}

/// A server that answers the n-th request with the right reply as modified by its script, or not at all if
/// the script returns false. A retransmission, as a slow machine causes, gets the reply of its request. Stopped on
/// drop.
struct ScriptedServer {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedServer {
    fn start(lab: &Lab, mut script: impl FnMut(usize, &mut Vec<u8>) -> bool + Send + 'static) -> Self {
        let address = SocketAddr::new(lab.link().server_v4.into(), PORT);
        let socket = lab.server.enter(|| UdpSocket::bind(address)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(Stop::new().unwrap());
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let (mut request, mut number) = ([0; 64], 0);
            let mut latest = (request, None);
            while !stopped.is_ordered() {
                let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut request) else { continue };
                if latest.0 != request || number == 0 {
                    let mut reply = [&[1, 1, 0, 12], &request[4..20], &[0, 0x20, 0, 8, 0, 1]].concat();
                    reply.extend((from.port() ^ 0x2112).to_be_bytes());
                    reply.extend((u32::from(*from.ip()) ^ 0x2112_a442).to_be_bytes());
                    latest = (request, script(number, &mut reply).then_some(reply));
                    number += 1;
                }
                if let Some(reply) = &latest.1 {
                    socket.send_to(reply, from).unwrap();
                }
            }
        };
        ScriptedServer { stop, thread: Some(thread::spawn(serve)) }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stop.order();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs a load against a [`ScriptedServer`]. Request 0 is the one from the ordinary socket.
fn load_scripted(
    flags: &[&str],
    script: impl FnMut(usize, &mut Vec<u8>) -> bool + Send + 'static,
) -> LoadOutput {
    let lab = Lab::new(1);
    let _server = ScriptedServer::start(&lab, script);
    let flags = [&["--rate", "200", "--duration", "0.5"], flags].concat();
    load(&lab, SocketAddr::new(lab.link().server_v4.into(), PORT), &flags)
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn a_wrong_reply_is_detected() {
    // Offsets in the mapped port, the mapped address, the transaction ID, the message type.
    for byte in [27, 31, 12, 0] {
        let (code, json, err) = load_scripted(&[], move |number, reply| {
            reply[byte] ^= u8::from(number == 7);
            true
        });
        assert_eq!(code, Some(1), "byte {byte}: {json} {err}");
        assert_eq!((&json["wrong"], &json["lost"]), (&1.into(), &1.into()), "byte {byte}: {json}");
        assert!(err.starts_with("xstun: 1 datagram from "), "{err}");
    }
    let (code, json, _) = load_scripted(&["--shape", "fingerprint"], |_, _| true);
    assert_eq!((code, &json["received"], &json["wrong"]), (Some(1), &0.into(), &json["sent"]), "{json}");
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn a_duplicate_reply_is_detected() {
    let mut kept = None;
    let (code, json, _) = load_scripted(&["--ports", "1"], move |number, reply| {
        if number > 0 {
            *reply = kept.get_or_insert_with(|| reply.clone()).clone();
        }
        true
    });
    assert_eq!((code, &json["received"]), (Some(1), &1.into()), "{json}");
    assert_eq!(number(&json, "wrong") + 1, number(&json, "sent"), "{json}");
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn a_request_without_a_reply_is_counted_as_lost() {
    let (code, json, err) = load_scripted(&[], |number, _| number == 0 || number % 2 == 1);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{json}");
    let [sent, received, lost, wrong] = ["sent", "received", "lost", "wrong"].map(|key| number(&json, key));
    assert_eq!((received, lost, wrong), (sent.div_ceil(2), sent / 2, 0), "{json}");
    assert_eq!(json["loss"].as_f64().unwrap(), lost as f64 / sent as f64);
}

#[test]
#[ignore = "needs root: loads an XDP program in network namespaces"]
fn a_load_that_cannot_run_fails_with_one_line() {
    let lab = Lab::new(1);
    let link = lab.link();
    let silent = SocketAddr::new(link.server_v4.into(), PORT);
    let own = SocketAddr::new(link.client_v4.into(), PORT);
    let unreachable = "10.99.0.1:3478".parse().unwrap();
    for (server, flags, code, words) in [
        (silent, &[][..], 3, "xstun: no reply from 10.77.0.1:3478 to a request from an ordinary socket"),
        (own, &[], 2, "xstun: 10.77.0.2:3478 is this host itself"),
        (unreachable, &[], 1, "xstun: cannot open a port towards 10.99.0.1:3478: Network is unreachable"),
        (silent, &["--queues", "2"], 2, "xstun: --queues 2: xc0 has 1"),
        (silent, &["--ports", "5000"], 2, "xstun: --ports 5000 on each source"),
        (silent, &["--shape", "round"], 2, "xstun: invalid --shape: 'round' is no shape"),
        (silent, &["--cores", "9999"], 2, "xstun: --cores names core 9999"),
    ] {
        let (exit_code, json, err) = load(&lab, server, flags);
        assert_eq!((exit_code, &json), (Some(code), &Value::Null), "{server} {flags:?}: {err}");
        assert!(err.starts_with(words) && err.trim_end().lines().count() == 1, "{server} {flags:?}: {err}");
    }
    let program = xstun().into_string().unwrap();
    let output = lab.client.output(&[&program, "load", &silent.to_string(), "--interface", "lo"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
