//! The state that workers share: how many requests left, how many replies arrived, and which requests
//! are answered. It consists of atomics, so no worker ever waits.

use crate::stats::Counter;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// Latest requests of each worker whose answers are remembered; 0.8 s at 5,000,000 requests per second.
const REMEMBERED: u32 = 1 << 22;

/// How a reply relates to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyMatch {
    /// The request was not answered before.
    First,
    /// The request is already answered.
    Duplicate,
    /// The request belongs to an earlier step, or is too old to be remembered.
    Stale,
}

/// The requests of one worker. Only that worker writes the counts; any worker marks requests as answered.
/// The alignment keeps two of these out of one cache line, also on CPUs that fetch lines in pairs.
#[repr(align(128))]
pub(super) struct WorkerRequests {
    /// Requests that left in this step.
    pub(super) sent: Counter,
    /// Right replies that this worker received in this step, whichever worker sent the request.
    pub(super) received: Counter,
    /// Datagrams that this worker received in this step and that are no right reply.
    pub(super) wrong: Counter,
    sending: AtomicBool,
    /// Number of this step's first request.
    first: AtomicU32,
    next: AtomicU32,
    /// One bit for each of the latest requests.
    answered: Box<[AtomicU64]>,
}

impl WorkerRequests {
    fn new() -> Self {
        WorkerRequests {
            sent: Counter::default(),
            received: Counter::default(),
            wrong: Counter::default(),
            sending: AtomicBool::new(false),
            first: AtomicU32::new(0),
            next: AtomicU32::new(0),
            answered: (0..REMEMBERED / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Number of the next request.
    pub(super) fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Clears the bit of request `number`, which an old request used. Call it before the request leaves.
    #[inline]
    pub(super) fn clear(&self, number: u32) {
        if number.is_multiple_of(64) {
            self.word(number).store(0, Relaxed);
        }
    }

    /// Counts `count` requests as sent. They used some of the next `numbers` numbers.
    #[inline]
    pub(super) fn add_sent(&self, numbers: u32, count: u64) {
        self.next.store(self.next().wrapping_add(numbers), Release);
        self.sent.add(count);
    }

    /// Marks request `number` as answered.
    #[inline]
    pub(super) fn mark_answered(&self, number: u32) -> ReplyMatch {
        let age = self.next.load(Acquire).wrapping_sub(number) as i32;
        let since = number.wrapping_sub(self.first.load(Relaxed)) as i32;
        // New requests may already use the oldest word.
        if since < 0 || age > (REMEMBERED - 64) as i32 {
            return ReplyMatch::Stale;
        }
        let bit = 1 << (number % 64);
        if self.word(number).fetch_or(bit, Relaxed) & bit == 0 {
            ReplyMatch::First
        } else {
            ReplyMatch::Duplicate
        }
    }

    /// Records that this worker sends no more in this step.
    pub(super) fn end_sending(&self) {
        self.sending.store(false, Release);
    }

    fn word(&self, number: u32) -> &AtomicU64 {
        &self.answered[(number % REMEMBERED / 64) as usize]
    }
}

/// The requests of all workers.
pub(super) struct RequestTracker(Box<[WorkerRequests]>);

/// Sums over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StepCounts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) wrong: u64,
}

impl RequestTracker {
    pub(super) fn new(workers: usize) -> Self {
        RequestTracker((0..workers).map(|_| WorkerRequests::new()).collect())
    }

    /// Returns the requests of a worker. Panics if there is no such worker.
    #[inline]
    pub(super) fn worker(&self, index: usize) -> &WorkerRequests {
        &self.0[index]
    }

    /// Returns the requests of the worker that a transaction ID names, if there is one.
    #[inline]
    pub(super) fn find(&self, index: u8) -> Option<&WorkerRequests> {
        self.0.get(usize::from(index))
    }

    /// Begins a step. No worker may be sending.
    pub(super) fn begin_step(&self) {
        for worker in &self.0 {
            [&worker.sent, &worker.received, &worker.wrong].into_iter().for_each(|count| count.set(0));
            worker.first.store(worker.next(), Relaxed);
            worker.sending.store(true, Release);
        }
    }

    /// Returns the counts of this step so far.
    pub(super) fn counts(&self) -> StepCounts {
        self.0.iter().fold(StepCounts::default(), |sum, worker| StepCounts {
            sent: sum.sent + worker.sent.get(),
            received: sum.received + worker.received.get(),
            wrong: sum.wrong + worker.wrong.get(),
        })
    }

    /// Whether no worker sends any more and every request is answered.
    pub(super) fn is_settled(&self) -> bool {
        let is_answered = || {
            let StepCounts { sent, received, .. } = self.counts();
            received >= sent
        };
        self.0.iter().all(|worker| !worker.sending.load(Acquire)) && is_answered()
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED, ReplyMatch, RequestTracker, StepCounts};

    fn send(tracker: &RequestTracker, worker: usize, count: u32) {
        let requests = tracker.worker(worker);
        for number in 0..count {
            requests.clear(requests.next().wrapping_add(number));
        }
        requests.add_sent(count, count.into());
    }

    #[test]
    fn a_request_is_answered_once() {
        let tracker = RequestTracker::new(2);
        tracker.begin_step();
        send(&tracker, 1, 3);
        let requests = tracker.find(1).unwrap();
        assert_eq!(requests.mark_answered(2), ReplyMatch::First);
        assert_eq!(requests.mark_answered(2), ReplyMatch::Duplicate);
        assert_eq!(requests.mark_answered(0), ReplyMatch::First);
        assert!(tracker.find(2).is_none());
    }

    #[test]
    fn replies_to_an_earlier_step_or_a_forgotten_request_are_stale() {
        let tracker = RequestTracker::new(1);
        tracker.begin_step();
        send(&tracker, 0, 10);
        tracker.begin_step();
        send(&tracker, 0, 10);
        assert_eq!(tracker.worker(0).mark_answered(9), ReplyMatch::Stale);
        assert_eq!(tracker.worker(0).mark_answered(10), ReplyMatch::First);
        send(&tracker, 0, REMEMBERED);
        assert_eq!(tracker.worker(0).mark_answered(11), ReplyMatch::Stale);
        assert_eq!(tracker.worker(0).mark_answered(20 + 64), ReplyMatch::First);
    }

    #[test]
    fn a_bit_is_clear_when_its_number_wraps_around() {
        let tracker = RequestTracker::new(1);
        tracker.begin_step();
        send(&tracker, 0, 1);
        assert_eq!(tracker.worker(0).mark_answered(0), ReplyMatch::First);
        send(&tracker, 0, REMEMBERED);
        assert_eq!(tracker.worker(0).mark_answered(REMEMBERED), ReplyMatch::First);
    }

    #[test]
    fn numbers_wrap_around() {
        let tracker = RequestTracker::new(1);
        tracker.worker(0).add_sent(u32::MAX - 1, 0);
        tracker.begin_step();
        send(&tracker, 0, 4);
        for number in [u32::MAX - 1, u32::MAX, 0, 1] {
            assert_eq!(tracker.worker(0).mark_answered(number), ReplyMatch::First, "{number}");
        }
        assert_eq!(tracker.worker(0).mark_answered(u32::MAX - 2), ReplyMatch::Stale);
    }

    #[test]
    fn a_step_is_settled_when_sending_has_ended_and_every_request_is_answered() {
        let tracker = RequestTracker::new(2);
        tracker.begin_step();
        send(&tracker, 0, 2);
        tracker.worker(1).received.add(1);
        tracker.worker(0).end_sending();
        assert!(!tracker.is_settled());
        tracker.worker(1).end_sending();
        assert!(!tracker.is_settled());
        tracker.worker(0).received.add(1);
        assert!(tracker.is_settled());
        assert_eq!(tracker.counts(), StepCounts { sent: 2, received: 2, wrong: 0 });
        tracker.begin_step();
        assert_eq!(tracker.counts(), StepCounts::default());
    }
}
