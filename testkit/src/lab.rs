//! A laboratory of one test's own: two network namespaces joined by veth pairs, gone when the test ends.

pub mod ask;
pub mod packets;
pub mod server;
pub mod transaction;
pub mod wire;

use rustix::fs::FlockOperation;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds that a command may take; generous, since nothing is timed.
const LIMIT_SECONDS: u32 = 60;
const PREFIX: &str = "xstun-t-";

/// Start of the names of this process's namespaces: `xstun-t-<process>-`. Under a developer verb `run<verb>-`
/// follows, by which its check for leftovers knows them.
fn namespace_prefix() -> String {
    let run = std::env::var("XSTUN_TEST_RUN").map_or(String::new(), |run| format!("run{run}-"));
    format!("{PREFIX}{}-{run}", std::process::id())
}

/// A server's and a client's namespace.
pub struct Lab {
    /// Where the server runs.
    pub server: Namespace,
    /// Where clients run.
    pub client: Namespace,
    links: Vec<Link>,
}

/// One veth pair: an interface in either namespace, with addresses on both.
#[derive(Clone, Debug)]
pub struct Link {
    /// Name of the interface in the server's namespace.
    pub server_interface: String,
    /// Name of the interface in the client's namespace.
    pub client_interface: String,
    /// Hardware address of the server's interface.
    pub server_mac: [u8; 6],
    /// Hardware address of the client's interface.
    pub client_mac: [u8; 6],
    /// IPv4 address of the server's interface, in a /24.
    pub server_v4: Ipv4Addr,
    /// IPv4 address of the client's interface.
    pub client_v4: Ipv4Addr,
    /// IPv6 address of the server's interface, in a /64.
    pub server_v6: Ipv6Addr,
    /// IPv6 address of the client's interface.
    pub client_v6: Ipv6Addr,
}

impl Link {
    /// The names and addresses of the pair with this number, whose subnets are its own.
    pub fn numbered(number: u8) -> Self {
        Link {
            server_interface: format!("xs{number}"),
            client_interface: format!("xc{number}"),
            server_mac: [2, 0, 0, 0, number, 1],
            client_mac: [2, 0, 0, 0, number, 2],
            server_v4: Ipv4Addr::new(10, 77, number, 1),
            client_v4: Ipv4Addr::new(10, 77, number, 2),
            server_v6: Ipv6Addr::new(0xfd77, 0, 0, number.into(), 0, 0, 0, 1),
            client_v6: Ipv6Addr::new(0xfd77, 0, 0, number.into(), 0, 0, 0, 2),
        }
    }

    /// Brings both ends up with their addresses. Repeat it after an end was down, which loses its IPv6 addresses.
    pub fn raise(&self, server: &Namespace, client: &Namespace) {
        for (namespace, interface, v4, v6) in [
            (server, &self.server_interface, self.server_v4, self.server_v6),
            (client, &self.client_interface, self.client_v4, self.client_v6),
        ] {
            let (v4, v6) = (format!("{v4}/24"), format!("{v6}/64"));
            ip(&["-n", namespace.name(), "link", "set", interface, "up"]);
            ip(&["-n", namespace.name(), "addr", "replace", &v4, "dev", interface]);
            ip(&["-n", namespace.name(), "addr", "replace", &v6, "dev", interface, "nodad"]);
        }
    }
}

