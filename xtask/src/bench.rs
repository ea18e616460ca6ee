//! `cargo xtask bench`: xstun side by side with its limit and with what people use instead; or, with
//! `--instructions`, what each piece of the fast path costs.

mod bars;
mod contenders;
mod generator;
mod instructions;
mod measure;
mod metrics;
mod page;
mod plot;
mod report;
#[cfg(test)]
mod sample;
mod search;
mod server;
mod stage;

use crate::interrupt::Interrupt;
use crate::run::{ask, exec};
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use contenders::{Programs, baselines_target};
use measure::{Bench, Effort};
use metrics::Row;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Count instructions of the fast path with callgrind, and fail if a count grew
    #[arg(long)]
    instructions: bool,
    /// With --instructions: keep the new counts in the repository
    #[arg(long, requires = "instructions")]
    bless: bool,
    /// One short round, each server under the first of its settings: shows that all of it works, and
    /// leaves docs/ alone
    #[arg(long, conflicts_with = "instructions")]
    quick: bool,
    /// Measure only these rows; docs/ is left alone
    #[arg(long, value_name = "ROW,...", value_delimiter = ',', conflicts_with = "instructions")]
    only: Vec<String>,
    /// Measure this xstun in place of the one of these sources, to compare two builds; docs/ is left
    /// alone. Nothing is built: the other programs are those of the last run
    #[arg(long, value_name = "FILE", conflicts_with = "instructions")]
    xstun: Option<PathBuf>,
    /// Rounds over all rows; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = odd)]
    rounds: usize,
    /// Seconds of one load
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    step: f64,
}

const PAGE: &str = "docs/measurements.md";
const PLOT: &str = "docs/benchmark.svg";

/// Measures what was asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.instructions {
        return instructions::run(workspace, options.bless);
    }
    let contenders = chosen(&options.only)?;
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
    netns::reap(stage::KIND)?;
    fs::create_dir_all(programs.scratch())
        .with_context(|| format!("cannot make {}", programs.scratch().display()))?;
    let available = stage::available_cores()?;
    let effort = if options.quick {
        Effort { rounds: 1, step: Duration::from_millis(500), tune: false }
    } else {
        Effort { rounds: options.rounds, step: Duration::from_secs_f64(options.step), tune: true }
    };
    let bench = Bench { programs: &programs, available: &available, effort, interrupt: &interrupt };
    let rows = bench.run(contenders)?;
    tell(workspace, options, &programs, effort, &rows)
}

/// Prints the results, and writes them: JSON always, the page and the plot where they are of all rows
/// and of whole rounds.
fn tell(
    workspace: &Workspace,
    options: &Options,
    programs: &Programs,
    effort: Effort,
    rows: &[Row],
) -> Result<()> {
    println!("\n{}\n{}", report::table(rows), report::bars(rows));
    let (day, commit) = stage::day_and_commit(&workspace.root);
    let setting = report::Setting {
        day,
        commit,
        machine: stage::machine(),
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
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
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
    if options.quick || !options.only.is_empty() || options.xstun.is_some() {
        write(&programs.scratch().join("benchmark.svg"), &plot)?;
        return write(&programs.scratch().join("measurements.md"), &section);
    }
    let page = workspace.root.join(PAGE);
    let before = fs::read_to_string(&page).unwrap_or_default();
    write(&page, &page::with_section(&before, &section).context(PAGE)?)?;
    write(&workspace.root.join(PLOT), &plot)
}

/// Builds xstun, the limit and the baselines.
fn build_all(workspace: &Workspace) -> Result<()> {
    let ready = setup::run(workspace, Needs::BENCH)?;
    build::ebpf(workspace, &ready)?;
    build::program(workspace, false)?;
    let mut limit = workspace.cargo();
    limit.args(["build", "--release", "--package", "xstun-bench", "--features", "flood"]);
    exec(limit.args(["--bin", "limit", "--bin", "flood"]))?;
    build::generator(workspace, &ready)?;
    let mut baselines = workspace.cargo();
    baselines.args(["build", "--release", "--locked", "--manifest-path", "bench/baselines/Cargo.toml"]);
    exec(baselines.arg("--target-dir").arg(baselines_target(workspace)))?;
    if ask(Command::new("turnserver").arg("--version")).is_none() {
        println!("turnserver does not run here: coturn's rows will be left out");
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<contenders::Contender>> {
    let all = contenders::all();
    if let Some(unknown) = only.iter().find(|id| all.iter().all(|row| row.id != **id)) {
        let ids: Vec<_> = all.iter().map(|row| row.id).collect();
        bail!("--only {unknown}: no such row; there are {}", ids.join(", "));
    }
    Ok(all.into_iter().filter(|row| only.is_empty() || only.iter().any(|id| id == row.id)).collect())
}

fn odd(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(rounds) if rounds % 2 == 1 => Ok(rounds),
        _ => Err("an odd number of rounds has a median".to_owned()),
    }
}
