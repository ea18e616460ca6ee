//! The generator's threads: hired once, sent through one step after the other.

use super::plan::Plan;
use super::tally::Tally;
use crate::error::{Failure, Result};
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Orders for one step, the same for every worker.
#[derive(Clone)]
pub(super) struct Step {
    /// Requests a second over all workers; as many as leave if `None`.
    pub(super) rate: Option<f64>,
    /// When the first is due, in nanoseconds from the plan's origin.
    pub(super) start: u64,
    /// The end of sending.
    pub(super) stop: Arc<Stop>,
    /// How long after that a reply may come.
    pub(super) grace: Duration,
}

/// The workers, in the order of their lanes.
pub(super) struct Crew {
    plan: Arc<Plan>,
    members: Vec<Member>,
}

struct Member {
    orders: Option<SyncSender<Step>>,
    tallies: Receiver<Result<Tally>>,
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    /// Nobody yet.
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Crew { plan, members: Vec::new() }
    }

    /// Starts a worker's thread: `prepare` runs on it and gives something for the caller and what to do
    /// at each step.
    ///
    /// # Errors
    /// Those of `prepare`, and that no thread could be started.
    pub(super) fn hire<T, W>(
        &mut self,
        prepare: impl FnOnce() -> Result<(T, W)> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&Step) -> Result<Tally>,
    {
        let (orders, steps) = sync_channel::<Step>(1);
        let (report, tallies) = sync_channel(1);
        let (ready, readied) = sync_channel(1);
        let work = move || {
            let mut work = match prepare() {
                Ok((told, work)) => {
                    // Whoever hires waits for exactly this; so below for the tally.
                    let _ = ready.send(Ok(told));
                    work
                }
                Err(failure) => {
                    let _ = ready.send(Err(failure));
                    return;
                }
            };
            for step in steps {
                let result = work(&step);
                if result.is_err() {
                    // The others must not go on for an hour without this one.
                    step.stop.order();
                }
                let _ = report.send(result);
            }
        };
        let thread = thread::Builder::new()
            .name(format!("load-{}", self.members.len()))
            .spawn(work)
            .map_err(|error| Failure::system("cannot start a sending thread").because(error))?;
        let member = Member { orders: Some(orders), tallies, thread: Some(thread) };
        match readied.recv() {
            Ok(told) => {
                self.members.push(member);
                told
            }
            Err(_) => Err(gone()),
        }
    }

    /// Begins a step on every worker.
    ///
    /// # Errors
    /// No file descriptor was to be had, or a worker is gone.
    pub(super) fn begin(&self, rate: Option<f64>, grace: Duration) -> Result<Running<'_>> {
        let stop =
            Stop::new().map_err(|error| Failure::system("cannot get an event descriptor").because(error))?;
        self.plan.board.begin();
        let step = Step { rate, start: self.plan.now(), stop: Arc::new(stop), grace };
        for member in &self.members {
            let sent = member.orders.as_ref().map(|orders| orders.send(step.clone()));
            if !matches!(sent, Some(Ok(()))) {
                step.stop.order();
                return Err(gone());
            }
        }
        Ok(Running { crew: self, step, began: Instant::now() })
    }
}

/// A step under way. Dropping it ends it, and its counts are lost.
pub(super) struct Running<'a> {
    crew: &'a Crew,
    step: Step,
    began: Instant,
}

impl Running<'_> {
    /// Whether a worker failed, which ends the step for all.
    pub(super) fn has_failed(&self) -> bool {
        self.step.stop.is_ordered()
    }

    /// Ends the sending, waits for the last replies and adds everything up. Gives how long was sent too.
    ///
    /// # Errors
    /// What a worker failed of.
    pub(super) fn end(self) -> Result<(Tally, Duration)> {
        self.step.stop.order();
        let sending = self.began.elapsed();
        let mut sum = Tally::default();
        let mut failed = None;
        for member in &self.crew.members {
            match member.tallies.recv() {
                Ok(Ok(tally)) => sum.add(&tally),
                Ok(Err(failure)) => failed = Some(failure),
                Err(_) => failed = Some(gone()),
            }
        }
        failed.map_or(Ok((sum, sending)), Err)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.step.stop.order();
    }
}

fn gone() -> Failure {
    Failure::system("a sending thread ended by itself")
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(|member| member.orders = None);
        for thread in self.members.iter_mut().filter_map(|member| member.thread.take()) {
            let _ = thread.join();
        }
    }
}