impl Lab {
    /// Two namespaces joined by one veth pair with this many queues at both ends.
    pub fn new(queues: u32) -> Self {
        static REAPER: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        REAPER.call_once(reap);
        let name = format!("{}{}", namespace_prefix(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = Namespace::new(format!("{name}-s"));
        let client = Namespace::new(format!("{name}-c"));
        let mut lab = Lab { server, client, links: Vec::new() };
        lab.add_link(queues);
        lab
    }

    /// Joins the namespaces by one more veth pair with subnets of its own.
    pub fn add_link(&mut self, queues: u32) -> Link {
        let index = u8::try_from(self.links.len()).expect("a lab has a handful of links");
        let link = Link::numbered(index);
        let queues = queues.to_string();
        let (server_mac, client_mac) = (mac_text(link.server_mac), mac_text(link.client_mac));
        // Both ends are created in their namespaces; the machine's own namespace never sees them.
        let mut words = vec!["-n", self.server.name(), "link", "add", &link.server_interface];
        words.extend([
            "address",
            &server_mac,
            "numrxqueues",
            &queues,
            "numtxqueues",
            &queues,
            "type",
            "veth",
        ]);
        words.extend(["peer", "name", &link.client_interface, "netns", self.client.name()]);
        words.extend(["address", &client_mac, "numrxqueues", &queues, "numtxqueues", &queues]);
        ip(&words);
        for (namespace, interface) in
            [(&self.server, &link.server_interface), (&self.client, &link.client_interface)]
        {
            // With transmit offload a local sender leaves the checksum unfinished. Tests that want that switch it on
            // again; all others see what a real wire would carry.
            namespace.run(&["ethtool", "-K", interface, "tx", "off"]);
        }
        link.raise(&self.server, &self.client);
        self.links.push(link.clone());
        link
    }

    /// The first veth pair.
    pub fn link(&self) -> &Link {
        &self.links[0]
    }
}

/// A network namespace, deleted on drop.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace. [`reap`] finds only names that begin with [`PREFIX`] and a process ID.
    pub fn new(name: String) -> Self {
        {
            // iproute2 makes /run/netns a mount point on first use; two processes doing so at once fail.
            let _lock = Lock::take();
            ip(&["netns", "add", &name]);
        }
        let namespace = Namespace { name };
        namespace.enter(|| {
            // Link-local addresses are usable at once, and hosts do not look for routers.
            for (key, value) in [("accept_dad", "0"), ("router_solicitations", "0")] {
                let path = format!("/proc/sys/net/ipv6/conf/default/{key}");
                std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
        ip(&["-n", namespace.name(), "link", "set", "lo", "up"]);
        namespace
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in the namespace and is killed when the thread that starts it ends.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL"]).arg(program);
        command
    }

    /// Runs a command to its end, or for a minute at most.
    pub fn output(&self, words: &[&str]) -> Output {
        let mut command = self.command("timeout");
        command.args(["--kill-after", "1", &LIMIT_SECONDS.to_string(), "setpriv", "--pdeathsig", "KILL"]);
        command.args(words);
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        succeeded(words, self.output(words))
    }

    /// Runs `work` on a thread inside the namespace; sockets that it opens stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let path = Path::new("/run/netns").join(&self.name);
                let file = File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap_or_else(|error| panic!("setns {path:?}: {error}"));
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Whether an XDP program is attached to the interface, in whichever mode.
    pub fn has_xdp(&self, interface: &str) -> bool {
        self.run(&["ip", "-j", "link", "show", "dev", interface]).contains("\"xdp\"")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A panic here would hide the test's own.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Deletes the namespaces of test processes that were killed before they could.
fn reap() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if !Path::new("/proc").join(owner).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

/// Runs `ip`, which must succeed, and returns what it printed.
pub fn ip(words: &[&str]) -> String {
    let output =
        Command::new("ip").args(words).output().expect("ip of iproute2 runs: apt-get install iproute2");
    succeeded(&[&["ip"], words].concat(), output)
}

fn succeeded(words: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "`{}`: {}\n{}{}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Formats a hardware address as `ip` and sysfs do.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Held by one test process at a time, and released by the kernel when it dies.
struct Lock {
    // Closing the file releases the lock.
    _file: File,
}

impl Lock {
    fn take() -> Self {
        let path = std::env::temp_dir().join("xstun-tests.lock");
        let file = File::create(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Lock { _file: file }
    }
}
