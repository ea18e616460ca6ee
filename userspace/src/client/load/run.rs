//! A load from its first step to its report: the warm-up, then one step or the steps of a search.

use super::plan::LoadPlan;
use super::pool::WorkerPool;
use super::progress::ProgressLine;
use super::report::{LoadReport, per_second};
use super::search::{self, Measurement};
use super::tally::Tally;
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after the last request of a load a reply may arrive.
const GRACE: Duration = Duration::from_secs(1);
/// The same for a step of a search, of which there are many.
const STEP_GRACE: Duration = Duration::from_millis(300);
/// Time between two updates of the progress line.
const TICK: Duration = Duration::from_millis(200);
/// The rate at which a search begins without `--rate`, in requests per second.
const FIRST_RATE: f64 = 20_000.0;

/// A load in progress.
pub(super) struct LoadRun<'a, 'p> {
    plan: &'a LoadPlan,
    pool: &'a WorkerPool,
    signals: Signals,
    interrupted: bool,
    progress: ProgressLine<'p>,
    wrong: u64,
}

impl<'a, 'p> LoadRun<'a, 'p> {
    /// Catches SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// System: the signals cannot be caught.
    pub(super) fn new(
        plan: &'a LoadPlan,
        pool: &'a WorkerPool,
        progress: Option<&'p mut dyn Write>,
    ) -> Result<Self> {
        let (signals, progress) = (Signals::catch()?, ProgressLine::new(progress));
        Ok(LoadRun { plan, pool, signals, interrupted: false, progress, wrong: 0 })
    }

    /// Warms up, then sends for the time and at the rate that the flags say.
    ///
    /// # Errors
    /// The failure of a worker.
    pub(super) fn once(&mut self, args: &LoadArgs, path: &'static str) -> Result<LoadReport> {
        let rate = args.rate.map(|rate| rate.get() as f64);
        self.warm_up(args, rate)?;
        let (tally, sending) = self.step("load", rate, args.duration, GRACE)?;
        self.progress.erase();
        Ok(LoadReport { server: self.plan.server, path, tally, wrong: self.wrong, sending, found: None })
    }

    /// Searches for the highest rate that the server sustains. The report shows the step at that rate, or
    /// the last step if no rate was sustained.
    ///
    /// # Errors
    /// The failure of a worker.
    pub(super) fn search(&mut self, args: &LoadArgs, path: &'static str) -> Result<LoadReport> {
        let first = args.rate.map_or(FIRST_RATE, |rate| rate.get() as f64);
        self.warm_up(args, Some(first))?;
        let mut tallies: Vec<(Tally, Duration)> = Vec::new();
        let found = search::find_max(first, args.loss, |rate| {
            if self.interrupted {
                return Ok(None);
            }
            let (tally, sending) = self.step(&format!("{rate:.0}/s"), Some(rate), args.step, STEP_GRACE)?;
            let measured = Measurement {
                rate,
                requests_per_second: per_second(tally.sent, sending),
                replies_per_second: per_second(tally.received_while_sending, sending),
                loss: tally.loss(),
            };
            tallies.push((tally, sending));
            // An interrupted step measures nothing. If it is the first one, it is reported all the same.
            Ok((!self.interrupted || tallies.len() == 1).then_some(measured))
        })?;
        self.progress.erase();
        let shown = found.best.unwrap_or(found.steps.len().saturating_sub(1));
        let (tally, sending) = if shown < tallies.len() {
            tallies.swap_remove(shown)
        } else {
            (Tally::default(), Duration::ZERO)
        };
        Ok(LoadReport {
            server: self.plan.server,
            path,
            tally,
            wrong: self.wrong,
            sending,
            found: Some(found),
        })
    }

    /// Sends without counting. Replies that arrive later are stale, and do not count either.
    fn warm_up(&mut self, args: &LoadArgs, rate: Option<f64>) -> Result<()> {
        match args.warm_up {
            Some(time) => self.step("warm-up", rate, time, Duration::ZERO).map(drop),
            None => Ok(()),
        }
    }

    /// Sends for `time`, or until a signal arrives. Returns the tally, and how long requests were sent.
    fn step(
        &mut self,
        what: &str,
        rate: Option<f64>,
        time: Duration,
        grace: Duration,
    ) -> Result<(Tally, Duration)> {
        self.progress.begin_step();
        let began = Instant::now();
        let running = self.pool.begin(rate, grace)?;
        while !self.interrupted && !running.has_failed() {
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            self.interrupted = self.signals.wait(left.min(TICK));
            self.progress.show(what, self.plan.tracker.counts(), began.elapsed(), time);
        }
        let (tally, sending) = running.end()?;
        self.wrong += tally.wrong;
        Ok((tally, sending))
    }
}

/// SIGINT and SIGTERM, caught as long as this exists.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let entered = runtime.enter();
            let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            drop(entered);
            Ok(Signals { runtime, interrupt, terminate })
        };
        catch().map_err(|error: io::Error| Failure::system("cannot catch signals").because(error))
    }

    /// Waits for a signal, but no longer than `time`. Returns whether one arrived.
    fn wait(&mut self, time: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => false,
                _ = self.interrupt.recv() => true,
                _ = self.terminate.recv() => true,
            }
        })
    }
}
