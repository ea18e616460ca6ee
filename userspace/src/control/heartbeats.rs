//! Whether every worker still works: the watchdog of the service manager depends on it.

use super::report::{self, WorkerCounters};
use crate::datapath::Datapath;
use crate::stats::WorkerStats;
use std::collections::HashMap;

/// Checks in a row, a second apart, without a heartbeat after which a worker counts as hanging. A worker
/// beats every second, whether anything arrives or not; a host that is short of CPUs may delay one.
const HANGING: u32 = 10;

/// Checks in a row without a heartbeat after which a worker is reported as not ticking: enough for a load
/// balancer to send its clients elsewhere, not enough to end the server.
const NOT_TICKING: u32 = 5;

/// What was seen of each worker's heartbeats.
#[derive(Default)]
pub(super) struct Heartbeats {
    seen: HashMap<*const WorkerStats, Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    beats: u64,
    /// Checks since `beats` last changed.
    still: u32,
}

impl Heartbeats {
    /// Whether this worker made progress recently.
    pub(super) fn is_ticking(&self, stats: &WorkerStats) -> bool {
        self.seen.get(&std::ptr::from_ref(stats)).is_none_or(|seen| seen.still < NOT_TICKING)
    }

    /// Reads the heartbeat of every worker; returns true unless one hangs. Logs a worker that hangs once.
    pub(super) fn check(&mut self, datapath: &Datapath) -> bool {
        let workers = WorkerCounters::of_running(datapath);
        let streams = report::streams(datapath);
        let stats = workers.iter().map(|worker| (worker.name(), worker.stats()));
        let streams = streams.iter().map(|(name, stats)| ((*name).to_owned(), &stats.messages));
        let now: Vec<_> = stats.chain(streams).collect();
        self.seen.retain(|&known, _| now.iter().any(|(_, stats)| std::ptr::eq(known, *stats)));
        let mut all = true;
        for (worker, stats) in now {
            let seen = self.seen.entry(std::ptr::from_ref(stats)).or_default();
            all &= !seen.is_hanging(stats.beats());
            if seen.still == HANGING {
                tracing::error!(worker, "the worker hangs; the service manager's watchdog is not notified");
            }
        }
        all
    }
}

impl Seen {
    /// Takes in the count of one check; returns whether the worker hangs.
    fn is_hanging(&mut self, beats: u64) -> bool {
        if beats != self.beats {
            *self = Seen { beats, still: 0 };
        } else {
            self.still = self.still.saturating_add(1);
        }
        self.still >= HANGING
    }
}

#[cfg(test)]
mod tests {
    use super::{HANGING, Seen};

    #[test]
    fn a_worker_hangs_after_checks_without_a_heartbeat_and_recovers_with_one() {
        let mut seen = Seen::default();
        assert!(!seen.is_hanging(1));
        let hanging = (1..=HANGING).map(|_| seen.is_hanging(1)).filter(|hangs| *hangs).count();
        assert_eq!(hanging, 1, "at the last check");
        assert!(seen.is_hanging(1));
        assert!(!seen.is_hanging(2));
    }
}
