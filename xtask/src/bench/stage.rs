//! The place of one measurement: two network namespaces, a veth pair, and how its NAPI runs.

use crate::netns::Namespace;
use crate::run::{ask, exec, output};
use anyhow::{Context as _, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// Kind of the namespaces, in their names.
pub(super) const KIND: &str = "bench";
/// The server's address.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
/// Start of the names of the pair's ends; the number of the process follows.
const SERVER_END: &str = "xb";
const CLIENT_END: &str = "xc";

/// Which core does the receive work of each end, and who goes first there. On a veth pair that is a
/// matter of settings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Napi {
    /// As the kernel makes the pair: an end with an XDP program polls on the sender's core, one without
    /// takes each frame through that core's backlog.
    Plain,
    /// The server's end is polled by a kernel thread (its NAPI thread) on the server's own core: it pays
    /// for what it receives, as on a NIC whose interrupts go there. Both are of the real-time class.
    Thread(Order, Replies),
}

/// Who goes first on the server's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The server: what it cannot take finds the ring of the pair full, and has cost it nothing.
    ServerFirst,
    /// Neither: each goes on until it has nothing to do, so that the other finds much at a time.
    InTurn,
}

/// Where replies are received. A pair makes one end pay for what is the other's, in one way or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    /// A NAPI thread on the generator's core, which the server's core has to wake.
    Thread,
    /// The server's core, after each reply that it sends.
    Sender,
}

impl Napi {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Napi::Plain => "plain",
            Napi::Thread(Order::ServerFirst, Replies::Thread) => "server before its NAPI thread",
            Napi::Thread(Order::InTurn, Replies::Thread) => "server and its NAPI thread in turn",
            Napi::Thread(Order::ServerFirst, Replies::Sender) => {
                "server before its NAPI thread, replies received on its core"
            }
            Napi::Thread(Order::InTurn, Replies::Sender) => {
                "server and its NAPI thread in turn, replies received on its core"
            }
        }
    }

    /// The server's priority in the real-time class, where it is of that.
    pub(super) const fn server_priority(self) -> Option<u32> {
        match self {
            Napi::Plain => None,
            Napi::Thread(..) => Some(SERVER_PRIORITY),
        }
    }
}

/// Priorities in the real-time class, which keeps the machine's other work out of a measurement: replies
/// are counted before more is asked, and a server goes before its NAPI thread.
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
    /// `count` cores for the server from the first on, and the last for the generator, which shares
    /// it where there are too few.
    pub(super) fn of(available: &[usize], count: usize) -> Self {
        let server = available.iter().copied().take(count).collect();
        Cores { server, generator: available.last().copied().into_iter().collect() }
    }

    /// Whether the generator runs on a core of the server's.
    pub(super) fn shared(&self) -> bool {
        self.generator.iter().any(|core| self.server.contains(core))
    }
}

/// Cores as `taskset` takes them.
pub(super) fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Both namespaces and the pair; all gone when it is dropped.
pub(super) struct Stage {
    pub(super) server: Namespace,
    pub(super) client: Namespace,
    /// The server's end. The NAPI threads of both are known by their names, so no other run may have them.
    pub(super) interface: String,
    /// The generator's end.
    pub(super) peer: String,
    napi: Napi,
    cores: Cores,
}

impl Stage {
    pub(super) fn build(queues: usize, napi: Napi, cores: &Cores) -> Result<Self> {
        let stage = Stage {
            server: Namespace::create(KIND, "server")?,
            client: Namespace::create(KIND, "client")?,
            interface: format!("{SERVER_END}{}", std::process::id()),
            peer: format!("{CLIENT_END}{}", std::process::id()),
            napi,
            cores: cores.clone(),
        };
        let (server, client) = (stage.server.name(), stage.client.name());
        let (interface, peer) = (&stage.interface, &stage.peer);
        let pair = format!(
            "link add {interface} netns {server} numrxqueues {queues} numtxqueues {queues} type veth \
             peer name {peer} netns {client} numrxqueues {queues} numtxqueues {queues}"
        );
        exec(Command::new("ip").args(pair.split_whitespace()))?;
        for (namespace, name, address) in [(&stage.server, interface, SERVER), (&stage.client, peer, CLIENT)]
        {
            namespace.ip(&format!("address add {address}/24 dev {name}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        // A NIC's frames have whole checksums; the generator's sockets shall send such, too.
        output(stage.client.command("ethtool").args(["-K", peer, "tx", "off"]))?;
        if let Napi::Thread(_, replies) = napi {
            for (namespace, name) in [(&stage.server, interface), (&stage.client, peer)] {
                // GRO turns NAPI on for good: without it the threads come and go with each XDP program.
                output(namespace.command("ethtool").args(["-K", name, "gro", "on"]))?;
                if name == peer && replies == Replies::Sender {
                    continue;
                }
                let script = format!("echo 1 > /sys/class/net/{name}/threaded");
                output(namespace.command("sh").args(["-c", &script]))?;
            }
            stage.pin(peer, &cores.generator, CLIENT_NAPI)?;
        }
        Ok(stage)
    }

    /// Puts the server's NAPI threads where the settings want them. To be called once the server serves:
    /// an XDP program's attachment may have made new ones.
    pub(super) fn pin_threads(&self) -> Result<()> {
        match self.napi {
            Napi::Plain => Ok(()),
            Napi::Thread(Order::ServerFirst, _) => self.pin(&self.interface, &self.cores.server, SERVER_NAPI),
            Napi::Thread(Order::InTurn, _) => self.pin(&self.interface, &self.cores.server, SERVER_PRIORITY),
        }
    }

    /// Spreads the NAPI threads of an end over the cores, with a priority of the real-time class.
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

/// The kernel threads that poll an interface. They are known by its name alone.
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

/// The cores that this process may use, ascending.
pub(super) fn available_cores() -> Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).context("cannot tell which cores may be used")?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// The machine, in a line for the page: kernel, processor, cores.
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

/// The day, and the commit where there is one.
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
