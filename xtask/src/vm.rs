//! `cargo xtask vm`: tests the ladder with several kernels and drivers, in virtual machines.

mod apt;
mod cases;
mod emulator;
mod expected;
mod image;
mod kernels;
mod links;
mod machine;
mod recorded;
mod report;
mod resources;
mod rung;
mod verified;

use crate::build::{self, EarlyBuild};
use crate::interrupt::Interrupt;
use crate::leftovers::LeftoverCheck;
use crate::netns;
use crate::run::join;
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use apt::Apt;
use cases::{Depth, VmCase};
use emulator::Emulator;
use image::{Image, TestPrograms};
use kernels::{Kernel, KernelChoice};
use links::GuestLinks;
use machine::{Accelerator, Guest};
use report::GuestReport;
use rung::RungRow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Guests that run at the same time.
const AT_ONCE: usize = 2;

/// Which kernels to boot, and what to test.
#[derive(clap::Args)]
pub(crate) struct VmOptions {
    /// Series of Debian's kernels, such as 6.12, or `newest`
    #[arg(value_name = "KERNEL", default_values_t = kernels::DEFAULT.map(str::to_owned))]
    kernels: Vec<String>,
    /// Only NICs and tests of userspace/tests whose name contains this, such as virtio or verdicts
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Run every check on every kernel. By default each kernel runs what differs most between kernels
    /// (every rung, the full life cycle of a server on virtio with two queues, and the tests of verdicts and
    /// interfaces of userspace/tests), and the last kernel also runs the end-to-end tests
    #[arg(long)]
    thorough: bool,
    /// Record in docs/measurements.md the rungs that are reached, which later runs must reach, and the
    /// instructions that each verifier processed
    #[arg(long)]
    bless: bool,
}

/// Boots a guest for each kernel, tests the server on each of its NICs, and judges the results.
///
/// # Errors
/// A guest did not run to its end, a test failed, or a recorded rung was not reached.
pub(crate) fn run(workspace: &Workspace, options: &VmOptions) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the guests' NICs are taps in a network namespace, which needs root: \
             run `sudo env \"PATH=$PATH\" cargo xtask vm`"
        );
    }
    let start = Instant::now();
    let cases = select(options)?;
    let document = workspace.root.join("docs/measurements.md");
    let recorded = expected::read(&document)?;
    std::fs::create_dir_all(workspace.target.join("vm")).context("cannot make target/vm")?;
    resources::check(&workspace.target, AT_ONCE.min(options.kernels.len()), options.kernels.len())?;
    let early = EarlyBuild::start(workspace)?;
    let ready = setup::run(workspace, Needs::VM)?;
    let apt = Apt::open(&workspace.target.join("vm/apt"))?;
    let choice = kernels::choose(workspace, &apt, &options.kernels)?;
    let emulator = Emulator::choose(workspace, &apt, &cases)?;
    build::ebpf(workspace, &ready)?;
    early.finish()?;
    let (kernels, tests) = fetch_and_build(workspace, &choice, options)?;

    let interrupt = Interrupt::catch()?;
    netns::reap(links::KIND)?;
    let leftovers = LeftoverCheck::watch()?;
    let home = workspace.target.join("vm/guests");
    let image = Image::lay_out(workspace, &tests)?;
    let guests = pack(&image, &kernels, &cases, &home, options)?;
    let (first, image) = &guests[0];
    let accelerator = Accelerator::choose(&emulator, first, image, &home, &interrupt)?;
    println!("vm: {} guests by {}, {AT_ONCE} at a time", guests.len(), accelerator.name());

    let reports = boot(&guests, &cases, &emulator, accelerator, &interrupt);
    let clean = leftovers.finish();
    let reports = reports?;
    clean?;

    print(&kernels, &reports);
    println!("vm: {:.0} s in all", start.elapsed().as_secs_f64());
    judge(&document, &recorded, reports, options.bless)
}

/// The NICs to test.
///
/// # Errors
/// `--only` fits no NIC and no test.
fn select(options: &VmOptions) -> Result<Vec<(usize, VmCase)>> {
    let only = options.only.as_deref();
    let cases = cases::select(only);
    if cases.is_empty() && image::suites(only).next().is_none() {
        let names: Vec<_> = cases::CASES.iter().map(|case| case.name).chain(image::suites(None)).collect();
        bail!("--only takes a part of one of these names: {}", names.join("; "));
    }
    Ok(cases)
}

