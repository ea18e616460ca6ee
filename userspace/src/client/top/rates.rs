//! From two looks to rates.

use crate::status::{Counts, Status, Worker};
use serde::Serialize;
use std::collections::BTreeMap;

/// Outcomes of replies that were ready and did not leave.
const LOST: [&str; 3] = ["transmit_full", "transmit_failed", "no_room"];
/// Counts of the kernel that are lost frames.
const DROPPED: [&str; 2] = ["rx_dropped", "rx_ring_full"];

/// What became of a server between two looks, a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Seconds between the looks.
    pub(super) seconds: f64,
    /// Datagrams, frames and messages.
    pub(super) received: f64,
    /// Replies that left.
    pub(super) replies: f64,
    /// Replies that did not leave, and frames that the kernel dropped.
    pub(super) lost: f64,
    /// Cores that the process kept busy.
    pub(super) cores: f64,
    /// Workers, in the order of [`Status::workers`], then TCP and TLS in that of [`Status::streams`].
    pub(super) places: Vec<Place>,
    /// By outcome.
    pub(super) outcomes: BTreeMap<String, f64>,
    /// Verdicts of the XDP programs, by interface.
    pub(super) verdicts: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A worker, TCP or TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) interface: Option<String>,
    pub(super) queue: Option<u32>,
    pub(super) core: Option<usize>,
    pub(super) received: f64,
    pub(super) replies: f64,
    /// Datagrams in a batch; none if there was no batch.
    pub(super) batch: Option<f64>,
    pub(super) wakeups: f64,
    /// Frames that the kernel dropped.
    pub(super) dropped: f64,
}

impl Rates {
    /// What became between `before` and `now`; nothing if the server was started anew since.
    pub(super) fn between(before: &Status, now: &Status) -> Option<Self> {
        let seconds = now.uptime - before.uptime;
        let restarted = (now.process.start_time - before.process.start_time).abs() > 0.001;
        if seconds <= 0.0 || restarted {
            return None;
        }
        let mut rates = Rates {
            seconds,
            cores: (now.process.cpu_seconds - before.process.cpu_seconds).max(0.0) / seconds,
            ..Rates::default()
        };
        for worker in &now.workers {
            let known = before.workers.iter().find(|known| is_same(known, worker));
            let then = known.map_or_else(Counts::default, |known| known.counts.clone());
            let dropped = |worker: &Worker| DROPPED.iter().filter_map(|name| worker.kernel.get(*name)).sum();
            let dropped = per(known.map_or(0, dropped), dropped(worker), seconds);
            rates.add(
                &then,
                &worker.counts,
                Place {
                    path: worker.path.clone(),
                    interface: worker.interface.clone(),
                    queue: worker.queue,
                    core: Some(worker.core),
                    dropped,
                    ..Place::default()
                },
            );
        }
        for stream in &now.streams {
            let known = before.streams.iter().find(|known| known.path == stream.path);
            let then = known.map_or_else(Counts::default, |known| known.counts.clone());
            rates.add(&then, &stream.counts, Place { path: stream.path.clone(), ..Place::default() });
        }
        for interface in &now.interfaces {
            let known = before.interfaces.iter().find(|known| known.name == interface.name);
            let then = |verdict| known.and_then(|known| known.verdicts.get(verdict)).copied().unwrap_or(0);
            let verdicts = interface.verdicts.iter();
            let verdicts =
                verdicts.map(|(verdict, count)| (verdict.clone(), per(then(verdict), *count, seconds)));
            rates.verdicts.insert(interface.name.clone(), verdicts.collect());
        }
        Some(rates)
    }

    /// Adds one place, with what was counted there.
    fn add(&mut self, then: &Counts, now: &Counts, mut place: Place) {
        let seconds = self.seconds;
        place.received = per(then.received, now.received, seconds);
        place.replies = per(then.replies, now.replies, seconds);
        place.wakeups = per(then.wakeups, now.wakeups, seconds);
        let batches = per(then.batches, now.batches, seconds);
        place.batch = (batches > 0.0).then(|| place.received / batches);
        for (outcome, count) in &now.outcomes {
            let rate = per(then.outcomes.get(outcome).copied().unwrap_or(0), *count, seconds);
            *self.outcomes.entry(outcome.clone()).or_default() += rate;
            if LOST.contains(&outcome.as_str()) {
                self.lost += rate;
            }
        }
        self.received += place.received;
        self.replies += place.replies;
        self.lost += place.dropped;
        self.places.push(place);
    }
}

fn is_same(one: &Worker, other: &Worker) -> bool {
    (&one.path, &one.interface, one.queue, one.core)
        == (&other.path, &other.interface, other.queue, other.core)
}

/// Rate of a count. One that is smaller than it was began anew.
fn per(then: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(then).unwrap_or(now) as f64 / seconds
}
