//! `cargo xtask bench`: measures xstun beside its limit and beside other servers; with `--instructions`,
//! counts the instructions of each piece of the fast path.

mod bars;
mod contenders;
mod generator;
mod instructions;
mod measure;
mod metrics;
mod network;
mod page;
mod plot;
mod report;
#[cfg(test)]
mod sample;
mod search;
mod server;

use crate::interrupt::Interrupt;
use crate::run::{ask, exec};
use crate::setup::Needs;
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use contenders::{Programs, baselines_target};
use measure::{Bench, Effort};
use metrics::BenchRow;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What to measure, and for how long.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Count instructions of the fast path with callgrind; fail if a count grew
    #[arg(long)]
    instructions: bool,
    /// With --instructions: record the new counts in the repository
    #[arg(long, requires = "instructions")]
    bless: bool,
    /// One short round, each server with the first of its settings: shows that everything works; docs/
    /// stays unchanged
    #[arg(long, conflicts_with = "instructions")]
    quick: bool,
    /// Measure only these rows; docs/ stays unchanged
    #[arg(long, value_name = "ROW,...", value_delimiter = ',', conflicts_with = "instructions")]
    only: Vec<String>,
    /// Measure only the rows that the bars of kernel answers compare; docs/ stays unchanged
    #[arg(long, conflicts_with_all = ["instructions", "only"])]
    kernel_answers: bool,
    /// Measure this xstun instead of the one of these sources, to compare two builds. Builds nothing: the
    /// other programs are those of the last run. docs/ stays unchanged
    #[arg(long, value_name = "FILE", conflicts_with = "instructions")]
    xstun: Option<PathBuf>,
    /// Rounds over all rows; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = odd)]
    rounds: usize,
    /// Seconds per load
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    step: f64,
}

impl BenchOptions {
    /// Keys of the rows to measure; all if empty.
    fn only(&self) -> Vec<String> {
        let kernel_answers = contenders::KERNEL_ANSWERS.iter().filter(|_| self.kernel_answers);
        self.only.iter().cloned().chain(kernel_answers.map(|id| (*id).to_owned())).collect()
    }
}

const PAGE: &str = "docs/measurements.md";
const PLOT: &str = "docs/benchmark.svg";
const README: &str = "README.md";

/// Measures what the options say.
///
/// # Errors
/// A build failed, the verb was interrupted, a result cannot be written, or a count grew.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    if options.instructions {
        return instructions::run(workspace, options.bless);
    }
    let contenders = chosen(&options.only())?;
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the benchmark makes network namespaces and loads XDP programs, which needs root: run \
             `sudo env \"PATH=$PATH\" cargo xtask bench`"
        );
    }
    let mut programs = Programs::of(workspace);
    match &options.xstun {
        Some(other) => {
            programs.served = fs::canonicalize(other).with_context(|| other.display().to_string())?
        }
        None => build_all(workspace)?,
    }
    let interrupt = Interrupt::catch()?;
    netns::reap(network::KIND)?;
    fs::create_dir_all(programs.scratch())
        .with_context(|| format!("cannot make {}", programs.scratch().display()))?;
    let available = network::available_cores()?;
    let effort = if options.quick {
        Effort { rounds: 1, step: Duration::from_millis(500), tune: false }
    } else {
        Effort { rounds: options.rounds, step: Duration::from_secs_f64(options.step), tune: true }
    };
    let bench = Bench { programs: &programs, available: &available, effort, interrupt: &interrupt };
    let rows = bench.run(contenders)?;
    publish(workspace, options, &programs, effort, &rows)
}

/// Prints the results and writes them: always as JSON, and as the page, the plot and the README's table if
/// all rows were measured in full.
fn publish(
    workspace: &Workspace,
    options: &BenchOptions,
    programs: &Programs,
    effort: Effort,
    rows: &[BenchRow],
) -> Result<()> {
    println!("\n{}\n{}", report::table(rows), report::bars(rows));
    let (day, commit) = network::day_and_commit(&workspace.root);
    let setting = report::BenchContext {
        day,
        commit,
        machine: network::machine(),
        command: "cargo xtask bench".to_owned(),
        rounds: effort.rounds,
        step: effort.step.as_secs_f64(),
    };
    let json = json!({
        "day": setting.day,
        "commit": setting.commit,
        "machine": setting.machine,
        "rounds": setting.rounds,
        "step_s": setting.step,
        "rows": rows.iter().map(BenchRow::json).collect::<Vec<_>>(),
    });
    let write = |path: &std::path::Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
        Ok::<_, anyhow::Error>(())
    };
    write(&programs.scratch().join("bench.json"), &format!("{json:#}\n"))?;
    let title = format!("xstun beside its limit and other servers, {}, {}", setting.day, setting.machine);
    let plot = plot::svg(rows, &title);
    let section = report::section(rows, &setting, "benchmark.svg");
    if options.quick || !options.only().is_empty() || options.xstun.is_some() {
        write(&programs.scratch().join("benchmark.svg"), &plot)?;
        return write(&programs.scratch().join("measurements.md"), &section);
    }
    for (name, section) in [(PAGE, section), (README, report::summary(rows, &setting))] {
        let page = workspace.root.join(name);
        let before = fs::read_to_string(&page).unwrap_or_default();
        write(&page, &page::with_section(&before, &section).context(name)?)?;
    }
    write(&workspace.root.join(PLOT), &plot)
}

/// Sets up, and builds xstun, the limits, the generator and the baselines.
fn build_all(workspace: &Workspace) -> Result<()> {
    let ready = build::everything(workspace, Needs::BENCH)?;
    let mut limit = workspace.cargo();
    limit.args(["build", "--release", "--package", "xstun-bench", "--features", "flood"]);
    exec(limit.args(["--bin", "limit", "--bin", "swap", "--bin", "flood"]))?;
    build::generator(workspace, &ready)?;
    let mut baselines = workspace.cargo();
    baselines.args(["build", "--release", "--locked", "--manifest-path", "bench/baselines/Cargo.toml"]);
    exec(baselines.arg("--target-dir").arg(baselines_target(workspace)))?;
    if ask(Command::new("turnserver").arg("--version")).is_none() {
        println!("turnserver does not run here: the table will lack coturn");
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<contenders::Contender>> {
    let all = contenders::all();
    if let Some(unknown) = only.iter().find(|id| all.iter().all(|row| row.id != **id)) {
        let ids: Vec<_> = all.iter().map(|row| row.id).collect();
        bail!("--only {unknown}: no such row; choose from {}", ids.join(", "));
    }
    Ok(all.into_iter().filter(|row| only.is_empty() || only.iter().any(|id| id == row.id)).collect())
}

fn odd(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(rounds) if rounds % 2 == 1 => Ok(rounds),
        _ => Err("must be odd, so that there is a median".to_owned()),
    }
}
