//! How often a worker polls an empty ring before it sleeps.

/// The largest budget. The next batch of a busy queue arrives within it, and it costs an idle queue nothing.
const FULL_BUDGET: u32 = 256;
/// Sleeps after which the full budget is tried again.
const SLEEPS_PER_TRIAL: u32 = 64;

/// Learns whether polling helps. Where another core receives, the next batch arrives meanwhile, which saves
/// a sleep and a wake-up. Where the worker's own core receives (the interrupt or the NAPI thread of its
/// queue runs there), nothing can arrive while the worker polls: every poll delays the next frame.
#[derive(Debug)]
pub(super) struct PollBudget {
    /// Polls before the next sleep.
    budget: u32,
    /// Polls since the last frame or sleep.
    polls: u32,
    /// Sleeps since the full budget was last tried.
    sleeps: u32,
}

impl Default for PollBudget {
    fn default() -> Self {
        PollBudget { budget: FULL_BUDGET, polls: 0, sleeps: 0 }
    }
}

impl PollBudget {
    /// Notes that a frame came. If polling found it, the budget is full again.
    #[inline]
    pub(super) fn found(&mut self) {
        if self.polls > 0 {
            self.budget = FULL_BUDGET;
            self.polls = 0;
        }
    }

    /// Notes that no frame came, and returns whether to poll again. If not, the worker sleeps, and the next
    /// budget is half of this one.
    #[inline]
    pub(super) fn polls_again(&mut self) -> bool {
        if self.polls < self.budget {
            self.polls += 1;
            return true;
        }
        self.polls = 0;
        self.sleeps += 1;
        self.budget /= 2;
        if self.sleeps == SLEEPS_PER_TRIAL {
            self.sleeps = 0;
            self.budget = FULL_BUDGET;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL_BUDGET, PollBudget, SLEEPS_PER_TRIAL};

    /// Polls in vain until the worker would sleep; returns how often.
    fn polls(budget: &mut PollBudget) -> u32 {
        std::iter::repeat_with(|| budget.polls_again()).take_while(|again| *again).count() as u32
    }

    #[test]
    fn polls_in_vain_halve_the_budget() {
        let mut budget = PollBudget::default();
        let budgets: Vec<u32> = (0..12).map(|_| polls(&mut budget)).collect();
        assert_eq!(budgets, [256, 128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn a_poll_that_finds_a_frame_restores_the_budget() {
        let mut budget = PollBudget::default();
        (0..6).for_each(|_| assert!(polls(&mut budget) > 0));
        assert!(budget.polls_again());
        budget.found();
        assert_eq!(polls(&mut budget), FULL_BUDGET);
    }

    #[test]
    fn a_frame_that_woke_the_worker_leaves_the_budget() {
        let mut budget = PollBudget::default();
        assert_eq!((0..12).map(|_| polls(&mut budget)).last(), Some(0));
        budget.found();
        assert_eq!(polls(&mut budget), 0);
    }

    #[test]
    fn the_full_budget_is_tried_again_regularly() {
        let mut budget = PollBudget::default();
        let tries = (0..3 * SLEEPS_PER_TRIAL).filter(|_| polls(&mut budget) == FULL_BUDGET).count();
        assert_eq!(tries, 3);
    }
}
