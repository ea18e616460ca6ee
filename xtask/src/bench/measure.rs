//! Measures in rounds over all rows, each row alone in a network of its own, so that a drift of the
//! machine affects all rows alike.

use super::contenders::{Contender, Programs};
use super::generator::{Generator, Sample};
use super::metrics::{BenchRow, Metric, Numbers};
use super::network::{BenchNetwork, Cores, Napi};
use super::search::{Capacity, Precision, capacity};
use super::server::MeasuredServer;
use crate::interrupt::Interrupt;
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// Rate of the flood, as a multiple of the capacity.
pub(super) const FLOOD: f64 = 5.0;
/// Requests a second of the load at which all rows that answer so many are compared by processor time: most
/// of that is for wake-ups, which depend on the rate.
pub(super) const FIXED: f64 = 300_000.0;
/// Capacity below which a row is not loaded with [`FIXED`]: it would count what a saturated server takes.
const FIXED_CAPACITY: f64 = 0.9 * FIXED;
/// Time for a server to settle after its first reply, and for the interfaces' addresses.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the idle server is measured.
const IDLE: Duration = Duration::from_secs(2);
/// The first rate to try; the replies to it are a first guess of the capacity.
const FIRST: f64 = 200_000.0;
/// Precision for choosing the best setting.
const ROUGH: Precision = Precision { ratio: 1.25 };
/// Precision for the result.
const FINE: Precision = Precision { ratio: 1.03 };

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    /// Duration of one load.
    pub(super) step: Duration,
    /// Whether to try every setting of a row.
    pub(super) tune: bool,
}

/// What all rounds share.
pub(super) struct Bench<'a> {
    pub(super) programs: &'a Programs,
    pub(super) available: &'a [usize],
    pub(super) effort: Effort,
    pub(super) interrupt: &'a Interrupt,
}

/// A row between rounds.
struct Running {
    contender: Contender,
    napi: Napi,
    guess: f64,
    bound_by_generator: bool,
    rounds: Vec<Numbers>,
}

