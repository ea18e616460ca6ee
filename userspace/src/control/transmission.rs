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
/// A window fails if fewer than one reply of this many leaves ...
const SENT_SHARE: u64 = 16;
/// ... and no more than this many do. A driver that works sends more in a second, whatever a flood asks of it; one that
/// does not may still fill a ring.
const MOST_SENT: u64 = 512;
/// Windows in a row, a second or longer each, that must fail for the rung to be left. A burst that fills a ring is
/// shorter.
const FAILURES: u32 = 3;
/// Checks, a second apart, from when the rung is left until it is tried again: the first time, the second time, and
/// from then on.
const PAUSES: [u32; 3] = [60, 600, 3600];

/// The replies of the windows that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LostReplies {
    /// Replies that the program handed to the driver.
    pub(super) answered: u64,
    /// Those that the driver did not send.
    pub(super) lost: u64,
}

/// What one check decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransmissionChange {
    /// To leave the rung, because of these replies, for `minutes`.
    Leave { replies: LostReplies, minutes: u32 },
    /// To try it again.
    TryAgain,
}

/// The windows of one interface, or its pause from them.
#[derive(Clone, Copy, Debug, Default)]
struct Transmission {
    /// The counts at the beginning of the window.
    begin: LostReplies,
    /// The sum of the windows that failed in a row.
    failed: LostReplies,
    failures: u32,
    /// How often the rung was left; counted from 0 again after it was kept for the longest pause.
    left: usize,
    /// Checks until the rung is tried again.
    pause: u32,
    /// Whether it has been tried again and no window has succeeded since: one that fails suffices then.
    probation: bool,
    /// Checks since it was tried again.
    kept: u32,
}

impl Transmission {
    /// Takes in the counts of one check while the program answers.
    fn check(&mut self, now: LostReplies) -> Option<TransmissionChange> {
        // Answers that came back with another value of the option.
        self.pause = 0;
        self.kept = self.kept.saturating_add(1);
        if self.kept >= PAUSES[PAUSES.len() - 1] {
            self.left = 0;
        }
        let answered = now.answered.saturating_sub(self.begin.answered);
        let lost = now.lost.saturating_sub(self.begin.lost);
        let sent = answered.saturating_sub(lost);
        if answered < REPLIES && (answered < FEW_REPLIES || sent > 0) {
            return None;
        }
        self.begin = now;
        if sent > MOST_SENT || sent * SENT_SHARE >= answered {
            (self.failed, self.failures, self.probation) = (LostReplies::default(), 0, false);
            return None;
        }
        self.failures += 1;
        self.failed.answered += answered;
        self.failed.lost += lost;
        if self.failures < FAILURES && !self.probation {
            return None;
        }
        self.pause = PAUSES[self.left.min(PAUSES.len() - 1)];
        self.left += 1;
        self.failures = 0;
        let replies = std::mem::take(&mut self.failed);
        Some(TransmissionChange::Leave { replies, minutes: self.pause / 60 })
    }

    /// Takes in one check while the rung is left. What was lost or answered until then does not count any more.
    fn rest(&mut self, now: LostReplies) -> Option<TransmissionChange> {
        self.begin = now;
        self.pause = self.pause.saturating_sub(1);
        if self.pause > 0 {
            return None;
        }
        (self.probation, self.kept) = (true, 0);
        Some(TransmissionChange::TryAgain)
    }
}

/// The windows of all interfaces, and what their drivers count, by name.
#[derive(Debug, Default)]
pub(super) struct TransmissionCheck {
    windows: HashMap<String, Transmission>,
    driver_errors: HashMap<String, u64>,
}

impl TransmissionCheck {
    /// Checks an interface; returns whether the program's answers are to be left for the workers, or tried again.
    pub(super) fn check(&mut self, name: &str, path: &AfXdp) -> Option<TransmissionChange> {
        let (answers, left) = (path.kernel_answers().on, path.has_left_answers());
        if !answers && !left {
            return None;
        }
        // First what is lost: of a reply in between, only the answer counts. Some drivers report a reply to both
        // tracepoints.
        let traced = path.losses().map_or(0, |losses| {
            losses[DriverLoss::Transmit.index()].max(losses[DriverLoss::TransmitBulk.index()])
        });
        // Some drivers drop replies that no tracepoint reports, and some kernels have no tracepoints.
        let driver = path.driver_errors();
        if let Some(errors) = driver {
            self.driver_errors.insert(name.to_owned(), errors);
        }
        let answered = path.verdicts().ok()?[Verdict::Answered.index()];
        let now = LostReplies { answered, lost: traced.max(driver.unwrap_or_default()) };
        let transmission = self.windows.entry(name.to_owned()).or_default();
        if left { transmission.rest(now) } else { transmission.check(now) }
    }

    /// The replies that the driver failed to send, by its own counters at the last check. `None` if it has none.
    pub(super) fn driver_errors(&self, name: &str) -> Option<u64> {
        self.driver_errors.get(name).copied()
    }
}

#[cfg(test)]
mod tests;
