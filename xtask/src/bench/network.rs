//! The network of one measurement: two namespaces, a veth pair, and how its NAPI runs.

use crate::netns::Namespace;
use crate::run::{ask, exec, output};
use anyhow::{Context as _, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// ContenderKind of the namespaces, in their names.
pub(super) const KIND: &str = "bench";
/// The server's address.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
/// Start of the name of the server's end; the process number follows.
const SERVER_END: &str = "xb";
/// Start of the name of the generator's end.
const CLIENT_END: &str = "xc";

/// Which core does the receive work of each end, and who runs first there. On a veth pair, settings alone
/// decide this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Napi {
    /// The kernel's defaults: an end with an XDP program polls on the sender's core, one without takes each
    /// frame through that core's backlog.
    Plain,
    /// A kernel thread (its NAPI thread) polls the server's end on the server's own core, which thus pays
    /// for what it receives, as with a NIC whose interrupts go there. Both are in the real-time class.
    Thread(CoreOrder, ReplyReceiver),
}

/// Who runs first on the server's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CoreOrder {
    /// The server: frames that it cannot take find the pair's ring full and cost it nothing.
    ServerFirst,
    /// Neither: each runs until it has nothing to do, so that the other finds large batches.
    InTurn,
}

/// Where replies are received. On a veth pair one end always does some of the other's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyReceiver {
    /// By a NAPI thread on the generator's core, which the server's core has to wake.
    Thread,
    /// On the server's core, after each reply that it sends.
    Sender,
}

impl Napi {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Napi::Plain => "plain",
            Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Thread) => "server before its NAPI thread",
            Napi::Thread(CoreOrder::InTurn, ReplyReceiver::Thread) => "server and its NAPI thread in turn",
            Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Sender) => {
                "server before its NAPI thread, replies received on its core"
            }
            Napi::Thread(CoreOrder::InTurn, ReplyReceiver::Sender) => {
                "server and its NAPI thread in turn, replies received on its core"
            }
        }
    }

    /// The server's priority in the real-time class, if it is in it.
    pub(super) const fn server_priority(self) -> Option<u32> {
        match self {
            Napi::Plain => None,
            Napi::Thread(..) => Some(SERVER_PRIORITY),
        }
    }
}

/// Priorities in the real-time class, which keeps the machine's other work out of a measurement. Replies
/// are counted before further requests are sent, and a server runs before its NAPI thread.
const CLIENT_NAPI: u32 = 50;
const SERVER_PRIORITY: u32 = 10;
const SERVER_NAPI: u32 = 5;
pub(super) const GENERATOR: u32 = 5;

/// The cores of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores {
    pub(super) server: Vec<usize>,
    pub(super) generator: Vec<usize>,
}

impl Cores {
    /// The first `count` cores for the server and the last for the generator, which shares it if there are
    /// too few.
    pub(super) fn of(available: &[usize], count: usize) -> Self {
        let server = available.iter().copied().take(count).collect();
        Cores { server, generator: available.last().copied().into_iter().collect() }
    }

    /// Whether the generator runs on one of the server's cores.
    pub(super) fn shared(&self) -> bool {
        self.generator.iter().any(|core| self.server.contains(core))
    }
}

/// Cores as `taskset` takes them.
pub(super) fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Both namespaces and the pair. Drop deletes them.
pub(super) struct BenchNetwork {
    pub(super) server: Namespace,
    pub(super) client: Namespace,
    /// The server's end. NAPI threads are found by the interface's name, so no other run may use it.
    pub(super) interface: String,
    /// The generator's end.
    pub(super) peer: String,
    napi: Napi,
    cores: Cores,
}

