//! Whether every worker still turns: what the service manager's watchdog is told depends on it.

use super::report::Counters;
use crate::datapath::Datapath;
use crate::stats::WorkerStats;
use std::collections::HashMap;

/// Looks in a row, a second apart, without a beat after which a worker counts as hanging. A worker beats
/// every second, whether anything arrives or not; a machine that is short of CPUs may delay one.
const LOOKS: u32 = 10;

/// Looks in a row without a beat after which a worker is doubted: enough for a load balancer to send its
/// clients elsewhere, not enough to end the server.
const DOUBT: u32 = 5;

/// What was seen of each worker's beats.
#[derive(Default)]
pub(super) struct Pulse {
    seen: HashMap<*const WorkerStats, Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    beats: u64,
    /// Looks since they last changed.
    still: u32,
}

impl Pulse {
    /// Whether this worker turned lately, as far as was seen.
    pub(super) fn turns(&self, stats: &WorkerStats) -> bool {
        self.seen.get(&std::ptr::from_ref(stats)).is_none_or(|seen| seen.still < DOUBT)
    }

    /// Takes in how far each worker is; whether all of them turn. One that hangs is told once.
    pub(super) fn beats(&mut self, datapath: &Datapath) -> bool {
        let workers = Counters::of_living(datapath);
        let streams = super::report::streams(datapath);
        let stats = workers.iter().map(|worker| (worker.place(), worker.stats()));
        let streams = streams.iter().map(|(name, stats)| ((*name).to_owned(), &stats.messages));
        let now: Vec<_> = stats.chain(streams).collect();
        self.seen.retain(|&known, _| now.iter().any(|(_, stats)| std::ptr::eq(known, *stats)));
        let mut all = true;
        for (place, stats) in now {
            let seen = self.seen.entry(std::ptr::from_ref(stats)).or_default();
            all &= !seen.look(stats.beats());
            if seen.still == LOOKS {
                tracing::error!(
                    worker = place,
                    "the worker hangs; the service manager's watchdog is not told"
                );
            }
        }
        all
    }
}

impl Seen {
    /// Takes in a look; whether the worker hangs.
    fn look(&mut self, beats: u64) -> bool {
        if beats != self.beats {
            *self = Seen { beats, still: 0 };
        } else {
            self.still = self.still.saturating_add(1);
        }
        self.still >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS, Seen};

    #[test]
    fn a_worker_hangs_after_looks_without_a_beat_and_recovers_with_one() {
        let mut seen = Seen::default();
        assert!(!seen.look(1));
        assert_eq!((1..=LOOKS).map(|_| seen.look(1)).filter(|hangs| *hangs).count(), 1, "at the last look");
        assert!(seen.look(1));
        assert!(!seen.look(2));
    }
}
