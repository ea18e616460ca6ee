//! What every worker of a generator knows, fixed before the first request: the server, where requests
//! come from, what they look like, and when they are due.

use super::board::Board;
use super::id::Key;
use super::shape::Mix;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A source address and port of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) source: SocketAddr,
    /// The address that every reply must tell; learnt from the first where an address translator may
    /// be in between.
    pub(super) mapped: Option<SocketAddr>,
}

/// Shared by all workers.
pub(super) struct Plan {
    pub(super) server: SocketAddr,
    pub(super) flows: Vec<Flow>,
    pub(super) mix: Mix,
    pub(super) key: Key,
    pub(super) board: Board,
    /// The moment from which all times count.
    pub(super) origin: Instant,
}

impl Plan {
    /// Nanoseconds since the origin.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// When one worker's requests are due in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Nanoseconds from the origin to the first.
    first: f64,
    /// Nanoseconds between two; none if requests are due whenever they can leave.
    interval: Option<f64>,
}

impl Pace {
    /// For the `turn`-th of `workers` that share `rate` requests a second from `start` on, in
    /// nanoseconds from the origin. Their requests interleave.
    pub(super) fn new(start: u64, rate: Option<f64>, turn: usize, workers: usize) -> Self {
        let apart = rate.map(|rate| 1e9 / rate);
        let first = start as f64 + apart.unwrap_or(0.0) * turn as f64;
        Pace { first, interval: apart.map(|apart| apart * workers as f64) }
    }

    /// When this worker's `count`-th request of the step is due, from 0.
    #[inline]
    pub(super) fn due(&self, count: u64, now: u64) -> u64 {
        self.interval.map_or(now, |interval| (self.first + count as f64 * interval) as u64)
    }

    /// How many are due at `now` when `sent` have left.
    #[inline]
    pub(super) fn owed(&self, sent: u64, now: u64) -> u64 {
        let Some(interval) = self.interval else { return u64::MAX };
        let since = now as f64 - self.first;
        if since < 0.0 { 0 } else { ((since / interval) as u64 + 1).saturating_sub(sent) }
    }

    /// How long nothing is due; nothing at all without a rate.
    #[inline]
    pub(super) fn pause(&self, sent: u64, now: u64) -> Duration {
        Duration::from_nanos(self.due(sent, now).saturating_sub(now))
    }

    /// Whether requests are due at set times.
    pub(super) fn is_open(&self) -> bool {
        self.interval.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_owed_is_due_and_the_next_is_not(
            start in 0u64..1 << 40, rate in 1.0f64..1e7, turn in 0usize..8, sent in 0u64..1000, after in 0u64..1 << 36,
        ) {
            let pace = Pace::new(start, Some(rate), turn, 8);
            let now = start + after;
            let owed = pace.owed(sent, now);
            if owed > 0 {
                prop_assert!(pace.due(sent + owed - 1, now) <= now);
                // One nanosecond for the rounding of either side.
                prop_assert!(pace.due(sent + owed, now) + 1 >= now);
            }
        }
    }

    #[test]
    fn workers_take_turns_and_keep_the_rate_together() {
        let paces: Vec<_> = (0..4).map(|turn| Pace::new(1_000, Some(1e6), turn, 4)).collect();
        let dues: Vec<_> =
            (0..2).flat_map(|count| paces.iter().map(move |pace| pace.due(count, 0))).collect();
        assert_eq!(dues, [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
        let owed: u64 = paces.iter().map(|pace| pace.owed(0, 1_000 + 1_000_000_000)).sum();
        assert_eq!(owed, 1_000_001);
        assert_eq!(paces[3].owed(0, 0), 0);
    }

    #[test]
    fn without_a_rate_all_is_due_at_once() {
        let pace = Pace::new(0, None, 0, 1);
        assert_eq!((pace.due(7, 42), pace.owed(1 << 40, 0)), (42, u64::MAX));
        assert!(pace.pause(3, 5).is_zero() && !pace.is_open());
    }
}