/// Prints the rungs that were reached, and how many tests passed.
fn print(kernels: &[Kernel], reports: &[GuestReport]) {
    let rows: Vec<_> = reports.iter().flat_map(|report| report.rows.clone()).collect();
    println!("\n{}", rung::columns(&rows));
    for (kernel, report) in kernels.iter().zip(reports) {
        for (suite, passed, tests) in &report.suites {
            println!("{}: {passed} of {tests} tests of {suite} passed", kernel.release);
        }
    }
}

/// Compares the results with the `recorded` rungs, or records them if `bless` is set and nothing failed.
///
/// # Errors
/// A test failed, or a recorded rung was not reached.
fn judge(document: &Path, recorded: &[RungRow], reports: Vec<GuestReport>, bless: bool) -> Result<()> {
    let rows: Vec<_> = reports.iter().flat_map(|report| report.rows.clone()).collect();
    let verified: Vec<_> = reports.iter().map(|report| report.verified.clone()).collect();
    let mut faults: Vec<_> = reports.into_iter().flat_map(|report| report.faults).collect();
    if bless && faults.is_empty() {
        expected::bless(document, &rows)?;
        verified::bless(document, &verified)?;
        println!("vm: recorded in {}", document.display());
    } else {
        faults.extend(expected::lost_rungs(recorded, &rows));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("results differ from what is expected:\n  {}", faults.join("\n  "))
}

/// Fetches the kernels, and builds the release binary and the test programs, all at the same time:
/// fetching waits for the network, and linking uses one core.
///
/// # Errors
/// The first failure, once all three have ended.
fn fetch_and_build(
    workspace: &Workspace,
    choice: &KernelChoice<'_>,
    options: &VmOptions,
) -> Result<(Vec<Kernel>, TestPrograms)> {
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| choice.fetch());
        let building = scope.spawn(|| build::program(workspace, false));
        let tests = image::build_tests(workspace, options.only.as_deref());
        let (kernels, built) = (join(fetching), join(building));
        built?;
        Ok((kernels?, tests?))
    })
}

/// An initial RAM file system for each kernel.
fn pack(
    image: &Image,
    kernels: &[Kernel],
    cases: &[(usize, VmCase)],
    home: &Path,
    options: &VmOptions,
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

/// Runs all guests, [`AT_ONCE`] at a time and the last first, which has most to do. Returns their reports
/// in the order of `guests`.
fn boot(
    guests: &[(Kernel, PathBuf)],
    cases: &[(usize, VmCase)],
    emulator: &Emulator,
    accelerator: Accelerator,
    interrupt: &Interrupt,
) -> Result<Vec<GuestReport>> {
    let next = AtomicUsize::new(0);
    let reports: Vec<Mutex<Option<Result<GuestReport>>>> = guests.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            let Some(number) = guests.len().checked_sub(taken + 1) else { return };
            let (kernel, image) = &guests[number];
            let report = boot_one(number, kernel, image, cases, emulator, accelerator, interrupt)
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
        report.context("a guest was not booted")?
    });
    taken.collect()
}

fn boot_one(
    number: usize,
    kernel: &Kernel,
    image: &Path,
    cases: &[(usize, VmCase)],
    emulator: &Emulator,
    accelerator: Accelerator,
    interrupt: &Interrupt,
) -> Result<GuestReport> {
    let links = GuestLinks::create(number, cases)?;
    let home = image.with_extension("");
    let guest = Guest { emulator, kernel, image, home, cases, accelerator };
    let mut report = GuestReport::new(&kernel.release);
    let booted = guest.boot(&links, interrupt, |line| {
        if let Some(text) = report.take(line)? {
            println!("{}: {text}", kernel.release);
        }
        Ok(())
    });
    interrupt.check()?;
    // The results before a failure still belong in the table.
    if let Err(error) = booted {
        report.faults.push(format!("{}: {error:#}", kernel.release));
    }
    report.close(cases);
    Ok(report)
}
