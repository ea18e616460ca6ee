//! What every worker of a generator knows, fixed before the first request: the server, the flows, the
//! shapes of the requests, and when they are due.

use super::id::TransactionKey;
use super::shape::ShapeMix;
use super::tracker::RequestTracker;
use crate::error::{Failure, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A source address and port of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadFlow {
    pub(super) source: SocketAddr,
    /// The mapped address that every reply must have. `None` if a NAT may be in the path: then the first
    /// reply decides.
    pub(super) mapped: Option<SocketAddr>,
}

/// Shared by all workers.
pub(super) struct LoadPlan {
    pub(super) server: SocketAddr,
    pub(super) flows: Vec<LoadFlow>,
    pub(super) mix: ShapeMix,
    pub(super) key: TransactionKey,
    pub(super) tracker: RequestTracker,
    /// The moment that all times count from.
    pub(super) origin: Instant,
}

impl LoadPlan {
    /// Returns a plan for this many workers, with a random key.
    ///
    /// # Errors
    /// Usage: too many workers for the 8 bits of a transaction ID. System: no random numbers.
    pub(super) fn new(
        server: SocketAddr,
        flows: impl Iterator<Item = LoadFlow>,
        mix: ShapeMix,
        workers: usize,
    ) -> Result<Arc<Self>> {
        if workers > usize::from(u8::MAX) {
            return Err(Failure::usage(format!("{workers} workers exceed the maximum of {}", u8::MAX)));
        }
        Ok(Arc::new(LoadPlan {
            server,
            flows: flows.collect(),
            mix,
            key: TransactionKey::random()?,
            tracker: RequestTracker::new(workers),
            origin: Instant::now(),
        }))
    }

    /// Nanoseconds since the origin.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// When the requests of one worker are due in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Nanoseconds from the origin to the first request.
    first: f64,
    /// Nanoseconds between two requests. `None` if requests are due as soon as they can leave.
    interval: Option<f64>,
}

impl Pace {
    /// The pace of worker `index` of `workers`, which share `rate` requests per second from `start` on
    /// (nanoseconds from the origin). Their requests interleave.
    pub(super) fn new(start: u64, rate: Option<f64>, index: usize, workers: usize) -> Self {
        let spacing = rate.map(|rate| 1e9 / rate);
        let first = start as f64 + spacing.unwrap_or(0.0) * index as f64;
        Pace { first, interval: spacing.map(|spacing| spacing * workers as f64) }
    }

    /// When this worker's request `count` of the step, from 0, is due.
    #[inline]
    pub(super) fn due(&self, count: u64, now: u64) -> u64 {
        self.interval.map_or(now, |interval| (self.first + count as f64 * interval) as u64)
    }

    /// How many requests are due at `now` and not yet sent, after `sent` requests.
    #[inline]
    pub(super) fn backlog(&self, sent: u64, now: u64) -> u64 {
        let Some(interval) = self.interval else { return u64::MAX };
        let since = now as f64 - self.first;
        if since < 0.0 { 0 } else { ((since / interval) as u64 + 1).saturating_sub(sent) }
    }

    /// How long it takes until the next request is due; zero without a rate.
    #[inline]
    pub(super) fn pause(&self, sent: u64, now: u64) -> Duration {
        Duration::from_nanos(self.due(sent, now).saturating_sub(now))
    }

    /// Whether requests are due at fixed times (an open loop).
    pub(super) fn is_open_loop(&self) -> bool {
        self.interval.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_backlog_is_due_and_the_next_request_is_not(
            start in 0u64..1 << 40, rate in 1.0f64..1e7, index in 0usize..8, sent in 0u64..1000, after in 0u64..1 << 36,
        ) {
            let pace = Pace::new(start, Some(rate), index, 8);
            let now = start + after;
            let backlog = pace.backlog(sent, now);
            if backlog > 0 {
                prop_assert!(pace.due(sent + backlog - 1, now) <= now);
                // One nanosecond for the rounding of either side.
                prop_assert!(pace.due(sent + backlog, now) + 1 >= now);
            }
        }
    }

    #[test]
    fn workers_interleave_and_keep_the_rate_together() {
        let paces: Vec<_> = (0..4).map(|index| Pace::new(1_000, Some(1e6), index, 4)).collect();
        let dues: Vec<_> =
            (0..2).flat_map(|count| paces.iter().map(move |pace| pace.due(count, 0))).collect();
        assert_eq!(dues, [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
        let backlog: u64 = paces.iter().map(|pace| pace.backlog(0, 1_000 + 1_000_000_000)).sum();
        assert_eq!(backlog, 1_000_001);
        assert_eq!(paces[3].backlog(0, 0), 0);
    }

    #[test]
    fn without_a_rate_every_request_is_due_at_once() {
        let pace = Pace::new(0, None, 0, 1);
        assert_eq!((pace.due(7, 42), pace.backlog(1 << 40, 0)), (42, u64::MAX));
        assert!(pace.pause(3, 5).is_zero() && !pace.is_open_loop());
    }
}
