//! Replies, judged.

use super::board::Found;
use super::plan::Plan;
use super::tally::Tally;
use crate::client::message::{HEADER, fingerprint, mapped_address};
use std::net::SocketAddr;
use std::sync::Arc;

/// One worker's judgement. It needs nothing of the worker that asked but its lane.
pub(super) struct Checker {
    plan: Arc<Plan>,
    /// The address that every reply on a flow must tell, by flow.
    mapped: Vec<Option<SocketAddr>>,
    tally: Tally,
}

impl Checker {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mapped = plan.flows.iter().map(|flow| flow.mapped).collect();
        Checker { plan, mapped, tally: Tally::default() }
    }

    /// Judges a datagram that the server sent to a flow's source. Gives the request's number among
    /// those of the worker that asked, if this is the first reply to it and right.
    #[inline]
    pub(super) fn check(&mut self, bytes: &[u8], flow: usize, now: u64) -> Option<u32> {
        let Some((found, due, number)) = self.judge(bytes, flow, now) else {
            self.tally.wrong += 1;
            return None;
        };
        match found {
            Found::Waiting => {
                self.tally.received += 1;
                self.tally.latency.saturating_record(now.saturating_sub(due).max(1));
                Some(number)
            }
            Found::Answered => {
                self.tally.wrong += 1;
                None
            }
            Found::Past => None,
        }
    }

    /// Counts a datagram that cannot be judged at all: only frames come with one.
    #[cfg(feature = "af-xdp")]
    pub(super) fn reject(&mut self) {
        self.tally.wrong += 1;
    }

    /// When a right reply's request was due and which number it has; nothing for a wrong reply. A
    /// request whose reply is wrong stays unanswered.
    #[inline]
    fn judge(&mut self, bytes: &[u8], flow: usize, now: u64) -> Option<(Found, u64, u32)> {
        let id = bytes.get(8..HEADER)?.try_into().ok()?;
        let stamp = self.plan.key.open(id, flow as u32, now)?;
        let request = &self.plan.mix.requests[self.plan.mix.at(stamp.number)];
        if bytes[4..8] != request.cookie() {
            return None;
        }
        let (mapped, _) = mapped_address(bytes)?;
        let expected = *self.mapped[flow].get_or_insert(mapped);
        if (mapped.ip(), mapped.port()) != (expected.ip(), expected.port()) {
            return None;
        }
        // RFC 8489 §7.3: a reply may carry one unasked; where the request did, xstun's rule is to.
        match fingerprint(bytes) {
            None if request.has_fingerprint() => return None,
            Some(right) if !right => return None,
            _ => {}
        }
        let lane = self.plan.board.find(stamp.worker)?;
        Some((lane.answer(stamp.number), stamp.due, stamp.number))
    }

    /// Shows the counts to the other workers.
    pub(super) fn publish(&self, worker: usize) {
        let lane = self.plan.board.lane(worker);
        lane.received.set(self.tally.received);
        lane.wrong.set(self.tally.wrong);
    }

    /// Notes how much of the answers came while requests were still being sent.
    pub(super) fn sending_ended(&mut self) {
        self.tally.received_while_sending = self.tally.received;
    }

    /// What this step has counted; the next begins with nothing.
    pub(super) fn take(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests;
