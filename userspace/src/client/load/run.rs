//! One load from its first step to its report: warm-up, then a single step or the steps of a search.

use super::crew::Crew;
use super::plan::Plan;
use super::progress::Progress;
use super::report::{Report, per_second};
use super::search::{self, Measured};
use super::tally::Tally;
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after the last request of a load a reply may come.
const GRACE: Duration = Duration::from_secs(1);
/// The same for a step of a search, of which there are many.
const STEP_GRACE: Duration = Duration::from_millis(300);
/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);
/// Where a search begins, in requests a second, unless `--rate` says so.
const FIRST_RATE: f64 = 20_000.0;

/// A load under way.
pub(super) struct Run<'a, 'p> {
    plan: &'a Plan,
    crew: &'a Crew,
    signals: Signals,
    interrupted: bool,
    progress: Progress<'p>,
    wrong: u64,
}

impl<'a, 'p> Run<'a, 'p> {
    /// Signals are caught from here on.
    ///
    /// # Errors
    /// They cannot be caught.
    pub(super) fn new(plan: &'a Plan, crew: &'a Crew, progress: Option<&'p mut dyn Write>) -> Result<Self> {
        let (signals, progress) = (Signals::catch()?, Progress::new(progress));
        Ok(Run { plan, crew, signals, interrupted: false, progress, wrong: 0 })
    }

    /// Warms up, then sends for as long and as fast as the flags say.
    ///
    /// # Errors
    /// What a worker failed of.
    pub(super) fn once(&mut self, args: &LoadArgs, path: &'static str) -> Result<Report> {
        let rate = args.rate.map(|rate| rate.get() as f64);
        self.warm_up(args, rate)?;
        let (tally, sending) = self.step("load", rate, args.duration, GRACE)?;
        self.progress.end();
        Ok(Report { server: self.plan.server, path, tally, wrong: self.wrong, sending, found: None })
    }

    /// Searches for the highest rate that the server bears. Reports the step that had it, or the last
    /// one if none had.
    ///
    /// # Errors
    /// What a worker failed of.
    pub(super) fn search(&mut self, args: &LoadArgs, path: &'static str) -> Result<Report> {
        let first = args.rate.map_or(FIRST_RATE, |rate| rate.get() as f64);
        self.warm_up(args, Some(first))?;
        let mut tallies: Vec<(Tally, Duration)> = Vec::new();
        let found = search::find_max(first, args.loss, |rate| {
            if self.interrupted {
                return Ok(None);
            }
            let (tally, sending) = self.step(&format!("{rate:.0}/s"), Some(rate), args.step, STEP_GRACE)?;
            let measured = Measured {
                rate,
                requests_per_second: per_second(tally.sent, sending),
                replies_per_second: per_second(tally.received_while_sending, sending),
                loss: tally.loss(),
            };
            tallies.push((tally, sending));
            // A step cut short tells nothing, but is all that there is if it is the first.
            Ok((!self.interrupted || tallies.len() == 1).then_some(measured))
        })?;
        self.progress.end();
        let shown = found.best.unwrap_or(found.steps.len().saturating_sub(1));
        let (tally, sending) = if shown < tallies.len() {
            tallies.swap_remove(shown)
        } else {
            (Tally::default(), Duration::ZERO)
        };
        Ok(Report { server: self.plan.server, path, tally, wrong: self.wrong, sending, found: Some(found) })
    }

    /// Sends without counting. Replies that come later belong to no step and count neither.
    fn warm_up(&mut self, args: &LoadArgs, rate: Option<f64>) -> Result<()> {
        match args.warm_up {
            Some(time) => self.step("warm-up", rate, time, Duration::ZERO).map(drop),
            None => Ok(()),
        }
    }

    /// Sends for this long, or until a signal comes. Gives what was counted, and how long was sent.
    fn step(
        &mut self,
        what: &str,
        rate: Option<f64>,
        time: Duration,
        grace: Duration,
    ) -> Result<(Tally, Duration)> {
        self.progress.begin();
        let began = Instant::now();
        let running = self.crew.begin(rate, grace)?;
        while !self.interrupted && !running.has_failed() {
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            self.interrupted = self.signals.come_within(left.min(TICK));
            self.progress.show(what, self.plan.board.counts(), began.elapsed(), time);
        }
        let (tally, sending) = running.end()?;
        self.wrong += tally.wrong;
        Ok((tally, sending))
    }
}

/// SIGINT and SIGTERM, caught from the moment this exists.
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

    /// Waits for one of them, or until the time is over; whether one came.
    fn come_within(&mut self, time: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => false,
                _ = self.interrupt.recv() => true,
                _ = self.terminate.recv() => true,
            }
        })
    }
}
