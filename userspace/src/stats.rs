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
    /// Turns of the worker's loop that found nothing to do; see [`WorkerStats::beats`].
    pub idle: Counter,
    /// The kernel's own counts of an AF_XDP socket, as it last told them.
    pub kernel: KernelStats,
    /// Where the frames of an AF_XDP socket were at the worker's last look.
    pub frames: FrameLevels,
}

/// Where the frames of one UMEM are, by number: levels, not counts.
#[derive(Debug, Default)]
pub struct FrameLevels {
    /// With the worker, unused.
    pub free: Counter,
    /// In the fill ring, in the NIC, or received and not taken yet.
    pub fill: Counter,
    /// Taken from the receive ring and being worked on.
    pub held: Counter,
    /// In the transmit ring, in the NIC, or completed and not taken back yet.
    pub transmit: Counter,
}

impl FrameLevels {
    /// Every level with its name.
    pub fn named(&self) -> [(&'static str, u64); 4] {
        [
            ("free", self.free.get()),
            ("fill", self.fill.get()),
            ("held", self.held.get()),
            ("transmit", self.transmit.get()),
        ]
    }
}

/// XDP_STATISTICS of one AF_XDP socket: frames that never reached the worker, and refusals.
#[derive(Debug, Default)]
pub struct KernelStats {
    /// Frames dropped for want of a frame in the fill ring, or longer than a UMEM frame.
    pub rx_dropped: Counter,
    /// Frames dropped because the receive ring was full: the worker cannot keep up.
    pub rx_ring_full: Counter,
    /// Times the fill ring was found empty.
    pub rx_fill_ring_empty: Counter,
    /// Fill ring entries that the kernel refused: a fault of this program.
    pub rx_invalid: Counter,
    /// Transmit ring entries that the kernel refused: a fault of this program.
    pub tx_invalid: Counter,
}

impl KernelStats {
    /// Every count with its name.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("rx_dropped", self.rx_dropped.get()),
            ("rx_ring_full", self.rx_ring_full.get()),
            ("rx_fill_ring_empty", self.rx_fill_ring_empty.get()),
            ("rx_invalid", self.rx_invalid.get()),
            ("tx_invalid", self.tx_invalid.get()),
        ]
    }
}

impl WorkerStats {
    /// A number that grows at least once a second as long as the worker turns.
    pub fn beats(&self) -> u64 {
        self.batches.get().wrapping_add(self.idle.get())
    }

    /// Counts one datagram's end.
    #[inline(always)]
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].add(1);
    }

    /// How many datagrams ended so.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].get()
    }

    /// Every count with its name: outcomes, then what else the worker counts.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let rest = [
            ("received", self.received.get()),
            ("unfinished_checksums", self.unfinished_checksums.get()),
            ("batches", self.batches.get()),
            ("wakeups", self.wakeups.get()),
        ];
        self.outcomes().map(|(outcome, count)| (outcome.name(), count)).chain(rest).chain(self.kernel.named())
    }

    /// Every outcome with its count.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.outcome(outcome)))
    }
}
