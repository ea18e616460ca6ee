//! Fills in the [`ServerStatus`] of this moment.

use super::heartbeats::Heartbeats;
use super::process;
use super::state::SharedState;
use super::supervisor::Supervisor;
use crate::datapath::af_xdp::{AfXdp, AnswerDecision, BindMode, XdpMode};
use crate::datapath::socket::stream::{CloseReason, RefusalReason, StreamTransport};
use crate::datapath::{self, Datapath, InterfacePath};
use crate::stats::WorkerStats;
use crate::status::{
    InterfaceStatus, KernelAnswersStatus, LadderRung, MessageCounts, ServerStatus, TransportStatus,
    WorkerStatus,
};
use std::collections::BTreeMap;
use xstun_core::outcome::Outcome;
use xstun_ebpf::loss::DriverLoss;

/// Returns the status of `datapath` with the results of `supervisor` and `heartbeats`.
pub(super) fn of(
    datapath: &Datapath,
    supervisor: &Supervisor,
    heartbeats: &Heartbeats,
    state: &SharedState,
) -> ServerStatus {
    let uptime = supervisor.step_downs.uptime();
    let mut workers = Vec::new();
    for path in &datapath.interfaces {
        let Some(af_xdp) = &path.af_xdp else { continue };
        let of = |queue, core, stats: &WorkerStats| WorkerStatus {
            interface: Some(path.name.clone()),
            queue: Some(queue),
            kernel: owned(stats.kernel.named()),
            ..worker("af-xdp", core, stats, heartbeats)
        };
        for queue in af_xdp.queues() {
            let worker = of(queue.number, queue.core, queue.stats);
            workers.push(WorkerStatus { frames: owned(queue.stats.frames.named()), ..worker });
        }
        for queue in af_xdp.ended() {
            workers.push(WorkerStatus { ended: true, ..of(queue.number, queue.core, &queue.stats) });
        }
    }
    for (core, stats) in datapath.sockets.workers() {
        workers.push(worker("sockets", core, stats, heartbeats));
    }
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state.get().name().to_owned(),
        af_xdp_built: datapath::ebpf_object_present(),
        uptime,
        interfaces: datapath.interfaces.iter().map(|path| interface(path, supervisor)).collect(),
        sockets: datapath.sockets.addresses().to_vec(),
        workers,
        streams: datapath
            .streams
            .transports()
            .iter()
            .map(|transport| stream(transport, heartbeats))
            .collect(),
        step_downs: supervisor.step_downs.last(),
        process: process::figures(supervisor.step_downs.started_at()),
    }
}

fn worker(path: &str, core: usize, stats: &WorkerStats, heartbeats: &Heartbeats) -> WorkerStatus {
    let ticking = heartbeats.is_ticking(stats);
    WorkerStatus { path: path.to_owned(), core, ticking, counts: counts(stats), ..WorkerStatus::default() }
}

fn counts(stats: &WorkerStats) -> MessageCounts {
    MessageCounts {
        received: stats.received.get(),
        batches: stats.batches.get(),
        wakeups: stats.wakeups.get(),
        replies: stats.outcomes().filter(|(outcome, _)| outcome.is_reply()).map(|(_, count)| count).sum(),
        special: owned(stats.special()),
        outcomes: stats.outcomes().map(|(outcome, count)| (outcome.name().to_owned(), count)).collect(),
    }
}

