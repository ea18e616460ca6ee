//! What the workers of a generator tell each other and the coordinator: how many requests left, how
//! many replies came, and which requests are answered. All of it in atomics; nobody waits.

use crate::stats::Counter;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// Requests of each worker whose answers are remembered; at five million a second, 0.8 s.
const REMEMBERED: u32 = 1 << 22;

/// What is known of a request to which a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was not answered before.
    Waiting,
    /// It is answered already.
    Answered,
    /// It belongs to an earlier step, or is so old that nothing is known of it any more.
    Past,
}

/// One worker's lane. Its worker alone writes the counts; any worker marks answers. Aligned so that
/// two lanes never share a cache line, on CPUs that fetch them in pairs either.
#[repr(align(128))]
pub(super) struct Lane {
    /// Requests that left in this step.
    pub(super) sent: Counter,
    /// Right replies that came to this worker in this step, whoever asked.
    pub(super) received: Counter,
    /// Datagrams that came to this worker in this step and are no right reply.
    pub(super) wrong: Counter,
    sending: AtomicBool,
    /// Number of this step's first request.
    first: AtomicU32,
    next: AtomicU32,
    /// A bit for each of the latest requests.
    answered: Box<[AtomicU64]>,
}

impl Lane {
    fn new() -> Self {
        Lane {
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

    /// Forgets what stood in the place of request `number`, before that one leaves.
    #[inline]
    pub(super) fn prepare(&self, number: u32) {
        if number.is_multiple_of(64) {
            self.word(number).store(0, Relaxed);
        }
    }

    /// `count` requests more have left, with some of the next `numbers` numbers.
    #[inline]
    pub(super) fn left(&self, numbers: u32, count: u64) {
        self.next.store(self.next().wrapping_add(numbers), Release);
        self.sent.add(count);
    }

    /// Marks a request as answered.
    #[inline]
    pub(super) fn answer(&self, number: u32) -> Found {
        let age = self.next.load(Acquire).wrapping_sub(number) as i32;
        let since = number.wrapping_sub(self.first.load(Relaxed)) as i32;
        // The oldest word may be in use for new requests already.
        if since < 0 || age > (REMEMBERED - 64) as i32 {
            return Found::Past;
        }
        let bit = 1 << (number % 64);
        if self.word(number).fetch_or(bit, Relaxed) & bit == 0 { Found::Waiting } else { Found::Answered }
    }

    /// Tells the others that this worker sends no more.
    pub(super) fn finish(&self) {
        self.sending.store(false, Release);
    }

    fn word(&self, number: u32) -> &AtomicU64 {
        &self.answered[(number % REMEMBERED / 64) as usize]
    }
}

/// The lanes of all workers.
pub(super) struct Board(Box<[Lane]>);

/// Sums over the lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) wrong: u64,
}

impl Board {
    /// For so many workers.
    pub(super) fn new(workers: usize) -> Self {
        Board((0..workers).map(|_| Lane::new()).collect())
    }

    /// The lane of one worker.
    #[inline]
    pub(super) fn lane(&self, worker: usize) -> &Lane {
        &self.0[worker]
    }

    /// The lane of a worker that a transaction ID names.
    #[inline]
    pub(super) fn find(&self, worker: u8) -> Option<&Lane> {
        self.0.get(usize::from(worker))
    }

    /// Begins a step. No worker may be at work.
    pub(super) fn begin(&self) {
        for lane in &self.0 {
            [&lane.sent, &lane.received, &lane.wrong].into_iter().for_each(|count| count.set(0));
            lane.first.store(lane.next(), Relaxed);
            lane.sending.store(true, Release);
        }
    }

    /// What this step has counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.0.iter().fold(Counts::default(), |sum, lane| Counts {
            sent: sum.sent + lane.sent.get(),
            received: sum.received + lane.received.get(),
            wrong: sum.wrong + lane.wrong.get(),
        })
    }

    /// Whether nobody sends any more and all that left is answered.
    pub(super) fn is_settled(&self) -> bool {
        let counts = || {
            let Counts { sent, received, .. } = self.counts();
            received >= sent
        };
        self.0.iter().all(|lane| !lane.sending.load(Acquire)) && counts()
    }
}

#[cfg(test)]
mod tests {
    use super::{Board, Counts, Found, REMEMBERED};

    fn send(board: &Board, worker: usize, count: u32) {
        let lane = board.lane(worker);
        for number in 0..count {
            lane.prepare(lane.next().wrapping_add(number));
        }
        lane.left(count, count.into());
    }

    #[test]
    fn a_request_is_answered_once() {
        let board = Board::new(2);
        board.begin();
        send(&board, 1, 3);
        let lane = board.find(1).unwrap();
        assert_eq!(lane.answer(2), Found::Waiting);
        assert_eq!(lane.answer(2), Found::Answered);
        assert_eq!(lane.answer(0), Found::Waiting);
        assert!(board.find(2).is_none());
    }

    #[test]
    fn replies_of_an_earlier_step_and_to_what_is_forgotten_are_past() {
        let board = Board::new(1);
        board.begin();
        send(&board, 0, 10);
        board.begin();
        send(&board, 0, 10);
        assert_eq!(board.lane(0).answer(9), Found::Past);
        assert_eq!(board.lane(0).answer(10), Found::Waiting);
        send(&board, 0, REMEMBERED);
        assert_eq!(board.lane(0).answer(11), Found::Past);
        assert_eq!(board.lane(0).answer(20 + 64), Found::Waiting);
    }

    #[test]
    fn a_place_is_free_again_when_its_number_comes_round() {
        let board = Board::new(1);
        board.begin();
        send(&board, 0, 1);
        assert_eq!(board.lane(0).answer(0), Found::Waiting);
        send(&board, 0, REMEMBERED);
        assert_eq!(board.lane(0).answer(REMEMBERED), Found::Waiting);
    }

    #[test]
    fn numbers_go_on_after_the_greatest() {
        let board = Board::new(1);
        board.lane(0).left(u32::MAX - 1, 0);
        board.begin();
        send(&board, 0, 4);
        for number in [u32::MAX - 1, u32::MAX, 0, 1] {
            assert_eq!(board.lane(0).answer(number), Found::Waiting, "{number}");
        }
        assert_eq!(board.lane(0).answer(u32::MAX - 2), Found::Past);
    }

    #[test]
    fn a_step_is_settled_when_all_are_done_and_all_is_answered() {
        let board = Board::new(2);
        board.begin();
        send(&board, 0, 2);
        board.lane(1).received.add(1);
        board.lane(0).finish();
        assert!(!board.is_settled());
        board.lane(1).finish();
        assert!(!board.is_settled());
        board.lane(0).received.add(1);
        assert!(board.is_settled());
        assert_eq!(board.counts(), Counts { sent: 2, received: 2, wrong: 0 });
        board.begin();
        assert_eq!(board.counts(), Counts::default());
    }
}
