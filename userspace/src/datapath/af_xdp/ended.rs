//! Queues whose worker ended, and what another worker of the same queue takes over from it.

use super::request::EndedQueue;
use crate::error::Result;
use crate::stats::WorkerStats;
use std::sync::Arc;

/// The queues that have no worker any more, at most one entry for each.
#[derive(Default)]
pub(super) struct EndedQueues(Vec<EndedQueue>);

impl EndedQueues {
    /// Adds a queue whose worker has just ended.
    pub(super) fn add(&mut self, queue: EndedQueue) {
        self.0.push(queue);
    }

    /// Starts another worker of a queue by `start`, which gets the counters of the former one: its counts go on, so
    /// that a queue has one row in the status and one series of each metric.
    ///
    /// # Errors
    /// That of `start`; the queue stays among these.
    pub(super) fn restart<Q>(
        &mut self,
        number: u32,
        start: impl FnOnce(Arc<WorkerStats>) -> Result<Q>,
    ) -> Result<Q> {
        let former = self.0.iter().find(|ended| ended.number == number);
        let started = start(former.map(|ended| Arc::clone(&ended.stats)).unwrap_or_default())?;
        self.0.retain(|ended| ended.number != number);
        Ok(started)
    }

    /// Returns all of them.
    pub(super) fn as_slice(&self) -> &[EndedQueue] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{EndedQueue, EndedQueues};
    use crate::error::Failure;
    use crate::stats::WorkerStats;
    use std::sync::Arc;

    #[test]
    fn a_queue_that_is_bound_again_has_one_row_and_keeps_its_counts() {
        let mut ended = EndedQueues::default();
        for number in 0..4 {
            let stats = Arc::new(WorkerStats::default());
            stats.received.add(100 + u64::from(number));
            ended.add(EndedQueue { number, core: 1, stats });
        }
        // Queue 0 ended before and is not bound again; queue 2 cannot be.
        let mut rows = Vec::new();
        for number in 1..4 {
            let start = |stats: Arc<WorkerStats>| {
                if number == 2 { Err(Failure::system("the queue is busy")) } else { Ok(stats) }
            };
            if let Ok(stats) = ended.restart(number, start) {
                stats.received.add(1000);
                rows.push((number, stats.received.get()));
            }
        }
        rows.extend(ended.as_slice().iter().map(|queue| (queue.number, queue.stats.received.get())));
        rows.sort_unstable();
        assert_eq!(rows, [(0, 100), (1, 1101), (2, 102), (3, 1103)]);
    }

    #[test]
    fn a_queue_without_a_former_worker_starts_from_zero() {
        let stats = EndedQueues::default().restart(0, Ok).unwrap();
        assert_eq!(stats.received.get(), 0);
    }
}