impl Bench<'_> {
    /// Measures every contender. Prints and leaves out a row that cannot be measured.
    ///
    /// # Errors
    /// The verb was interrupted.
    pub(super) fn run(&self, contenders: Vec<Contender>) -> Result<Vec<BenchRow>> {
        let mut running = Vec::new();
        for contender in contenders {
            match self.tune(&contender) {
                Ok((napi, guess)) => running.push(Running {
                    contender,
                    napi,
                    guess,
                    bound_by_generator: false,
                    rounds: Vec::new(),
                }),
                Err(error) => {
                    self.interrupt.check()?;
                    println!("{}: left out: {error:#}", contender.label);
                }
            }
        }
        for round in 1..=self.effort.rounds {
            for row in &mut running {
                let begun = Instant::now();
                let label = row.contender.label;
                match self.round(row) {
                    Ok(numbers) => {
                        println!(
                            "round {round}: {label}: {:.0} replies/s, {:.0} under the flood of {:.0} ({:.0} s)",
                            numbers.get(Metric::Capacity).unwrap_or_default(),
                            numbers.get(Metric::Flood).unwrap_or_default(),
                            numbers.get(Metric::FloodSent).unwrap_or_default(),
                            begun.elapsed().as_secs_f64()
                        );
                        row.rounds.push(numbers);
                    }
                    Err(error) => {
                        self.interrupt.check()?;
                        println!("round {round}: {label}: failed: {error:#}");
                    }
                }
            }
        }
        Ok(running.into_iter().filter(|row| !row.rounds.is_empty()).map(|row| self.row(row)).collect())
    }

    fn row(&self, running: Running) -> BenchRow {
        BenchRow {
            id: running.contender.id,
            label: running.contender.label,
            kind: running.contender.kind,
            setting: running.napi.name(),
            shared_core: self.cores(&running.contender).shared(),
            bound_by_generator: running.bound_by_generator,
            medians: Numbers::medians(&running.rounds),
            rounds: running.rounds,
        }
    }

    fn cores(&self, contender: &Contender) -> Cores {
        Cores::of(self.available, contender.width)
    }

    /// The setting with the highest capacity, and about what that is. Without tuning, the first setting.
    fn tune(&self, contender: &Contender) -> Result<(Napi, f64)> {
        let tries = if self.effort.tune { contender.settings.len() } else { 1 };
        let mut best: Option<(Napi, f64)> = None;
        for &napi in &contender.settings[..tries] {
            let cores = self.cores(contender);
            let network = BenchNetwork::build(contender.width, napi, &cores)?;
            let server = MeasuredServer::start(contender, &network, self.programs, &cores, self.interrupt)?;
            let found = self.search(contender, &network, &cores, None, ROUGH)?;
            drop(server);
            println!("{}: {}: about {:.0} replies/s", contender.label, napi.name(), found.best.replies);
            if best.is_none_or(|(_, replies)| found.best.replies > replies) {
                best = Some((napi, found.best.replies));
            }
        }
        best.context("the row has no setting")
    }

    /// Searches for the capacity from a guess or, without one, from the replies to a first load.
    fn search(
        &self,
        contender: &Contender,
        network: &BenchNetwork,
        cores: &Cores,
        guess: Option<f64>,
        precision: Precision,
    ) -> Result<Capacity> {
        let generator = Generator::new(self.programs, network, cores, contender);
        let load = |rate| generator.run(rate, self.effort.step, self.interrupt);
        let guess = match guess {
            Some(guess) => guess,
            None => load(FIRST)?.replies,
        };
        capacity(guess, precision, load)
    }

    fn round(&self, row: &mut Running) -> Result<Numbers> {
        let cores = self.cores(&row.contender);
        let network = BenchNetwork::build(row.contender.width, row.napi, &cores)?;
        let mut server =
            MeasuredServer::start(&row.contender, &network, self.programs, &cores, self.interrupt)?;
        let generator = Generator::new(self.programs, &network, &cores, &row.contender);
        let mut numbers = Numbers::default();

        std::thread::sleep(SETTLE);
        let before = (Instant::now(), server.used()?);
        std::thread::sleep(IDLE);
        let idle = server.used()?.with_napi - before.1.with_napi;
        numbers.set(Metric::Idle, idle as f64 / before.0.elapsed().as_nanos() as f64);
        let memory = server.memory()?;
        numbers.set(Metric::Memory, memory as f64);

        let found = self.search(&row.contender, &network, &cores, Some(row.guess), FINE)?;
        row.bound_by_generator |= found.bound_by_generator;
        row.guess = found.best.replies;
        numbers.set(Metric::Capacity, found.best.replies);

        let before = server.used()?;
        let half = generator.run(found.best.replies / 2.0, self.effort.step, self.interrupt)?;
        let used = server.used()?.with_napi - before.with_napi;
        numbers.set(Metric::ProcessTime, used as f64 / self.replies(&half));
        if let Some([p50, p99, p999]) = half.latency {
            numbers.set(Metric::P50, p50);
            numbers.set(Metric::P99, p99);
            numbers.set(Metric::P999, p999);
        }

        if found.best.replies >= FIXED_CAPACITY {
            let before = server.used()?;
            let fixed = generator.run(FIXED, self.effort.step, self.interrupt)?;
            let used = server.used()?;
            numbers.set(Metric::FixedTime, (used.with_napi - before.with_napi) as f64 / self.replies(&fixed));
            let own = (used.process - before.process) as f64;
            numbers.set(Metric::OwnThreads, own / self.effort.step.as_nanos() as f64);
        }

        let before = server.used()?;
        let flood = generator.run(FLOOD * found.best.replies, self.effort.step, self.interrupt)?;
        let used = server.used()?.cores - before.cores;
        numbers.set(Metric::CoreTime, used as f64 / self.replies(&flood));
        numbers.set(Metric::Flood, flood.replies);
        numbers.set(Metric::FloodSent, flood.sent);
        server.check()?;
        numbers.set(Metric::MemoryGrowth, server.memory()? as f64 - memory as f64);
        Ok(numbers)
    }

    /// Number of replies in a whole load.
    fn replies(&self, sample: &Sample) -> f64 {
        sample.replies * self.effort.step.as_secs_f64()
    }
}
