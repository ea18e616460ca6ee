//! The generator's worker threads: started once, and run through one step after the other.

use super::plan::LoadPlan;
use super::tally::Tally;
use crate::error::{Failure, Result};
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One step of a load, the same for every worker.
#[derive(Clone)]
pub(super) struct LoadStep {
    /// Requests per second over all workers; `None` to send as fast as possible.
    pub(super) rate: Option<f64>,
    /// When the first request is due, in nanoseconds from the plan's origin.
    pub(super) start: u64,
    /// Ordered when sending must end.
    pub(super) stop: Arc<Stop>,
    /// How long after that a reply may arrive.
    pub(super) grace: Duration,
}

/// The workers.
pub(super) struct WorkerPool {
    plan: Arc<LoadPlan>,
    workers: Vec<PoolWorker>,
}

struct PoolWorker {
    /// `None` once the worker must end.
    steps: Option<SyncSender<LoadStep>>,
    tallies: Receiver<Result<Tally>>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerPool {
    /// Returns a pool without workers.
    pub(super) fn new(plan: Arc<LoadPlan>) -> Self {
        WorkerPool { plan, workers: Vec::new() }
    }

    /// Starts a worker's thread. `prepare` runs on that thread; it returns a value for the caller, and
    /// the function to run in each step.
    ///
    /// # Errors
    /// Those of `prepare`. System: the thread cannot be started.
    pub(super) fn spawn<T, W>(
        &mut self,
        prepare: impl FnOnce() -> Result<(T, W)> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&LoadStep) -> Result<Tally>,
    {
        let (steps, next_step) = sync_channel::<LoadStep>(1);
        let (report, tallies) = sync_channel(1);
        let (ready, prepared) = sync_channel(1);
        let body = move || {
            let mut run = match prepare() {
                Ok((value, run)) => {
                    // The receiver waits for exactly this message, so sending cannot fail; likewise below.
                    let _ = ready.send(Ok(value));
                    run
                }
                Err(failure) => {
                    let _ = ready.send(Err(failure));
                    return;
                }
            };
            for step in next_step {
                let result = run(&step);
                if result.is_err() {
                    // The other workers must not continue for an hour without this one.
                    step.stop.order();
                }
                let _ = report.send(result);
            }
        };
        let thread = thread::Builder::new()
            .name(format!("load-{}", self.workers.len()))
            .spawn(body)
            .map_err(|error| Failure::system("cannot start a sending thread").because(error))?;
        let value = prepared.recv().map_err(|_| ended())??;
        self.workers.push(PoolWorker { steps: Some(steps), tallies, thread: Some(thread) });
        Ok(value)
    }

    /// Begins a step on every worker.
    ///
    /// # Errors
    /// System: there is no file descriptor left, or a worker has ended.
    pub(super) fn begin(&self, rate: Option<f64>, grace: Duration) -> Result<RunningStep<'_>> {
        let stop =
            Stop::new().map_err(|error| Failure::system("cannot get an event descriptor").because(error))?;
        self.plan.tracker.begin_step();
        let step = LoadStep { rate, start: self.plan.now(), stop: Arc::new(stop), grace };
        for worker in &self.workers {
            let sent = worker.steps.as_ref().map(|steps| steps.send(step.clone()));
            if !matches!(sent, Some(Ok(()))) {
                step.stop.order();
                return Err(ended());
            }
        }
        Ok(RunningStep { pool: self, step, began: Instant::now() })
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.steps = None);
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// A step in progress. Dropping it ends the step and discards its counts.
pub(super) struct RunningStep<'a> {
    pool: &'a WorkerPool,
    step: LoadStep,
    began: Instant,
}

impl RunningStep<'_> {
    /// Whether a worker failed, which ends the step for all.
    pub(super) fn has_failed(&self) -> bool {
        self.step.stop.is_ordered()
    }

    /// Ends the sending, waits for the last replies and adds up the tallies. Returns the sum, and how long
    /// requests were sent.
    ///
    /// # Errors
    /// The failure of a worker.
    pub(super) fn end(self) -> Result<(Tally, Duration)> {
        self.step.stop.order();
        let sending = self.began.elapsed();
        let mut sum = Tally::default();
        let mut failed = None;
        for worker in &self.pool.workers {
            match worker.tallies.recv() {
                Ok(Ok(tally)) => sum.add(&tally),
                Ok(Err(failure)) => failed = Some(failure),
                Err(_) => failed = Some(ended()),
            }
        }
        failed.map_or(Ok((sum, sending)), Err)
    }
}

impl Drop for RunningStep<'_> {
    fn drop(&mut self) {
        self.step.stop.order();
    }
}

fn ended() -> Failure {
    Failure::system("a sending thread ended unexpectedly")
}
