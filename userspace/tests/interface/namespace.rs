//! A network namespace for the duration of a test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "XSTUN_TEST_INSIDE";

/// Runs `body` in a new network namespace with a veth pair of two queues, `va` (192.0.2.1/24 and
/// 2001:db8::1/64) and `vb`, both up. `name` is the name of the calling test: the test binary runs again
/// with this test only, as a process inside the namespace, where sysfs and procfs show the namespace too.
pub(crate) fn inside(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let namespace = Namespace::new();
    let program: PathBuf = std::env::current_exe().unwrap();
    let output = Command::new("ip")
        .args(["netns", "exec", &namespace.0])
        .arg(program)
        .args(["--ignored", "--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    // A name that matches no test would succeed too.
    assert!(printed.contains("1 passed"), "{printed}");
}

/// Runs `ip` in the namespace of the caller.
pub(crate) fn ip(arguments: &str) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Same prefix as `lab::namespace_prefix`, by which the xtask verb finds namespaces that are left behind.
        let run = std::env::var("XSTUN_TEST_RUN").map_or(String::new(), |run| format!("run{run}-"));
        let name = format!("xstun-t-{}-{run}{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        ip(&format!("netns add {name}"));
        let namespace = Namespace(name);
        let within = |arguments: &str| ip(&format!("-n {} {arguments}", namespace.0));
        within(
            "link add name va numrxqueues 2 numtxqueues 2 type veth peer name vb numrxqueues 2 numtxqueues 2",
        );
        // Link-local addresses would appear asynchronously.
        within("link set va addrgenmode none");
        within("link set vb addrgenmode none");
        within("link set lo up");
        within("link set va up");
        within("link set vb up");
        within("addr add 192.0.2.1/24 brd + dev va");
        within("addr add 2001:db8::1/64 dev va nodad");
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}
