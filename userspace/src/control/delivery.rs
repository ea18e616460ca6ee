//! Whether frames that the XDP program redirects arrive at the workers: some drivers bind a socket and never
//! deliver.

use std::collections::HashMap;
use xstun_core::classify::Verdict;
use xstun_ebpf::loss::DriverLoss;

/// Frames redirected between two checks, without one arriving, that count as a failure. A few may be on their
/// way at any moment.
const FRAMES: u64 = 64;
/// The same while the program answers plain requests, so that only the rest is redirected: as many since a frame
/// arrived last, however long that takes. Only checks count before which every worker ran: a flood that the program
/// answers may keep one from its core.
const FEW_FRAMES: u64 = 8;
/// Failed redirections since a frame arrived last, each with an error that no full ring explains, that count as a
/// failure.
const ERRORS: u64 = 4;
/// Failures in a row, a second apart, after which delivery counts as broken.
const FAILURES: u32 = 3;

/// The results of the checks so far, by interface.
#[derive(Debug, Default)]
pub(super) struct DeliveryCheck {
    seen: HashMap<String, Seen>,
    /// The heartbeats of each worker at the last check.
    beats: HashMap<String, Vec<u64>>,
}

/// What one check of an interface sees: counts since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    /// Frames that the program redirected.
    redirected: u64,
    /// Frames that reached the sockets.
    arrived: u64,
    /// Redirections that the kernel reported as failed although it had room.
    errors: u64,
    /// Whether the program answers plain requests by itself.
    answers: bool,
    /// Whether every worker ran since the check before.
    ran: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The check before.
    last: Delivery,
    /// The check at which a frame had arrived last.
    arrival: Delivery,
    failures: u32,
    broken: bool,
}

impl Seen {
    /// Takes in one check; returns whether delivery has just turned out to be broken.
    fn check(&mut self, now: Delivery) -> bool {
        if now.arrived != self.last.arrived {
            *self = Seen { last: now, arrival: now, failures: 0, broken: false };
            return false;
        }
        let many = now.redirected >= self.last.redirected + FRAMES;
        let few = now.answers && now.ran && now.redirected >= self.arrival.redirected + FEW_FRAMES;
        let refused = now.errors >= self.arrival.errors + ERRORS;
        self.last = now;
        self.failures = if many || few || refused { self.failures + 1 } else { 0 };
        let broken = self.failures >= FAILURES && !self.broken;
        self.broken |= broken;
        broken
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
        let errors = path.losses().map_or(0, |losses| {
            [DriverLoss::Unbound, DriverLoss::Mismatch].map(|kind| losses[kind.index()]).iter().sum()
        });
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
        let beats: Vec<u64> = path.queues().map(|queue| queue.stats.beats()).collect();
        let before = self.beats.insert(name.to_owned(), beats.clone()).unwrap_or_default();
        let ran = beats.len() == before.len() && beats.iter().zip(&before).all(|(now, before)| now != before);
        let now = Delivery { redirected, arrived, errors, answers: path.kernel_answers().on, ran };
        self.seen.entry(name.to_owned()).or_default().check(now)
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Seen};

    /// Redirected and arrived frames and errors of each check, as increments; the number of the check that found
    /// delivery broken, from 1.
    fn run(answers: bool, ran: bool, checks: &[(u64, u64, u64)]) -> Option<usize> {
        let (mut seen, mut now) = (Seen::default(), Delivery { answers, ran, ..Delivery::default() });
        let mut found = None;
        for (number, (redirected, arrived, errors)) in (1..).zip(checks) {
            now.redirected += redirected;
            now.arrived += arrived;
            now.errors += errors;
            if seen.check(now) {
                assert_eq!(found, None, "reported twice");
                found = Some(number);
            }
        }
        found
    }

    #[test]
    fn delivery_is_broken_if_frames_or_errors_add_up_and_nothing_arrives() {
        for (what, checks, redirecting, answering) in [
            ("many frames", &[(100, 0, 0); 9][..], Some(3), Some(3)),
            ("one arrives", &[(100, 0, 0), (100, 0, 0), (100, 1, 0), (100, 0, 0), (100, 0, 0)], None, None),
            ("one frame a second", &[(1, 0, 0); 50], None, Some(10)),
            ("one frame a second, every tenth arrives", &[(9, 1, 0), (0, 0, 0), (0, 0, 0)], None, None),
            ("a few frames, and no more", &[(8, 0, 0), (0, 0, 0), (0, 0, 0)], None, Some(3)),
            ("fewer", &[(7, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)], None, None),
            ("one error a second", &[(1, 0, 1); 7], Some(6), Some(6)),
            ("fewer errors", &[(3, 0, 3), (0, 0, 0), (0, 0, 0), (0, 0, 0)], None, None),
            ("errors on one queue of several", &[(3, 1, 2); 9], None, None),
            ("errors, and an arrival", &[(4, 0, 4), (4, 0, 4), (1, 1, 0), (3, 0, 3), (0, 0, 0)], None, None),
            ("nothing comes", &[(0, 0, 0); 50], None, None),
        ] {
            assert_eq!(run(false, false, checks), redirecting, "{what}");
            assert_eq!(run(true, true, checks), answering, "{what}, with kernel answers");
            assert_eq!(
                run(true, false, checks),
                redirecting,
                "{what}, with kernel answers and starved workers"
            );
        }
    }
}