fn interface(path: &InterfacePath, supervisor: &Supervisor) -> InterfaceStatus {
    let Some(af_xdp) = &path.af_xdp else { return on_sockets(path, supervisor) };
    let mut queues = no_queues();
    let served = af_xdp.queues().filter(|_| !af_xdp.has_stepped_down()).map(|queue| queue.mode);
    for bound in served {
        let rung = match (af_xdp.mode(), bound) {
            (XdpMode::Native, BindMode::ZeroCopy) => LadderRung::NativeZeroCopy,
            (XdpMode::Native, BindMode::Copy) => LadderRung::NativeCopy,
            (XdpMode::Generic, _) => LadderRung::Generic,
        };
        *queues.entry(rung.name().to_owned()).or_default() += 1;
    }
    let over_af_xdp: u32 = queues.values().sum();
    *queues.entry(LadderRung::Sockets.name().to_owned()).or_default() =
        path.receive_queues.saturating_sub(over_af_xdp);
    let verdicts = af_xdp.verdicts().unwrap_or_default();
    let names = xstun_core::classify::Verdict::ALL.iter().map(|verdict| verdict.name());
    InterfaceStatus {
        name: path.name.clone(),
        queues,
        verdicts: owned(names.zip(verdicts)),
        lost: af_xdp.losses().map(|counts| owned(loss_names().zip(counts))).unwrap_or_default(),
        uncounted_losses: af_xdp.uncounted_losses().map(ToString::to_string),
        driver_errors: supervisor.transmission.driver_errors(&path.name),
        listen: af_xdp.served().addresses(),
        step_downs: supervisor.step_downs.count(&path.name),
        attached: Some(supervisor.attachment.is_attached(&path.name)),
        delivering: Some(!supervisor.delivery.is_doubtful(&path.name)),
        kernel_answers: Some(kernel_answers(af_xdp, supervisor.attachment.is_attached(&path.name))),
    }
}

fn kernel_answers(af_xdp: &AfXdp, attached: bool) -> KernelAnswersStatus {
    let decision = match af_xdp.kernel_answers() {
        decision if decision.on && !attached => AnswerDecision::off("the XDP program is not attached"),
        decision => decision,
    };
    let outcomes = Outcome::ALL.into_iter().zip(af_xdp.kernel_outcomes().unwrap_or([0; Outcome::COUNT]));
    let replies = outcomes.clone().filter(|(outcome, _)| outcome.is_reply()).map(|(_, count)| count).sum();
    KernelAnswersStatus {
        serving: decision.on,
        reason: decision.why,
        counts: MessageCounts {
            // The program counts a request only when it answers it.
            received: outcomes.clone().map(|(_, count)| count).sum(),
            replies,
            outcomes: owned(outcomes.map(|(outcome, count)| (outcome.name(), count))),
            ..MessageCounts::default()
        },
    }
}

fn loss_names() -> impl Iterator<Item = &'static str> {
    DriverLoss::ALL.into_iter().map(DriverLoss::name)
}

fn on_sockets(path: &InterfacePath, supervisor: &Supervisor) -> InterfaceStatus {
    let mut queues = no_queues();
    *queues.entry(LadderRung::Sockets.name().to_owned()).or_default() = path.receive_queues;
    let step_downs = supervisor.step_downs.count(&path.name);
    InterfaceStatus { name: path.name.clone(), queues, step_downs, ..InterfaceStatus::default() }
}

/// Returns every rung with zero queues.
fn no_queues() -> BTreeMap<String, u32> {
    LadderRung::ALL.map(|rung| (rung.name().to_owned(), 0)).into()
}

fn stream(transport: &StreamTransport, heartbeats: &Heartbeats) -> TransportStatus {
    let stats = &transport.stats;
    // Read before `accepted`, so that a connection that ends in between counts as open.
    let endings = owned(CloseReason::ALL.map(|reason| (reason.name(), stats.closed(reason))));
    let accepted = stats.accepted.get();
    TransportStatus {
        path: transport.name.to_owned(),
        listen: transport.addresses.clone(),
        ticking: heartbeats.is_ticking(&stats.messages),
        counts: counts(&stats.messages),
        accepted,
        open: accepted.saturating_sub(endings.values().sum()),
        refused: owned(RefusalReason::ALL.map(|reason| (reason.name(), stats.refused(reason)))),
        accept_failed: stats.accept_failed.get(),
        endings,
    }
}

fn owned<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
