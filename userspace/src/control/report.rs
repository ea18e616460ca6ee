//! What is logged at the start and at the end, and the status line for the service manager.

use crate::config::ranges;
use crate::datapath::socket::stream::StreamStats;
use crate::datapath::{Datapath, InterfacePath};
use crate::stats::WorkerStats;
use std::fmt::Display;
use std::sync::Arc;
use tracing::{info, warn};
use xstun_core::classify::Verdict;
use xstun_core::outcome::Outcome;
use xstun_ebpf::loss::DriverLoss;

/// Logs what serves, where, and each step down with its reason: a line for each interface, one for the sockets,
/// one each for TCP and TLS, then `ready`.
pub(super) fn serving(datapath: &Datapath) {
    for path in &datapath.interfaces {
        interface(path);
    }
    let cores: Vec<usize> = datapath.sockets.workers().map(|(core, _)| core).collect();
    info!(
        path = "sockets",
        workers = cores.len(),
        cores = ranges(&cores),
        listen = join(datapath.sockets.addresses()),
        "serving"
    );
    for transport in datapath.streams.transports() {
        info!(path = transport.name, listen = join(&transport.addresses), "serving");
    }
    if let Some(address) = datapath.config().fixed.metrics {
        info!(path = "metrics", listen = address.to_string(), "serving");
    }
    info!("ready");
}

fn interface(path: &InterfacePath) {
    let Some(af_xdp) = &path.af_xdp else { return on_sockets(path) };
    let cores: Vec<usize> = af_xdp.queues().map(|queue| queue.core).collect();
    let mut modes: Vec<&str> = af_xdp.queues().map(|queue| queue.mode.name()).collect();
    modes.dedup();
    info!(
        interface = path.name,
        path = "af-xdp",
        xdp_mode = af_xdp.mode().name(),
        bind_mode = modes.join(","),
        queues = cores.len(),
        cores = join(&cores),
        listen = join(&af_xdp.served().addresses()),
        kernel_answers = af_xdp.kernel_answers().to_string(),
        stepped_down = join(af_xdp.step_downs()),
        "serving"
    );
    if let Some(failure) = af_xdp.uncounted_losses() {
        info!(interface = path.name, "replies and frames that the driver loses are not counted: {failure}");
    }
}

fn on_sockets(path: &InterfacePath) {
    if path.stepped_down.is_empty() {
        info!(interface = path.name, path = "sockets", "serving");
    } else {
        warn!(interface = path.name, path = "sockets", stepped_down = join(&path.stepped_down), "serving");
    }
}

/// Returns what serves, in one line for the service manager.
pub(super) fn status(datapath: &Datapath) -> String {
    let over_af_xdp = |path: &InterfacePath| {
        let af_xdp = path.af_xdp.as_ref()?;
        let plain = if af_xdp.kernel_answers().on { ", plain requests in the XDP program" } else { "" };
        let (queues, mode) = (af_xdp.queues().count(), af_xdp.mode().name());
        Some(format!("{queues} queues over AF_XDP ({mode}){plain}"))
    };
    let interfaces = datapath.interfaces.iter().map(|path| {
        let by = over_af_xdp(path).unwrap_or_else(|| "sockets".to_owned());
        format!("{}: {by}; ", path.name)
    });
    format!("serving {}sockets on {}", interfaces.collect::<String>(), join(datapath.sockets.addresses()))
}

/// The counters of one worker, and where it works.
pub(super) struct WorkerCounters {
    path: &'static str,
    interface: Option<String>,
    /// Queue of the interface, or core of a socket worker.
    number: u64,
    stats: Arc<WorkerStats>,
}

