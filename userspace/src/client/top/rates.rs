//! Rates from two statuses of a server.

use crate::status::{InterfaceStatus, MessageCounts, ServerStatus, WorkerStatus, XDP_PATH};
use serde::Serialize;
use std::collections::BTreeMap;
use xstun_ebpf::loss::DriverLoss;

/// Outcomes whose replies were ready but did not leave.
const LOST: [&str; 3] = ["transmit_full", "transmit_failed", "no_room"];
/// Counts of the kernel that are lost frames.
const DROPPED: [&str; 2] = ["rx_dropped", "rx_ring_full"];

/// What happened between two statuses, per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct StatusRates {
    /// Seconds between the two.
    pub(super) seconds: f64,
    /// Datagrams, frames and messages received.
    pub(super) received: f64,
    /// Replies that left.
    pub(super) replies: f64,
    /// Replies that did not leave, and frames that the kernel or a driver dropped.
    pub(super) lost: f64,
    /// Cores that the process kept busy.
    pub(super) cores: f64,
    /// Workers in the order of [`ServerStatus::workers`], then TCP and TLS in the order of [`ServerStatus::streams`].
    #[serde(rename = "places")]
    pub(super) workers: Vec<WorkerRates>,
    /// What the XDP programs answer by themselves, by interface.
    pub(super) kernel_answers: BTreeMap<String, WorkerRates>,
    /// By outcome.
    pub(super) outcomes: BTreeMap<String, f64>,
    /// Verdicts of the XDP programs, by interface.
    pub(super) verdicts: BTreeMap<String, BTreeMap<String, f64>>,
    /// Frames that the drivers lost after a verdict, by interface; without those that count as dropped.
    pub(super) driver_lost: BTreeMap<String, f64>,
}

/// The rates of a worker, of TCP or TLS, or of what an XDP program answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct WorkerRates {
    pub(super) path: String,
    pub(super) interface: Option<String>,
    pub(super) queue: Option<u32>,
    pub(super) core: Option<usize>,
    pub(super) received: f64,
    pub(super) replies: f64,
    /// Datagrams per batch. `None` if there was no batch.
    pub(super) batch: Option<f64>,
    pub(super) wakeups: f64,
    /// Frames that the kernel dropped.
    pub(super) dropped: f64,
}

impl StatusRates {
    /// Returns the rates between `previous` and `now`. `None` if the server restarted in between.
    pub(super) fn between(previous: &ServerStatus, now: &ServerStatus) -> Option<Self> {
        let seconds = now.uptime - previous.uptime;
        let restarted = (now.process.start_time - previous.process.start_time).abs() > 0.001;
        if seconds <= 0.0 || restarted {
            return None;
        }
        let mut rates = StatusRates {
            seconds,
            cores: (now.process.cpu_seconds - previous.process.cpu_seconds).max(0.0) / seconds,
            ..StatusRates::default()
        };
        for worker in &now.workers {
            let before = previous.workers.iter().find(|before| is_same(before, worker));
            let dropped =
                |worker: &WorkerStatus| DROPPED.iter().filter_map(|name| worker.kernel.get(*name)).sum();
            let worker_rates = WorkerRates {
                path: worker.path.clone(),
                interface: worker.interface.clone(),
                queue: worker.queue,
                core: Some(worker.core),
                dropped: rate(before.map_or(0, dropped), dropped(worker), seconds),
                ..WorkerRates::default()
            };
            let worker_rates = rates.add(before.map(|before| &before.counts), &worker.counts, worker_rates);
            rates.workers.push(worker_rates);
        }
        for stream in &now.streams {
            let before = previous.streams.iter().find(|before| before.path == stream.path);
            let stream_rates = WorkerRates { path: stream.path.clone(), ..WorkerRates::default() };
            let stream_rates = rates.add(before.map(|before| &before.counts), &stream.counts, stream_rates);
            rates.workers.push(stream_rates);
        }
        for interface in &now.interfaces {
            let before = previous.interfaces.iter().find(|before| before.name == interface.name);
            let count_before =
                |verdict| before.and_then(|before| before.verdicts.get(verdict)).copied().unwrap_or(0);
            let verdicts = interface
                .verdicts
                .iter()
                .map(|(verdict, count)| (verdict.clone(), rate(count_before(verdict), *count, seconds)));
            rates.verdicts.insert(interface.name.clone(), verdicts.collect());
            let lost = rate(before.map_or(0, driver_lost), driver_lost(interface), seconds);
            rates.driver_lost.insert(interface.name.clone(), lost);
            rates.lost += lost;
            let Some(answers) = &interface.kernel_answers else { continue };
            let before = before.and_then(|before| before.kernel_answers.as_ref());
            let (path, name) = (XDP_PATH.to_owned(), interface.name.clone());
            let program = WorkerRates { path, interface: Some(name.clone()), ..WorkerRates::default() };
            let program = rates.add(before.map(|before| &before.counts), &answers.counts, program);
            rates.kernel_answers.insert(name, program);
        }
        Some(rates)
    }

    /// Completes the rates of a worker, a transport or an XDP program with its counts, adds them to the totals and
    /// returns them. One without previous counts started from 0.
    fn add(
        &mut self,
        previous: Option<&MessageCounts>,
        now: &MessageCounts,
        mut worker: WorkerRates,
    ) -> WorkerRates {
        let (seconds, none) = (self.seconds, MessageCounts::default());
        let previous = previous.unwrap_or(&none);
        worker.received = rate(previous.received, now.received, seconds);
        worker.replies = rate(previous.replies, now.replies, seconds);
        worker.wakeups = rate(previous.wakeups, now.wakeups, seconds);
        let batches = rate(previous.batches, now.batches, seconds);
        worker.batch = (batches > 0.0).then(|| worker.received / batches);
        for (outcome, count) in &now.outcomes {
            let rate = rate(previous.outcomes.get(outcome).copied().unwrap_or(0), *count, seconds);
            *self.outcomes.entry(outcome.clone()).or_default() += rate;
            if LOST.contains(&outcome.as_str()) {
                self.lost += rate;
            }
        }
        self.received += worker.received;
        self.replies += worker.replies;
        self.lost += worker.dropped;
        worker
    }
}

/// Returns how many frames the driver lost that no AF_XDP socket counts as dropped.
fn driver_lost(interface: &InterfaceStatus) -> u64 {
    if interface.lost.is_empty() {
        return interface.driver_errors.unwrap_or(0);
    }
    let kinds = DriverLoss::ALL.into_iter().filter(|kind| !kind.counted_by_socket());
    kinds.filter_map(|kind| interface.lost.get(kind.name())).sum()
}

fn is_same(one: &WorkerStatus, other: &WorkerStatus) -> bool {
    (&one.path, &one.interface, one.queue, one.core)
        == (&other.path, &other.interface, other.queue, other.core)
}

/// Returns the rate of a count. A count that decreased was reset to 0.
fn rate(previous: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(previous).unwrap_or(now) as f64 / seconds
}
