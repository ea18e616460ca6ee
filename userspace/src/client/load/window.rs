//! The closed loop: how many requests may be on their way.

/// Requests on their way at a time: a few batches, and no more than the receive buffer that any
/// process may have (net.core.rmem_default) holds.
const ROOM: u64 = 256;
/// An unanswered request holds its place for this long at the least, and for twice as long at the
/// most, in nanoseconds. It may still be answered later.
const PATIENCE: u64 = 100_000_000;

/// Requests on their way, by the period in which they left: when a period is over, those left of the
/// one before it are given up.
#[derive(Debug, Default)]
pub(super) struct Window {
    older: Period,
    newer: Period,
    /// When the newer period began, in nanoseconds.
    began: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Period {
    /// Number of its first request.
    first: u32,
    waiting: u64,
}

impl Window {
    /// Nothing on its way; `next` is the number of the next request.
    pub(super) fn new(next: u32) -> Self {
        let none = Period { first: next, waiting: 0 };
        Window { older: none, newer: none, began: 0 }
    }

    /// How many more may leave at `now`; `next` is the number of the next one.
    pub(super) fn room(&mut self, now: u64, next: u32) -> u64 {
        if now.saturating_sub(self.began) >= PATIENCE {
            self.older = self.newer;
            self.newer = Period { first: next, waiting: 0 };
            self.began = now;
        }
        ROOM.saturating_sub(self.older.waiting + self.newer.waiting)
    }

    /// `count` requests left.
    pub(super) fn sent(&mut self, count: u64) {
        self.newer.waiting += count;
    }

    /// Request `number` was answered for the first time.
    pub(super) fn answered(&mut self, number: u32) {
        let is_since = |period: &Period| number.wrapping_sub(period.first) as i32 >= 0;
        let period = [&mut self.newer, &mut self.older].into_iter().find(|period| is_since(period));
        if let Some(period) = period {
            period.waiting = period.waiting.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, ROOM, Window};

    #[test]
    fn an_answer_makes_room() {
        let mut window = Window::new(7);
        assert_eq!(window.room(0, 7), ROOM);
        window.sent(10);
        assert_eq!(window.room(1, 17), ROOM - 10);
        window.answered(7);
        assert_eq!(window.room(1, 17), ROOM - 9);
        window.answered(6);
        assert_eq!(window.room(1, 17), ROOM - 9, "an earlier request holds no place");
    }

    #[test]
    fn what_is_not_answered_is_given_up_after_two_periods_at_most() {
        let mut window = Window::new(0);
        assert_eq!(window.room(PATIENCE, 0), ROOM);
        window.sent(ROOM);
        assert_eq!(window.room(2 * PATIENCE - 1, 256), 0);
        assert_eq!(window.room(2 * PATIENCE, 256), 0);
        window.answered(3);
        assert_eq!(window.room(2 * PATIENCE, 256), 1);
        window.sent(1);
        assert_eq!(window.room(3 * PATIENCE, 257), ROOM - 1);
        window.answered(4);
        assert_eq!(window.room(3 * PATIENCE, 257), ROOM - 1, "given up already");
        window.answered(256);
        assert_eq!(window.room(3 * PATIENCE, 257), ROOM);
    }
}