impl BenchNetwork {
    pub(super) fn build(queues: usize, napi: Napi, cores: &Cores) -> Result<Self> {
        let network = BenchNetwork {
            server: Namespace::create(KIND, "server")?,
            client: Namespace::create(KIND, "client")?,
            interface: format!("{SERVER_END}{}", std::process::id()),
            peer: format!("{CLIENT_END}{}", std::process::id()),
            napi,
            cores: cores.clone(),
        };
        let (server, client) = (network.server.name(), network.client.name());
        let (interface, peer) = (&network.interface, &network.peer);
        let pair = format!(
            "link add {interface} netns {server} numrxqueues {queues} numtxqueues {queues} type veth \
             peer name {peer} netns {client} numrxqueues {queues} numtxqueues {queues}"
        );
        exec(Command::new("ip").args(pair.split_whitespace()))?;
        for (namespace, name, address) in
            [(&network.server, interface, SERVER), (&network.client, peer, CLIENT)]
        {
            namespace.ip(&format!("address add {address}/24 dev {name}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        // Makes the generator's sockets send complete checksums, as a NIC does.
        output(network.client.command("ethtool").args(["-K", peer, "tx", "off"]))?;
        if let Napi::Thread(_, replies) = napi {
            for (namespace, name) in [(&network.server, interface), (&network.client, peer)] {
                // GRO keeps NAPI on: without it the threads come and go with each XDP program.
                output(namespace.command("ethtool").args(["-K", name, "gro", "on"]))?;
                if name == peer && replies == ReplyReceiver::Sender {
                    continue;
                }
                let script = format!("echo 1 > /sys/class/net/{name}/threaded");
                output(namespace.command("sh").args(["-c", &script]))?;
            }
            network.pin(peer, &cores.generator, CLIENT_NAPI)?;
        }
        Ok(network)
    }

    /// Pins the server's NAPI threads as the settings say. Call it once the server is ready: attaching an
    /// XDP program may have started new threads.
    pub(super) fn pin_threads(&self) -> Result<()> {
        match self.napi {
            Napi::Plain => Ok(()),
            Napi::Thread(CoreOrder::ServerFirst, _) => {
                self.pin(&self.interface, &self.cores.server, SERVER_NAPI)
            }
            Napi::Thread(CoreOrder::InTurn, _) => {
                self.pin(&self.interface, &self.cores.server, SERVER_PRIORITY)
            }
        }
    }

    /// Spreads the NAPI threads of an end over the cores, with this real-time priority.
    fn pin(&self, interface: &str, cores: &[usize], priority: u32) -> Result<()> {
        for (pid, core) in napi_threads(interface).iter().zip(cores.iter().cycle()) {
            output(Command::new("taskset").args(["-p", "-c", &core.to_string(), &pid.to_string()]))?;
            output(Command::new("chrt").args(["-f", "-p", &priority.to_string(), &pid.to_string()]))?;
        }
        Ok(())
    }

    /// The kernel threads that poll the server's end.
    pub(super) fn napi_threads(&self) -> Vec<u32> {
        napi_threads(&self.interface)
    }

    /// How its NAPI runs.
    pub(super) fn napi(&self) -> Napi {
        self.napi
    }
}

/// The kernel threads that poll an interface, found by its name.
fn napi_threads(interface: &str) -> Vec<u32> {
    let prefix = format!("napi/{interface}-");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> =
        processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.retain(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(&prefix))
    });
    pids.sort_unstable();
    pids
}

/// The cores that this process may use, in ascending order.
pub(super) fn available_cores() -> Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).context("cannot read which cores may be used")?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// A line about the machine: kernel, processor, cores.
pub(super) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unnamed processor", |(_, model)| model.trim());
    let cores = available_cores().map_or(0, |cores| cores.len());
    let guest = if cpuinfo.contains(" hypervisor") { ", a virtual machine" } else { "" };
    format!("Linux {}, {model}, {cores} cores{guest}", kernel.trim())
}

/// The date, and the commit if there is one.
pub(super) fn day_and_commit(root: &Path) -> (String, Option<String>) {
    let day = ask(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let commit = ask(Command::new("git").current_dir(root).args(["rev-parse", "--short", "HEAD"]));
    (day.trim().to_owned(), commit.map(|commit| commit.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Cores, list};

    #[test]
    fn the_generator_has_a_core_of_its_own_where_there_is_one() {
        let one = Cores::of(&[0, 1], 1);
        assert_eq!((list(&one.server), list(&one.generator), one.shared()), ("0".into(), "1".into(), false));
        let two = Cores::of(&[0, 1], 2);
        assert_eq!((list(&two.server), list(&two.generator), two.shared()), ("0,1".into(), "1".into(), true));
        assert!(!Cores::of(&[2, 4, 6], 2).shared());
        assert!(Cores::of(&[3], 1).shared());
    }
}
