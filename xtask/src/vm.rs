//! `cargo xtask vm`: the ladder on real kernels and drivers, in virtual machines.

mod apt;
mod cases;
mod expected;
mod image;
mod kernels;
mod machine;
mod report;
mod room;
mod rung;
mod wires;

use crate::interrupt::Interrupt;
use crate::leftovers::LeftoverCheck;
use crate::run::join;
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Context as _, Result, bail};
use cases::{Case, Depth};
use image::{Image, TestPrograms};
use kernels::{Choice, Kernel};
use machine::{Accelerator, Guest};
use report::Report;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use wires::Wires;

/// Guests at a time.
const AT_ONCE: usize = 2;

/// What to boot, and what to do with what comes of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Series of Debian's kernels, like 6.12, or `newest`
    #[arg(value_name = "KERNEL", default_values_t = kernels::DEFAULT.map(str::to_owned))]
    kernels: Vec<String>,
    /// Only the NICs whose name has this in it, like virtio, and no test of `userspace/tests`
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Every check on every kernel. Otherwise each has what differs most by kernel, every rung and a
    /// server's whole life on virtio with two queues, and the last one named the tests of
    /// `userspace/tests` too
    #[arg(long)]
    thorough: bool,
    /// Record the rungs that are reached in docs/measurements.md, as those to be reached from then on
    #[arg(long)]
    bless: bool,
}

/// Boots a guest for each kernel, tests the server on each of its NICs, and judges what came of it.
///
/// # Errors
/// A guest could not be run to its end, a test failed, or a rung that is recorded was not reached.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the guests' wires are taps in a network namespace, which needs root: \
             run `sudo env \"PATH=$PATH\" cargo xtask vm`"
        );
    }
    let start = Instant::now();
    let cases = cases::select(options.only.as_deref());
    if cases.is_empty() {
        let names: Vec<_> = cases::CASES.iter().map(|case| case.name).collect();
        bail!("no NIC is called so: --only takes a part of one of these names: {}", names.join("; "));
    }
    let document = workspace.root.join("docs/measurements.md");
    let recorded = expected::read(&document)?;
    std::fs::create_dir_all(workspace.target.join("vm")).context("cannot make target/vm")?;
    room::check(&workspace.target, AT_ONCE.min(options.kernels.len()), options.kernels.len())?;
    let ready = setup::run(workspace, Needs::VM)?;
    let choice = kernels::choose(workspace, &options.kernels)?;
    build::ebpf(workspace, &ready)?;
    let (kernels, tests) = fetch_and_build(workspace, &choice, options)?;

    let interrupt = Interrupt::catch()?;
    netns::reap(wires::KIND)?;
    let leftovers = LeftoverCheck::watch()?;
    let home = workspace.target.join("vm/guests");
    let image = Image::lay_out(workspace, &tests)?;
    let guests = pack(&image, &kernels, &cases, &home, options)?;
    let (first, image) = &guests[0];
    let accelerator = Accelerator::choose(first, image, &home, &interrupt)?;
    println!("vm: {} guests by {}, {AT_ONCE} at a time", guests.len(), accelerator.name());

    let reports = boot(&guests, &cases, accelerator, &interrupt);
    let clean = leftovers.finish();
    let reports = reports?;
    clean?;

    let rows: Vec<_> = reports.iter().flat_map(|report| report.rows.clone()).collect();
    println!("\n{}", rung::columns(&rows));
    for (kernel, report) in kernels.iter().zip(&reports) {
        for (suite, passed, tests) in &report.suites {
            println!("{}: {passed} of {tests} tests of {suite} passed", kernel.release);
        }
    }
    println!("vm: {:.0} s in all", start.elapsed().as_secs_f64());
    let mut faults: Vec<_> = reports.into_iter().flat_map(|report| report.faults).collect();
    if options.bless && faults.is_empty() {
        expected::bless(&document, &rows)?;
        println!("vm: recorded in {}", document.display());
    } else {
        faults.extend(expected::lost_rungs(&recorded, &rows));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("not as it should be:\n  {}", faults.join("\n  "))
}

/// Has the kernels fetched, the release binary and the test programs built, all at once: linking the
/// binary leaves other cores idle for minutes, and fetching waits for the network. What fails is told when
/// all three have ended.
fn fetch_and_build(
    workspace: &Workspace,
    choice: &Choice,
    options: &Options,
) -> Result<(Vec<Kernel>, TestPrograms)> {
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| choice.fetch());
        let building = scope.spawn(|| build::program(workspace, false));
        let tests = image::build_tests(workspace, options.only.is_none());
        let (kernels, built) = (join(fetching), join(building));
        built?;
        Ok((kernels?, tests?))
    })
}

/// An initial RAM file system for each kernel.
fn pack(
    image: &Image,
    kernels: &[Kernel],
    cases: &[(usize, Case)],
    home: &Path,
    options: &Options,
) -> Result<Vec<(Kernel, PathBuf)>> {
    std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
    let packed = kernels.iter().enumerate().map(|(number, kernel)| {
        let file = home.join(format!("{}.cpio", kernel.release));
        let depth = match number + 1 == kernels.len() {
            _ if options.thorough => Depth::Thorough,
            true => Depth::Whole,
            false => Depth::Rungs,
        };
        image.pack(kernel, cases, depth, &file)?;
        Ok((kernel.clone(), file))
    });
    packed.collect()
}

/// Runs all guests, some at a time and the last first, which has most to do; gives their reports in
/// their order.
fn boot(
    guests: &[(Kernel, PathBuf)],
    cases: &[(usize, Case)],
    accelerator: Accelerator,
    interrupt: &Interrupt,
) -> Result<Vec<Report>> {
    let next = AtomicUsize::new(0);
    let reports: Vec<Mutex<Option<Result<Report>>>> = guests.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            let Some(number) = guests.len().checked_sub(taken + 1) else { return };
            let (kernel, image) = &guests[number];
            let report = boot_one(number, kernel, image, cases, accelerator, interrupt)
                .with_context(|| format!("the guest with Linux {}", kernel.release));
            *reports[number].lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(guests.len()) {
            scope.spawn(work);
        }
    });
    let taken = reports.into_iter().map(|report| {
        let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.context("a guest was never booted")?
    });
    taken.collect()
}

fn boot_one(
    number: usize,
    kernel: &Kernel,
    image: &Path,
    cases: &[(usize, Case)],
    accelerator: Accelerator,
    interrupt: &Interrupt,
) -> Result<Report> {
    let wires = Wires::lay(number, cases)?;
    let home = image.with_extension("");
    let guest = Guest { kernel, image, home, cases, accelerator };
    let mut report = Report::new(&kernel.release);
    let booted = guest.boot(&wires, interrupt, |line| {
        if let Some(told) = report.hear(line)? {
            println!("{}: {told}", kernel.release);
        }
        Ok(())
    });
    interrupt.check()?;
    // What the guest had found before its end is worth its place in the table.
    if let Err(error) = booted {
        report.faults.push(format!("{}: {error:#}", kernel.release));
    }
    report.close(cases);
    Ok(report)
}
