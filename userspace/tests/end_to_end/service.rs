//! The server as a service: its capabilities, and its notifications to the service manager.

use crate::modes::{NATIVE, SOCKETS, busy_polling_works};
use rustix::process::{Pid, Signal};
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;
use xstun::datapath::af_xdp::{FRAME_SIZE, FRAMES};
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Server;
use xstun_testkit::lab::{Lab, Link};
use xstun_testkit::wait::{LIMIT, received};

/// The capabilities of the systemd unit, with CAP_IPC_LOCK instead of its LimitMEMLOCK.
const GRANTED: &str = "-all,+net_bind_service,+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock";
const CAP_NET_ADMIN: u64 = 1 << 12;
/// An unprivileged user.
const USER: &str = "65534";

fn ask(lab: &Lab, link: &Link) {
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 3478)), asker.address());
}

/// A hexadecimal field of every thread's status, the main thread's first.
fn of_threads(process: Pid, field: &str) -> Vec<u64> {
    let process = process.as_raw_nonzero().get();
    let directory = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads: Vec<i32> =
        directory.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    threads.sort_by_key(|&thread| (thread != process, thread));
    let of_one = |thread| {
        let status = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        u64::from_str_radix(value.unwrap_or_else(|| panic!("no {field}: {status}")).trim(), 16).unwrap()
    };
    threads.into_iter().map(of_one).collect()
}

/// Asserts that the main thread has exactly the capabilities `kept`, the other threads none, and that none
/// can gain any.
#[track_caller]
fn has_only(kept: u64, server: &Server) {
    for field in ["CapPrm", "CapEff"] {
        let threads = of_threads(server.pid(), field);
        assert!(threads.len() > 2, "workers run");
        assert_eq!(threads[0], kept, "{field} of the main thread");
        assert!(threads[1..].iter().all(|&capabilities| capabilities == 0), "{field}: {threads:x?}");
    }
    for field in ["CapInh", "CapAmb"] {
        assert!(of_threads(server.pid(), field).iter().all(|&capabilities| capabilities == 0), "{field}");
    }
    assert!(of_threads(server.pid(), "NoNewPrivs").iter().all(|&set| set == 1));
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_serving_server_has_no_capabilities() {
    let lab = Lab::new(1);
    for mode in [NATIVE, SOCKETS] {
        let server = mode.serve(&lab, &[]);
        has_only(0, &server);
        assert!(of_threads(server.pid(), "CapBnd").iter().all(|&capabilities| capabilities == 0), "{mode:?}");
        ask(&lab, lab.link());
        server.stop();
    }
    if busy_polling_works() {
        let server = NATIVE.serve(&lab, &["--busy-poll"]);
        has_only(CAP_NET_ADMIN, &server);
        server.stop();
    }
}

/// The BPF maps are still updated, and the program is detached at exit.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_units_capabilities_suffice_for_an_unprivileged_user() {
    let lab = Lab::new(1);
    let link = lab.link();
    let prefix = [
        "setpriv",
        "--reuid",
        USER,
        "--regid",
        USER,
        "--clear-groups",
        "--bounding-set",
        GRANTED,
        "--inh-caps",
        GRANTED,
        "--ambient-caps",
        GRANTED,
    ];
    let flags = ["--interface", &link.server_interface, "--datapath", "af-xdp", "--xdp-mode", "native"];
    let low = format!("{}:53", link.server_v4);
    let server = Server::start_behind(&lab.server, &prefix, &[&flags[..], &["--listen", &low]].concat());
    has_only(0, &server);
    let asker = Asker::new(&lab.client, SocketAddr::new(link.client_v4.into(), 0));
    assert_eq!(asker.ask(SocketAddr::new(link.server_v4.into(), 53)), asker.address());
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") > 0, "{}", counters.log);
    assert!(!counters.log.contains("not counted"), "losses are counted: {}", counters.log);
    assert!(!lab.server.has_xdp(&link.server_interface), "the program is detached");
}

