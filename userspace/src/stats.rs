//! Counters of one worker: written by it alone, read by anyone.

use crate::outcome::Outcome;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count with one writer. Adding is a plain load and store, never a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. To be called by the counter's one writer only: two would lose counts.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes over a value that somebody else counts (the kernel).
    #[inline(always)]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts. Aligned so that two workers never share a cache line (two lines on CPUs
/// that fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    outcomes: [Counter; Outcome::COUNT],
    /// Datagrams or frames received.
    pub received: Counter,
    /// Batches of at least one datagram.
    pub batches: Counter,
    /// System calls that told the kernel to transmit or to receive.
    pub wakeups: Counter,
    /// Datagrams whose UDP checksum was only begun, as a local sender with transmit offload leaves
    /// it. They are answered.
    pub unfinished_checksums: Counter,
}

impl WorkerStats {
    /// Counts one datagram's end.
    #[inline(always)]
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].add(1);
    }

    /// How many datagrams ended so.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].get()
    }

    /// Every outcome with its count.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.outcome(outcome)))
    }
}
