//! Requests on their way, found again by the number in their transaction ID.

use std::time::Duration;

/// How long an unanswered request holds its place in a closed loop. It may still be answered later.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Waiting,
    /// Given up in the closed loop's reckoning, not in the result's.
    Late,
    Answered,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u64,
    due: u64,
    port: u32,
    state: State,
}

/// What a reply's number says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The request that left this port; it was due then, in nanoseconds from the start.
    Request { due: u64 },
    /// Nothing is known of it any more: so late that its place is taken.
    Forgotten,
    /// It was never asked from this port, or is answered already.
    Unasked,
}

/// The latest requests by number. The memory is fixed from the start.
pub(super) struct Outstanding {
    slots: Box<[Slot]>,
    next: u64,
    /// The first number that is not yet looked at for being late.
    oldest: u64,
    waiting: u64,
}

impl Outstanding {
    /// Remembers at least the latest `least` requests.
    pub(super) fn new(least: usize) -> Self {
        let slots = vec![Slot::default(); least.next_power_of_two()].into_boxed_slice();
        Outstanding { slots, next: 0, oldest: 0, waiting: 0 }
    }

    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Requests that are neither answered nor given up.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        let index = number as usize & (self.slots.len() - 1);
        &mut self.slots[index]
    }

    /// The next number left `port`, due at `due`.
    pub(super) fn sent(&mut self, port: usize, due: u64) {
        let number = self.next;
        let before = std::mem::replace(
            self.slot(number),
            Slot { number, due, port: port as u32, state: State::Waiting },
        );
        self.waiting += u64::from(before.state != State::Waiting);
        self.next += 1;
    }

    /// The next number was not sent, and will not be.
    pub(super) fn skipped(&mut self) {
        let number = self.next;
        let before = std::mem::replace(self.slot(number), Slot { number, ..Slot::default() });
        self.waiting -= u64::from(before.state == State::Waiting);
        self.next += 1;
    }

    /// A reply to request `number` came to `port`.
    pub(super) fn answered(&mut self, number: u64, port: usize) -> Found {
        if number >= self.next {
            return Found::Unasked;
        }
        let slot = self.slot(number);
        if slot.number != number {
            return Found::Forgotten;
        }
        let due = slot.due;
        match slot.state {
            State::Waiting | State::Late if slot.port as usize == port => {
                let waited = slot.state == State::Waiting;
                slot.state = State::Answered;
                self.waiting -= u64::from(waited);
                Found::Request { due }
            }
            _ => Found::Unasked,
        }
    }

    /// Gives up waiting for what was due too long before `now`, in nanoseconds from the start.
    pub(super) fn give_up(&mut self, now: u64) {
        self.oldest = self.oldest.max(self.next.saturating_sub(self.slots.len() as u64));
        while self.oldest < self.next {
            let slot = self.slot(self.oldest);
            if slot.state == State::Waiting {
                if slot.due + PATIENCE.as_nanos() as u64 > now {
                    return;
                }
                slot.state = State::Late;
                self.waiting -= 1;
            }
            self.oldest += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Outstanding, PATIENCE};

    #[test]
    fn a_request_is_found_once_and_only_at_its_port() {
        let mut outstanding = Outstanding::new(4);
        outstanding.sent(0, 10);
        outstanding.sent(1, 20);
        assert_eq!(outstanding.waiting(), 2);
        assert_eq!(outstanding.answered(1, 0), Found::Unasked);
        assert_eq!(outstanding.answered(1, 1), Found::Request { due: 20 });
        assert_eq!(outstanding.answered(1, 1), Found::Unasked);
        assert_eq!(outstanding.answered(2, 1), Found::Unasked);
        assert_eq!(outstanding.waiting(), 1);
    }

    #[test]
    fn what_was_not_sent_is_not_found() {
        let mut outstanding = Outstanding::new(4);
        outstanding.skipped();
        assert_eq!((outstanding.next(), outstanding.waiting()), (1, 0));
        assert_eq!(outstanding.answered(0, 0), Found::Unasked);
    }

    #[test]
    fn what_is_given_up_frees_its_place_and_still_counts_when_it_comes() {
        let patience = PATIENCE.as_nanos() as u64;
        let mut outstanding = Outstanding::new(4);
        outstanding.sent(0, 0);
        outstanding.sent(0, 5);
        outstanding.give_up(patience);
        assert_eq!(outstanding.waiting(), 1);
        assert_eq!(outstanding.answered(0, 0), Found::Request { due: 0 });
        assert_eq!(outstanding.waiting(), 1);
        outstanding.give_up(patience + 5);
        assert_eq!(outstanding.waiting(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_overwritten_is_forgotten() {
        let mut outstanding = Outstanding::new(3);
        (0..6).for_each(|due| outstanding.sent(0, due));
        assert_eq!(outstanding.waiting(), 4);
        assert_eq!(outstanding.answered(1, 0), Found::Forgotten);
        assert_eq!(outstanding.answered(2, 0), Found::Request { due: 2 });
        outstanding.skipped();
        outstanding.give_up(u64::MAX / 2);
        assert_eq!(outstanding.waiting(), 0);
    }
}