/// The limit on locked memory is per user: it also counts the predecessor's UMEM, for a while even after its
/// exit. Here the limit is enough for one queue.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_take_over_stays_within_the_limit_on_locked_memory() {
    // A user of this test only, since the memory that others lock would count.
    const USER: &str = "65532";
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let control = format!("--control={}", directory.path().join("control").display());
    let limit = format!("--memlock={}", FRAMES * FRAME_SIZE);
    let granted = GRANTED.replace(",+ipc_lock", "");
    let capabilities = ["--bounding-set", &granted, "--inh-caps", &granted, "--ambient-caps", &granted];
    let user = ["prlimit", &limit, "setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"];
    let prefix = [&user[..], &capabilities].concat();
    let interface = &lab.link().server_interface;
    let flags = ["--interface", interface, "--datapath", "af-xdp", "--xdp-mode", "native", &control];
    let mut server = Server::start_behind(&lab.server, &prefix, &flags);
    for _ in 0..3 {
        ask(&lab, lab.link());
        let next = Server::start_behind(&lab.server, &prefix, &[&flags[..], &["--take-over"]].concat());
        server.ended();
        server = next;
    }
    ask(&lab, lab.link());
    let counters = server.stop();
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
}

/// The next message to the service manager, or `None` if none comes within the socket's time limit.
fn message(manager: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    let length = received(|| manager.recv(&mut buffer))?;
    Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_service_manager_is_notified_of_every_change() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let next = || message(&manager).expect("the server notifies its manager");
    // The next message that is not a keep-alive.
    let next_change = || loop {
        let message = next();
        if message != "WATCHDOG=1" {
            break message;
        }
    };
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let interface = &lab.link().server_interface;
    let flags = ["--interface", interface, "--datapath", "af-xdp", "--listen", "10.77.0.1:3478"];
    let server = Server::start_behind(&lab.server, &["env", &socket, "WATCHDOG_USEC=30000000"], &flags);
    let status = format!(
        "READY=1\nSTATUS=serving {interface}: 1 queues over AF_XDP (native); sockets on 10.77.0.1:3478"
    );
    assert_eq!(next(), status);
    assert_eq!(next(), "WATCHDOG=1");
    server.signal(Signal::HUP);
    assert!(next_change().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(next_change(), status);
    server.stop_by(Signal::TERM);
    assert_eq!(next_change(), "STOPPING=1\nSTATUS=stopping");
}

/// docs/operations.md warns of this: the host's firewall rules apply to the sockets only.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_hosts_firewall_sees_no_frame_that_af_xdp_receives() {
    let lab = Lab::new(1);
    let link = lab.link();
    lab.server.run(&["nft", "add", "table", "inet", "t"]);
    lab.server.run(&["nft", "add chain inet t in { type filter hook prerouting priority -400; }"]);
    lab.server.run(&["nft", "add", "rule", "inet", "t", "in", "udp", "dport", "3478", "drop"]);
    let server = NATIVE.serve(&lab, &[]);
    ask(&lab, link);
    server.stop();
    let server = SOCKETS.serve(&lab, &[]);
    let client = lab.client.enter(|| std::net::UdpSocket::bind((link.client_v4, 0))).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    client.send_to(b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl", (link.server_v4, 3478)).unwrap();
    assert_eq!(received(|| client.recv(&mut [0; 64])), None, "the sockets answered behind the firewall");
    assert_eq!(server.stop().get("sockets", "received"), 0);
}

/// Stops one thread of another process and prints `held`; the thread continues when this script exits.
/// Argument: the thread's ID.
const HOLD: &str = r#"
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
thread = int(sys.argv[1])
for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f'ptrace: errno {ctypes.get_errno()}')
print('held', flush=True)
sys.stdin.read()
"#;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_hanging_worker_is_logged_and_stops_the_watchdog() {
    let lab = Lab::new(1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let flags = ["--interface", &lab.link().server_interface, "--datapath", "af-xdp"];
    let server = Server::start_behind(&lab.server, &["env", &socket, "WATCHDOG_USEC=30000000"], &flags);
    let process = server.pid().as_raw_nonzero();
    let worker = std::fs::read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .map(|thread| thread.unwrap().path())
        .find(|thread| std::fs::read_to_string(thread.join("comm")).unwrap().contains("-q0"))
        .expect("queue 0 has a worker");
    let mut holder = std::process::Command::new("python3");
    holder.args(["-c", HOLD]).arg(worker.file_name().unwrap());
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let line = server.wait_for("the hanging worker to be logged", |line| {
        line["message"].as_str().is_some_and(|m| m.contains("hangs"))
    });
    assert_eq!(line["worker"], format!("queue 0 of {}", lab.link().server_interface));
    // Discard the messages sent so far; no further one may come.
    manager.set_nonblocking(true).unwrap();
    while message(&manager).is_some() {}
    manager.set_nonblocking(false).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(2500))).unwrap();
    assert_eq!(message(&manager), None, "the watchdog is notified although a worker hangs");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(message(&manager).expect("the watchdog is notified again"), "WATCHDOG=1");
    server.stop();
}
