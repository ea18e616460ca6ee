//! Checks replies.

use super::plan::LoadPlan;
use super::tally::Tally;
use super::tracker::ReplyMatch;
use crate::client::is_same_endpoint;
use crate::client::message::{HEADER, has_valid_fingerprint, mapped_address};
use std::net::SocketAddr;
use std::sync::Arc;

/// Checks and counts the replies that one worker receives, whichever worker sent the requests.
pub(super) struct ReplyChecker {
    plan: Arc<LoadPlan>,
    /// The mapped address that every reply on a flow must have, by flow.
    mapped: Vec<Option<SocketAddr>>,
    pub(super) tally: Tally,
}

impl ReplyChecker {
    pub(super) fn new(plan: Arc<LoadPlan>) -> Self {
        let mapped = plan.flows.iter().map(|flow| flow.mapped).collect();
        ReplyChecker { plan, mapped, tally: Tally::default() }
    }

    /// Checks a datagram that the server sent to a flow's source. Returns the request's number, if this is
    /// its first reply and right.
    #[inline]
    pub(super) fn check(&mut self, bytes: &[u8], flow: usize, now: u64) -> Option<u32> {
        let Some((found, due, number)) = self.match_request(bytes, flow, now) else {
            self.tally.wrong += 1;
            return None;
        };
        match found {
            ReplyMatch::First => {
                self.tally.received += 1;
                self.tally.latency.saturating_record(now.saturating_sub(due).max(1));
                Some(number)
            }
            ReplyMatch::Duplicate => {
                self.tally.wrong += 1;
                None
            }
            ReplyMatch::Stale => None,
        }
    }

    /// For a right reply, returns how it matches its request, when that was due, and its number. Returns
    /// `None` for a wrong reply, whose request stays unanswered.
    #[inline]
    fn match_request(&mut self, bytes: &[u8], flow: usize, now: u64) -> Option<(ReplyMatch, u64, u32)> {
        let id = bytes.get(8..HEADER)?.try_into().ok()?;
        let stamp = self.plan.key.decode(id, flow as u32, now)?;
        let request = &self.plan.mix.requests[self.plan.mix.at(stamp.number)];
        if bytes[4..8] != request.cookie() {
            return None;
        }
        let (mapped, _) = mapped_address(bytes)?;
        let expected = *self.mapped[flow].get_or_insert(mapped);
        if !is_same_endpoint(&mapped, &expected) {
            return None;
        }
        // RFC 8489 §7.3: a reply may carry FINGERPRINT unasked. xstun adds it if the request has it.
        match has_valid_fingerprint(bytes) {
            None if request.has_fingerprint() => return None,
            Some(false) => return None,
            _ => {}
        }
        let requests = self.plan.tracker.find(stamp.worker)?;
        Some((requests.mark_answered(stamp.number), stamp.due, stamp.number))
    }

    /// Publishes the counts to the other workers.
    pub(super) fn publish(&self, worker: usize) {
        let requests = self.plan.tracker.worker(worker);
        requests.received.set(self.tally.received);
        requests.wrong.set(self.tally.wrong);
    }

    /// Records how many replies arrived while requests were being sent.
    pub(super) fn end_sending(&mut self) {
        self.tally.received_while_sending = self.tally.received;
    }

    /// Returns the tally of this step, and resets it for the next.
    pub(super) fn take(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests;
