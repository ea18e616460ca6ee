//! What was stepped down from, at the start and since, so that it can be told later.

use super::process;
use crate::datapath::Datapath;
use crate::status::StepDown;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// The last ones that are remembered with their reason.
const REMEMBERED: usize = 32;

/// Every step down, by number; the last ones whole.
#[derive(Debug)]
pub(super) struct Journal {
    started: Instant,
    started_at: f64,
    last: VecDeque<StepDown>,
    of_interface: BTreeMap<String, u64>,
}

impl Journal {
    fn empty() -> Self {
        Journal {
            started: Instant::now(),
            started_at: process::now(),
            last: VecDeque::new(),
            of_interface: BTreeMap::new(),
        }
    }

    /// Begins with what was stepped down from at the start, which is now.
    pub(super) fn begin(datapath: &Datapath) -> Self {
        let mut journal = Journal::empty();
        for path in &datapath.interfaces {
            for step in &path.stepped_down {
                journal.note(&path.name, &step.from, &step.reason);
            }
            #[cfg(feature = "af-xdp")]
            for step in path.af_xdp.iter().flat_map(|af_xdp| &af_xdp.stepped_down) {
                journal.note(&path.name, &step.from, &step.reason);
            }
        }
        journal
    }

    /// Notes one that happened now.
    pub(super) fn note(&mut self, interface: &str, from: &str, reason: &str) {
        *self.of_interface.entry(interface.to_owned()).or_default() += 1;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(StepDown {
            at: self.uptime(),
            interface: interface.to_owned(),
            from: from.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Seconds since the start.
    pub(super) fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// When the server started, in seconds since 1970; the same however the clock is set.
    pub(super) fn started_at(&self) -> f64 {
        self.started_at
    }

    /// The last ones, the latest last.
    pub(super) fn last(&self) -> Vec<StepDown> {
        self.last.iter().cloned().collect()
    }

    /// How many there were of this interface.
    pub(super) fn count(&self, interface: &str) -> u64 {
        self.of_interface.get(interface).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, REMEMBERED};

    #[test]
    fn only_the_last_are_remembered_and_all_are_counted() {
        let mut journal = Journal::empty();
        for number in 0..100 {
            journal.note("eth0", &format!("queue {number}"), "the interface is gone");
        }
        journal.note("eth1", "af-xdp", "no driver");
        let last = journal.last();
        assert_eq!((journal.count("eth0"), journal.count("eth1"), journal.count("eth2")), (100, 1, 0));
        assert_eq!(last.len(), REMEMBERED);
        assert_eq!((&last[0].from[..], &last[REMEMBERED - 1].from[..]), ("queue 69", "af-xdp"));
    }
}
