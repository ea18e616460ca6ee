//! The server as it is now, in the form that is told.

use super::care::Care;
use super::process;
use super::pulse::Pulse;
use super::ready::Ready;
use crate::datapath::socket::stream::{Ending, Transport};
use crate::datapath::{self, Datapath, InterfacePath};
use crate::stats::WorkerStats;
use crate::status::{Counts, Interface, RUNGS, Status, Stream, Worker};
use std::collections::BTreeMap;

/// What is told of `datapath`, and of what `care` and `pulse` saw of it.
pub(super) fn of(datapath: &Datapath, care: &Care, pulse: &Pulse, ready: &Ready) -> Status {
    let uptime = care.journal.uptime();
    let mut workers = Vec::new();
    #[cfg(feature = "af-xdp")]
    for path in &datapath.interfaces {
        let Some(af_xdp) = &path.af_xdp else { continue };
        let of = |queue, core, stats: &WorkerStats| Worker {
            interface: Some(path.name.clone()),
            queue: Some(queue),
            kernel: owned(stats.kernel.named()),
            ..worker("af-xdp", core, stats, pulse)
        };
        for (queue, core, _, stats) in af_xdp.queues() {
            workers.push(Worker { frames: owned(stats.frames.named()), ..of(queue, core, stats) });
        }
        for queue in af_xdp.ended() {
            workers.push(Worker { ended: true, ..of(queue.number, queue.core, &queue.stats) });
        }
    }
    for (core, stats) in datapath.sockets.workers() {
        workers.push(worker("sockets", core, stats, pulse));
    }
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: ready.state().name().to_owned(),
        af_xdp_built: datapath::ebpf_object_present(),
        uptime,
        interfaces: datapath.interfaces.iter().map(|path| interface(path, care)).collect(),
        sockets: datapath.sockets.addresses().to_vec(),
        workers,
        streams: datapath.streams.transports().iter().map(|transport| stream(transport, pulse)).collect(),
        step_downs: care.journal.last(),
        process: process::figures(care.journal.started_at()),
    }
}

fn worker(path: &str, core: usize, stats: &WorkerStats, pulse: &Pulse) -> Worker {
    let ticking = pulse.turns(stats);
    Worker { path: path.to_owned(), core, ticking, counts: counts(stats), ..Worker::default() }
}

fn counts(stats: &WorkerStats) -> Counts {
    Counts {
        received: stats.received.get(),
        batches: stats.batches.get(),
        wakeups: stats.wakeups.get(),
        replies: stats.outcomes().filter(|(outcome, _)| outcome.is_reply()).map(|(_, count)| count).sum(),
        unfinished_checksums: stats.unfinished_checksums.get(),
        outcomes: stats.outcomes().map(|(outcome, count)| (outcome.name().to_owned(), count)).collect(),
    }
}

#[cfg(feature = "af-xdp")]
fn interface(path: &InterfacePath, care: &Care) -> Interface {
    use crate::datapath::af_xdp::{BindMode, XdpMode};

    let Some(af_xdp) = &path.af_xdp else { return on_sockets(path, care) };
    let mut queues = no_queues();
    let served = af_xdp.queues().filter(|_| !af_xdp.is_released()).map(|(_, _, bound, _)| bound);
    for bound in served {
        let [zero_copy, copy, generic, _] = RUNGS;
        let rung = match (af_xdp.mode(), bound) {
            (XdpMode::Native, BindMode::ZeroCopy) => zero_copy,
            (XdpMode::Native, BindMode::Copy) => copy,
            (XdpMode::Generic, _) => generic,
        };
        *queues.entry(rung.to_owned()).or_default() += 1;
    }
    let over_af_xdp: u32 = queues.values().sum();
    *queues.entry(RUNGS[3].to_owned()).or_default() = path.receive_queues.saturating_sub(over_af_xdp);
    let verdicts = af_xdp.verdicts().unwrap_or_default();
    let names = xstun_ebpf::Verdict::ALL.iter().map(|verdict| verdict.name());
    Interface {
        name: path.name.clone(),
        queues,
        verdicts: owned(names.zip(verdicts)),
        listen: af_xdp.served().addresses(),
        step_downs: care.journal.count(&path.name),
        attached: Some(care.attachment.holds(&path.name)),
        delivering: Some(!care.delivery.is_doubted(&path.name)),
    }
}

#[cfg(not(feature = "af-xdp"))]
fn interface(path: &InterfacePath, care: &Care) -> Interface {
    on_sockets(path, care)
}

fn on_sockets(path: &InterfacePath, care: &Care) -> Interface {
    let mut queues = no_queues();
    *queues.entry(RUNGS[3].to_owned()).or_default() = path.receive_queues;
    let step_downs = care.journal.count(&path.name);
    Interface { name: path.name.clone(), queues, step_downs, ..Interface::default() }
}

/// Every rung, with nothing on it.
fn no_queues() -> BTreeMap<String, u32> {
    RUNGS.iter().map(|rung| ((*rung).to_owned(), 0)).collect()
}

fn stream(transport: &Transport, pulse: &Pulse) -> Stream {
    let stats = &transport.stats;
    // In this order, so that a connection that ends between the two readings counts as open.
    let endings = owned(Ending::ALL.map(|ending| (ending.name(), stats.ended(ending))));
    let accepted = stats.accepted.get();
    Stream {
        path: transport.name.to_owned(),
        listen: transport.addresses.clone(),
        ticking: pulse.turns(&stats.messages),
        counts: counts(&stats.messages),
        accepted,
        open: accepted.saturating_sub(endings.values().sum()),
        refused: owned([
            ("limit", stats.refused_limit.get()),
            ("source_limit", stats.refused_source_limit.get()),
        ]),
        accept_failed: stats.accept_failed.get(),
        endings,
    }
}

fn owned<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
