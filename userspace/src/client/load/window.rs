//! The closed loop: how many requests may be in flight.

/// Most requests in flight: a few batches, and no more than fit the default receive buffer
/// (net.core.rmem_default).
const LIMIT: u64 = 256;
/// Nanoseconds of a period. An unanswered request stays in flight for one to two periods. A later reply
/// still counts.
const PERIOD: u64 = 100_000_000;

/// The requests in flight, by the period in which they left. When a period ends, the requests of the one
/// before it are given up.
#[derive(Debug, Default)]
pub(super) struct InFlightWindow {
    older: Period,
    newer: Period,
    /// When the newer period began, in nanoseconds.
    began: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Period {
    /// Number of its first request.
    first: u32,
    in_flight: u64,
}

impl InFlightWindow {
    /// Returns a window with nothing in flight; `next` is the number of the next request.
    pub(super) fn new(next: u32) -> Self {
        let empty = Period { first: next, in_flight: 0 };
        InFlightWindow { older: empty, newer: empty, began: 0 }
    }

    /// How many requests may leave at `now`; `next` is the number of the next one.
    pub(super) fn room(&mut self, now: u64, next: u32) -> u64 {
        if now.saturating_sub(self.began) >= PERIOD {
            self.older = self.newer;
            self.newer = Period { first: next, in_flight: 0 };
            self.began = now;
        }
        LIMIT.saturating_sub(self.older.in_flight + self.newer.in_flight)
    }

    /// Records that `count` requests left.
    pub(super) fn add_sent(&mut self, count: u64) {
        self.newer.in_flight += count;
    }

    /// Records the first reply to request `number`.
    pub(super) fn mark_answered(&mut self, number: u32) {
        let began_before = |period: &Period| number.wrapping_sub(period.first) as i32 >= 0;
        let period = [&mut self.newer, &mut self.older].into_iter().find(|period| began_before(period));
        if let Some(period) = period {
            period.in_flight = period.in_flight.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InFlightWindow, LIMIT, PERIOD};

    #[test]
    fn a_reply_makes_room() {
        let mut window = InFlightWindow::new(7);
        assert_eq!(window.room(0, 7), LIMIT);
        window.add_sent(10);
        assert_eq!(window.room(1, 17), LIMIT - 10);
        window.mark_answered(7);
        assert_eq!(window.room(1, 17), LIMIT - 9);
        window.mark_answered(6);
        assert_eq!(window.room(1, 17), LIMIT - 9, "an earlier request is not in flight");
    }

    #[test]
    fn an_unanswered_request_is_given_up_after_two_periods_at_most() {
        let mut window = InFlightWindow::new(0);
        assert_eq!(window.room(PERIOD, 0), LIMIT);
        window.add_sent(LIMIT);
        assert_eq!(window.room(2 * PERIOD - 1, 256), 0);
        assert_eq!(window.room(2 * PERIOD, 256), 0);
        window.mark_answered(3);
        assert_eq!(window.room(2 * PERIOD, 256), 1);
        window.add_sent(1);
        assert_eq!(window.room(3 * PERIOD, 257), LIMIT - 1);
        window.mark_answered(4);
        assert_eq!(window.room(3 * PERIOD, 257), LIMIT - 1, "already given up");
        window.mark_answered(256);
        assert_eq!(window.room(3 * PERIOD, 257), LIMIT);
    }
}
