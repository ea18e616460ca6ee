//! Whether the replies of the XDP program leave: a driver may accept them and drop every one.

use crate::datapath::af_xdp::AfXdp;
use std::collections::HashMap;
use xstun_core::classify::Verdict;
use xstun_ebpf::loss::DriverLoss;

/// Replies after which a window is judged.
const REPLIES: u64 = 16;
/// Replies after which a window is judged of which not one has left, so that a server with few clients does not leave
/// them without replies for long.
const FEW_REPLIES: u64 = 4;
/// Windows in a row, a second or longer each, of whose replies at least half were lost, after which the rung is left. A
/// burst that fills a ring is shorter.
const FAILURES: u32 = 3;

/// The replies of the windows that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LostReplies {
    /// Replies that the program handed to the driver.
    pub(super) answered: u64,
    /// Those that the driver did not send.
    pub(super) lost: u64,
}

/// The windows of one interface.
#[derive(Clone, Copy, Debug, Default)]
struct Transmission {
    /// The counts at the beginning of the window.
    begin: LostReplies,
    /// The sum of the windows that failed in a row.
    failed: LostReplies,
    failures: u32,
}

impl Transmission {
    /// Takes in the counts of one check; returns what was lost if that has just become too much.
    fn check(&mut self, now: LostReplies) -> Option<LostReplies> {
        let answered = now.answered.saturating_sub(self.begin.answered);
        let lost = now.lost.saturating_sub(self.begin.lost);
        if answered < REPLIES && !(answered >= FEW_REPLIES && lost >= answered) {
            return None;
        }
        self.begin = now;
        if lost < answered.div_ceil(2) {
            *self = Transmission { begin: now, ..Transmission::default() };
            return None;
        }
        self.failures += 1;
        self.failed.answered += answered;
        self.failed.lost += lost;
        (self.failures == FAILURES).then(|| std::mem::take(self).failed)
    }
}

/// The windows of all interfaces, and what their drivers count, by name.
#[derive(Debug, Default)]
pub(super) struct TransmissionCheck {
    windows: HashMap<String, Transmission>,
    driver_errors: HashMap<String, u64>,
}

impl TransmissionCheck {
    /// Checks an interface; returns what was lost if the replies of its program do not leave.
    pub(super) fn check(&mut self, name: &str, path: &AfXdp) -> Option<LostReplies> {
        if !path.kernel_answers().on {
            return None;
        }
        // First what is lost: of a reply in between, only the answer counts.
        let traced = path.losses().map_or(0, |losses| {
            losses[DriverLoss::Transmit.index()] + losses[DriverLoss::TransmitBulk.index()]
        });
        // Some drivers drop replies that no tracepoint reports, and some kernels have no tracepoints.
        let driver = path.driver_errors();
        if let Some(errors) = driver {
            self.driver_errors.insert(name.to_owned(), errors);
        }
        let answered = path.verdicts().ok()?[Verdict::Answered.index()];
        let now = LostReplies { answered, lost: traced.max(driver.unwrap_or_default()) };
        self.windows.entry(name.to_owned()).or_default().check(now)
    }

    /// The replies that the driver failed to send, by its own counters at the last check. `None` if it has none.
    pub(super) fn driver_errors(&self, name: &str) -> Option<u64> {
        self.driver_errors.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{LostReplies, Transmission};

    /// The counts after each check, as increments of answered and lost; the number of the check that left the rung,
    /// from 1, and what was lost.
    fn run(steps: &[(u64, u64)]) -> Option<(usize, (u64, u64))> {
        let (mut transmission, mut now) = (Transmission::default(), LostReplies::default());
        let mut left = None;
        for (number, (answered, lost)) in (1..).zip(steps) {
            now.answered += answered;
            now.lost += lost;
            if let Some(LostReplies { answered, lost }) = transmission.check(now) {
                assert_eq!(left, None, "left twice");
                left = Some((number, (answered, lost)));
            }
        }
        left
    }

    #[test]
    fn the_rung_is_left_when_replies_do_not_leave_for_several_windows() {
        for (what, steps, expected) in [
            (
                "a peer without a program, under a flood",
                &[(900_000, 899_752), (900_000, 900_000), (900_000, 900_000)][..],
                Some((3, (2_700_000, 2_699_752))),
            ),
            ("half is lost", &[(100, 50), (101, 51), (100, 50)], Some((3, (301, 151)))),
            ("less than half is lost", &[(100, 49), (100, 49), (100, 49), (100, 49)], None),
            ("a full ring for a moment", &[(100, 90), (100, 90), (100, 0), (100, 90), (100, 90)], None),
            ("one request a second, all lost", &[(1, 1); 12], Some((12, (12, 12)))),
            (
                "one request a second, one of them lost",
                &[(1, 0), (1, 0), (1, 1), (1, 0), (1, 0), (1, 0)],
                None,
            ),
            (
                "few requests, the driver counts later",
                &[(1, 0), (1, 1), (1, 1), (1, 2), (8, 8), (8, 8)],
                Some((6, (20, 20))),
            ),
            ("nothing is answered", &[(0, 0); 100], None),
            ("another program's losses", &[(0, 500); 100], None),
        ] {
            assert_eq!(run(steps), expected, "{what}");
        }
    }

    #[test]
    fn a_rung_that_was_tried_again_is_judged_anew() {
        let lost = LostReplies { answered: 100, lost: 100 };
        let mut transmission = Transmission::default();
        let mut check =
            |number: u64| transmission.check(LostReplies { answered: 100 * number, lost: 100 * number });
        assert_eq!([1, 2].map(&mut check), [None, None]);
        assert_eq!(check(3), Some(LostReplies { answered: 3 * lost.answered, lost: 3 * lost.lost }));
        assert_eq!([5, 6].map(&mut check), [None, None]);
        assert!(check(7).is_some());
    }
}