impl WorkerCounters {
    /// Returns the worker's name for the log.
    pub(super) fn name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("queue {} of {interface}", self.number),
            None => format!("sockets of core {}", self.number),
        }
    }

    /// Returns the counters.
    pub(super) fn stats(&self) -> &WorkerStats {
        &self.stats
    }

    /// Returns the counters of every worker, also of those that have ended.
    pub(super) fn of_all(datapath: &Datapath) -> Vec<WorkerCounters> {
        let mut all = WorkerCounters::of_running(datapath);
        for path in &datapath.interfaces {
            for queue in path.af_xdp.iter().flat_map(|af_xdp| af_xdp.ended()) {
                all.push(WorkerCounters::of_queue(path, queue.number, &queue.stats));
            }
        }
        all
    }

    fn of_queue(path: &InterfacePath, number: u32, stats: &Arc<WorkerStats>) -> Self {
        let (interface, stats) = (Some(path.name.clone()), Arc::clone(stats));
        WorkerCounters { path: "af-xdp", interface, number: number.into(), stats }
    }

    /// Returns the counters of every worker that has not ended.
    pub(super) fn of_running(datapath: &Datapath) -> Vec<WorkerCounters> {
        let mut all = Vec::new();
        for path in &datapath.interfaces {
            for queue in path.af_xdp.iter().flat_map(|af_xdp| af_xdp.queues()) {
                all.push(WorkerCounters::of_queue(path, queue.number, queue.stats));
            }
        }
        for (core, stats) in datapath.sockets.workers() {
            all.push(WorkerCounters {
                path: "sockets",
                interface: None,
                number: core as u64,
                stats: Arc::clone(stats),
            });
        }
        all
    }
}

/// Returns the counters of TCP and TLS, by name.
pub(super) fn streams(datapath: &Datapath) -> Vec<(&'static str, Arc<StreamStats>)> {
    let transports = datapath.streams.transports().iter();
    transports.map(|transport| (transport.name, Arc::clone(&transport.stats))).collect()
}

/// What one XDP program counted, and whether it answered.
pub(super) struct ProgramCounters {
    interface: String,
    /// The nonzero verdicts, and what the driver lost after them.
    verdicts: String,
    /// How the requests ended that it answered.
    answers: String,
    /// Whether it answered plain requests at the end, and why.
    kernel_answers: String,
}

impl ProgramCounters {
    /// Detaches each XDP program, and returns what it counted up to its last frame.
    pub(super) fn at_end(datapath: &mut Datapath) -> Vec<ProgramCounters> {
        let of = |path: &mut InterfacePath| {
            let af_xdp = path.af_xdp.as_mut()?;
            let kernel_answers = af_xdp.kernel_answers().to_string();
            af_xdp.detach();
            let verdicts = Verdict::ALL.into_iter().zip(af_xdp.verdicts().ok()?);
            let verdicts = verdicts.map(|(verdict, count)| (verdict.name().to_owned(), count));
            let losses = DriverLoss::ALL.into_iter().zip(af_xdp.losses().unwrap_or_default());
            let losses = losses.map(|(loss, count)| (format!("lost_{}", loss.name()), count));
            let answers = Outcome::ALL.map(Outcome::name).into_iter().zip(af_xdp.kernel_outcomes().ok()?);
            Some(ProgramCounters {
                interface: path.name.clone(),
                verdicts: nonzero(verdicts.chain(losses)),
                answers: nonzero(answers),
                kernel_answers,
            })
        };
        datapath.interfaces.iter_mut().filter_map(of).collect()
    }
}

/// Logs every nonzero count.
pub(super) fn counters(
    workers: &[WorkerCounters],
    streams: &[(&'static str, Arc<StreamStats>)],
    programs: &[ProgramCounters],
) {
    for ProgramCounters { interface, verdicts, answers, kernel_answers } in programs {
        info!(path = "xdp", interface, counters = verdicts, answers, kernel_answers, "counters");
    }
    for WorkerCounters { path, interface, number, stats } in workers {
        let counters = nonzero(stats.named());
        match interface {
            Some(interface) => info!(path, interface, queue = number, counters, "counters"),
            None => info!(path, core = number, counters, "counters"),
        }
    }
    for (path, stats) in streams {
        info!(path, counters = nonzero(stats.named()), "counters");
    }
}

fn nonzero(counts: impl Iterator<Item = (impl Display, u64)>) -> String {
    let parts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}={count}")).collect();
    parts.join(" ")
}

fn join<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
