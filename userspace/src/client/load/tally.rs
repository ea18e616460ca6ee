//! What a step counts, and the latency of its replies.

use hdrhistogram::Histogram;
use std::io;

/// The counts of one step, of one worker or of all.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests that left.
    pub(super) sent: u64,
    /// Right replies.
    pub(super) received: u64,
    /// Of these, those that arrived before sending ended.
    pub(super) received_while_sending: u64,
    /// Datagrams that are no right reply to a request of this generator.
    pub(super) wrong: u64,
    /// The last error with which the network refused a request.
    pub(super) send_error: Option<io::Error>,
    /// Nanoseconds from when a request was due to its reply.
    pub(super) latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)
            .expect("the bounds and three digits are within what the histogram documents");
        Tally { sent: 0, received: 0, received_while_sending: 0, wrong: 0, send_error: None, latency }
    }
}

impl Tally {
    /// Requests without a right reply.
    pub(super) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// The fraction of requests without a right reply.
    pub(super) fn loss(&self) -> f64 {
        self.lost() as f64 / self.sent.max(1) as f64
    }

    /// Adds the tally of another worker. Only the sums have a meaning, because a reply may arrive at
    /// another worker than the one that sent the request.
    pub(super) fn add(&mut self, other: &Tally) {
        self.sent += other.sent;
        self.received += other.received;
        self.received_while_sending += other.received_while_sending;
        self.wrong += other.wrong;
        if let Some(errno) = other.send_error.as_ref().and_then(io::Error::raw_os_error) {
            self.send_error = Some(io::Error::from_raw_os_error(errno));
        }
        self.latency.add(&other.latency).expect("both have the same bounds");
    }
}
