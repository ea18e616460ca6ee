//! Whether frames that the XDP program redirects arrive at the workers: some drivers bind a socket and never
//! deliver.

use std::collections::HashMap;
use xstun_core::classify::Verdict;

/// Frames redirected between two checks, without one arriving, that count as a failure. A few may be on their
/// way at any moment.
const FRAMES: u64 = 64;
/// Failures in a row, a second apart, after which delivery counts as broken.
const FAILURES: u32 = 3;

/// The results of the checks so far, by interface.
#[derive(Debug, Default)]
pub(super) struct DeliveryCheck {
    seen: HashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    redirected: u64,
    arrived: u64,
    failures: u32,
    broken: bool,
}

impl Seen {
    /// Takes in the counts of one check; returns whether delivery has just turned out to be broken.
    fn check(&mut self, redirected: u64, arrived: u64) -> bool {
        if arrived != self.arrived {
            *self = Seen { redirected, arrived, failures: 0, broken: false };
            return false;
        }
        self.failures = if redirected >= self.redirected + FRAMES { self.failures + 1 } else { 0 };
        let now = self.failures >= FAILURES && !self.broken;
        self.broken |= now;
        now
    }
}

impl DeliveryCheck {
    /// Whether frames of this interface probably do not arrive.
    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.seen.get(name).is_some_and(|seen| seen.broken || seen.failures >= FAILURES - 1)
    }

    /// Checks an interface; returns whether delivery has just turned out to be broken.
    pub(super) fn is_broken(&mut self, name: &str, path: &crate::datapath::af_xdp::AfXdp) -> bool {
        let Ok(verdicts) = path.verdicts() else { return false };
        let redirected = [Verdict::Redirect, Verdict::RedirectNoRoom]
            .map(|verdict| verdicts[verdict.index()])
            .iter()
            .sum();
        // A frame that the kernel counts as dropped at the socket was delivered to it.
        let arrived = path
            .queues()
            .map(|queue| {
                let kernel = &queue.stats.kernel;
                queue.stats.received.get()
                    + kernel.rx_dropped.get()
                    + kernel.rx_ring_full.get()
                    + kernel.rx_fill_ring_empty.get()
            })
            .sum();
        self.seen.entry(name.to_owned()).or_default().check(redirected, arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn broken_delivery_is_reported_once() {
        let mut seen = Seen::default();
        assert_eq!(
            [100, 200, 300, 400].map(|redirected| seen.check(redirected, 0)),
            [false, false, true, false]
        );
    }

    #[test]
    fn one_arrival_or_too_few_frames_raise_no_alarm() {
        let mut seen = Seen::default();
        assert!([(100, 0), (200, 0), (300, 1), (400, 2)].into_iter().all(|(r, a)| !seen.check(r, a)));
        let mut quiet = Seen::default();
        assert!((1..50).all(|redirected| !quiet.check(redirected, 0)));
    }
}
