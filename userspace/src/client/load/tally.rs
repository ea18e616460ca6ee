//! What was counted, and how long replies took.

use hdrhistogram::Histogram;
use std::io;

/// What one worker, or all, have counted in one step.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests that left.
    pub(super) sent: u64,
    /// Right replies.
    pub(super) received: u64,
    /// Of these, before the order to stop.
    pub(super) received_while_sending: u64,
    /// Datagrams that are no right reply to a request of ours.
    pub(super) wrong: u64,
    /// What the network said last when it refused a request.
    pub(super) refusal: Option<io::Error>,
    /// Nanoseconds from when a request was due to its reply.
    pub(super) latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)
            .expect("the bounds and three digits are within what the histogram documents");
        Tally { sent: 0, received: 0, received_while_sending: 0, wrong: 0, refusal: None, latency }
    }
}

impl Tally {
    /// Requests without a right reply.
    pub(super) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Part of the requests that got no right reply.
    pub(super) fn loss(&self) -> f64 {
        self.lost() as f64 / self.sent.max(1) as f64
    }

    /// Adds another worker's. A reply may have come to another worker than the one that asked, so only
    /// the sums mean anything.
    pub(super) fn add(&mut self, other: &Tally) {
        self.sent += other.sent;
        self.received += other.received;
        self.received_while_sending += other.received_while_sending;
        self.wrong += other.wrong;
        if let Some(errno) = other.refusal.as_ref().and_then(io::Error::raw_os_error) {
            self.refusal = Some(io::Error::from_raw_os_error(errno));
        }
        self.latency.add(&other.latency).expect("both have the same bounds");
    }
}
