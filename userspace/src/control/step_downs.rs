//! Every step down, at the start and since, for the status.

use super::process;
use crate::datapath::Datapath;
use crate::status::StepDownStatus;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Most step downs that are kept with their reason.
const KEPT: usize = 32;

/// The number of step downs of each interface, and the last ones in full.
#[derive(Debug)]
pub(super) struct StepDownLog {
    started: Instant,
    started_at: f64,
    last: VecDeque<StepDownStatus>,
    of_interface: BTreeMap<String, u64>,
}

impl StepDownLog {
    fn empty() -> Self {
        StepDownLog {
            started: Instant::now(),
            started_at: process::now(),
            last: VecDeque::new(),
            of_interface: BTreeMap::new(),
        }
    }

    /// Begins with the step downs of a datapath that has just started.
    pub(super) fn new(datapath: &Datapath) -> Self {
        let mut log = StepDownLog::empty();
        for path in &datapath.interfaces {
            for step in &path.stepped_down {
                log.add(&path.name, &step.from, &step.reason);
            }
            for step in path.af_xdp.iter().flat_map(|af_xdp| af_xdp.step_downs()) {
                log.add(&path.name, &step.from, &step.reason);
            }
        }
        log
    }

    /// Adds one that happened now.
    pub(super) fn add(&mut self, interface: &str, from: &str, reason: &str) {
        *self.of_interface.entry(interface.to_owned()).or_default() += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(StepDownStatus {
            at: self.uptime(),
            interface: interface.to_owned(),
            from: from.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Returns the seconds since the start.
    pub(super) fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Returns when the server started, in seconds since 1970; a clock that is set later does not change it.
    pub(super) fn started_at(&self) -> f64 {
        self.started_at
    }

    /// Returns the last ones, the latest last.
    pub(super) fn last(&self) -> Vec<StepDownStatus> {
        self.last.iter().cloned().collect()
    }

    /// Returns the number of this interface.
    pub(super) fn count(&self, interface: &str) -> u64 {
        self.of_interface.get(interface).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, StepDownLog};

    #[test]
    fn only_the_last_are_kept_and_all_are_counted() {
        let mut log = StepDownLog::empty();
        for number in 0..100 {
            log.add("eth0", &format!("queue {number}"), "the interface is gone");
        }
        log.add("eth1", "af-xdp", "no driver");
        let last = log.last();
        assert_eq!((log.count("eth0"), log.count("eth1"), log.count("eth2")), (100, 1, 0));
        assert_eq!(last.len(), KEPT);
        assert_eq!((&last[0].from[..], &last[KEPT - 1].from[..]), ("queue 69", "af-xdp"));
    }
}
