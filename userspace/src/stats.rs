//! Counters of one worker: only the worker writes them, any thread reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use xstun_core::outcome::Outcome;

/// A counter with one writer. Adding is a plain load and store, never a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the counter's one writer may call it: two writers would lose counts.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets a value that is counted elsewhere: by the kernel, or a level.
    #[inline(always)]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one worker. Aligned so that two workers never share a cache line (or a pair of lines, on CPUs
/// that fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    outcomes: [Counter; Outcome::COUNT],
    /// Datagrams or frames received.
    pub received: Counter,
    /// Batches of at least one datagram.
    pub batches: Counter,
    /// System calls that made the kernel transmit or receive.
    pub wakeups: Counter,
    /// Datagrams with an unfinished UDP checksum, as a local sender with checksum offload leaves it. They are
    /// answered.
    pub unfinished_checksums: Counter,
    /// Passes of the worker's loop that found nothing to do; see `WorkerStats::beats`.
    pub idle: Counter,
    /// The kernel's own counters of an AF_XDP socket, as last read.
    pub kernel: KernelStats,
    /// Where the frames of an AF_XDP socket were when the worker last published it.
    pub frames: FrameLevels,
}

/// Pairs the value of each counter with the name of its field.
macro_rules! named_counters {
    ($stats:expr, $($field:ident),+) => {
        [$((stringify!($field), $stats.$field.get())),+]
    };
}
pub(crate) use named_counters;

/// Declares counters whose fields and names in `named` come from one list.
macro_rules! counters {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: Counter,)+
        }

        impl $name {
            /// Returns every value with its name.
            pub fn named(&self) -> [(&'static str, u64); [$(stringify!($field)),+].len()] {
                named_counters!(self, $($field),+)
            }
        }
    };
}

counters! {
    /// How many frames of one UMEM are where: levels, not counts.
    pub struct FrameLevels {
        /// With the worker, unused.
        free,
        /// In the fill ring, in the NIC, or received and not taken by the worker yet.
        fill,
        /// Taken from the receive ring and in use by the worker.
        held,
        /// In the transmit ring, in the NIC, or completed and not taken back yet.
        transmit,
    }
}

counters! {
    /// XDP_STATISTICS of one AF_XDP socket: frames that never reached the worker, and refused ring entries.
    pub struct KernelStats {
        /// Frames dropped because the fill ring was empty, or because they are longer than a UMEM frame.
        rx_dropped,
        /// Frames dropped because the receive ring was full: the worker cannot keep up.
        rx_ring_full,
        /// Times the fill ring was found empty.
        rx_fill_ring_empty,
        /// Fill ring entries that the kernel refused: a fault of this program.
        rx_invalid,
        /// Transmit ring entries that the kernel refused: a fault of this program.
        tx_invalid,
    }
}

impl WorkerStats {
    /// A number that grows at least once a second while the worker runs.
    pub(crate) fn beats(&self) -> u64 {
        self.batches.get().wrapping_add(self.idle.get())
    }

    /// Counts one datagram by its outcome.
    #[inline(always)]
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].add(1);
    }

    /// How many datagrams had this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].get()
    }

    /// Returns every count with its name: the outcomes, then the other counters.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let outcomes = self.outcomes().map(|(outcome, count)| (outcome.name(), count));
        let received = named_counters!(self, received);
        let work = named_counters!(self, batches, wakeups);
        outcomes.chain(received).chain(self.special()).chain(work).chain(self.kernel.named())
    }

    /// Returns the counters of special cases with their names, which the status reports by name.
    pub(crate) fn special(&self) -> [(&'static str, u64); 1] {
        named_counters!(self, unfinished_checksums)
    }

    /// Returns every outcome with its count.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.outcome(outcome)))
    }
}
