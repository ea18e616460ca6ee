//! The place of one measurement: two network namespaces, a veth pair, and how its NAPI runs.

use crate::netns::Namespace;
use crate::run::{ask, exec, output};
use anyhow::{Context as _, Result};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// Start of the namespaces' names; the number of the process follows.
pub(super) const PREFIX: &str = "xstun-bench-";
/// The server's address.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
/// The generator's end of the pair.
pub(super) const PEER: &str = "xb-client";

/// Which core does the server end's receive work. On a veth pair that is a matter of settings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Napi {
    /// As the kernel makes the pair: without GRO. An end with an XDP program polls on the sender's
    /// core, one without takes each frame through that core's backlog.
    Plain,
    /// GRO on: polled on the sender's core, datagrams of a flow gathered.
    Gro,
    /// GRO on, polled by kernel threads on the server's cores.
    ThreadedServer,
    /// Taken through the backlog of the server's first core (RPS), in soft interrupts that go before
    /// everything else there, as those of a NIC do. An XDP program in the driver comes before it.
    Softirq,
}

impl Napi {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Napi::Plain => "plain",
            Napi::Gro => "GRO",
            Napi::ThreadedServer => "GRO, NAPI thread on the server's core",
            Napi::Softirq => "soft interrupts on the server's core",
        }
    }
}

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

/// One core as sysfs takes sets of them: hexadecimal words of 32 bits, the highest first.
fn mask(core: usize) -> String {
    let mut words = vec!["00000000".to_owned(); core / 32];
    words.insert(0, format!("{:x}", 1u32 << (core % 32)));
    words.join(",")
}

/// Both namespaces and the pair; all gone when it is dropped.
pub(super) struct Stage {
    pub(super) server: Namespace,
    pub(super) client: Namespace,
    /// The server's end. Its NAPI threads are known by its name, so no other run may have it.
    pub(super) interface: String,
    napi: Napi,
    cores: Cores,
}

impl Stage {
    pub(super) fn build(queues: usize, napi: Napi, cores: &Cores) -> Result<Self> {
        let stage = Stage {
            server: Namespace::create(PREFIX, "server")?,
            client: Namespace::create(PREFIX, "client")?,
            interface: format!("xb{}", std::process::id()),
            napi,
            cores: cores.clone(),
        };
        let (server, client, interface) = (stage.server.name(), stage.client.name(), &stage.interface);
        let pair = format!(
            "link add {interface} netns {server} numrxqueues {queues} numtxqueues {queues} type veth \
             peer name {PEER} netns {client} numrxqueues {queues} numtxqueues {queues}"
        );
        exec(Command::new("ip").args(pair.split_whitespace()))?;
        for (namespace, name, address) in
            [(&stage.server, interface.as_str(), SERVER), (&stage.client, PEER, CLIENT)]
        {
            namespace.ip(&format!("address add {address}/24 dev {name}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        // A NIC's frames have whole checksums; the generator's sockets shall send such, too.
        output(stage.client.command("ethtool").args(["-K", PEER, "tx", "off"]))?;
        if matches!(napi, Napi::Gro | Napi::ThreadedServer) {
            output(stage.server.command("ethtool").args(["-K", interface, "gro", "on"]))?;
        }
        let device = format!("/sys/class/net/{interface}");
        let script = match napi {
            Napi::Plain | Napi::Gro => return Ok(stage),
            Napi::ThreadedServer => format!("echo 1 > {device}/threaded"),
            Napi::Softirq => {
                let first = cores.server.first().copied().unwrap_or_default();
                format!("for queue in {device}/queues/rx-*; do echo {} > $queue/rps_cpus; done", mask(first))
            }
        };
        output(stage.server.command("sh").args(["-c", &script]))?;
        Ok(stage)
    }

    /// Puts the NAPI threads where the settings want them. To be called once the server serves: an
    /// XDP program's attachment may have made new ones.
    pub(super) fn pin_threads(&self) -> Result<()> {
        if self.napi != Napi::ThreadedServer {
            return Ok(());
        }
        for (pid, core) in self.napi_threads().into_iter().zip(self.cores.server.iter().cycle()) {
            output(Command::new("taskset").args(["-p", "-c", &core.to_string(), &pid.to_string()]))?;
        }
        Ok(())
    }

    /// The kernel threads that poll the server's end.
    pub(super) fn napi_threads(&self) -> Vec<u32> {
        let prefix = format!("napi/{}-", self.interface);
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let mut pids: Vec<u32> =
            processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.retain(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(&prefix))
        });
        pids.sort_unstable();
        pids
    }

    /// Frames that have come back to the generator's end.
    pub(super) fn returned(&self) -> Result<u64> {
        let file = format!("/sys/class/net/{PEER}/statistics/rx_packets");
        let text = output(self.client.command("cat").arg(&file))?;
        text.trim().parse().with_context(|| format!("{file} holds '{}'", text.trim()))
    }
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
    use super::{Cores, list, mask};

    #[test]
    fn a_core_is_a_bit_in_its_word() {
        assert_eq!([mask(0), mask(5), mask(33)], ["1", "20", "2,00000000"]);
    }

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
