//! `cargo xtask test`: runs all checks and tests, in phases whose durations it prints.

use crate::build::{self, EarlyBuild};
use crate::leftovers::LeftoverCheck;
use crate::netns::RUN_VARIABLE;
use crate::run::{exec, output};
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{fuzz, lint};
use anyhow::{Context as _, Result};
use std::process::Command;
use std::time::Instant;

/// Sets up, builds, lints and tests.
///
/// # Errors
/// The first phase that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    let root = rustix::process::geteuid().is_root();
    let needs = if root { Needs::TEST } else { Needs::TEST_WITHOUT_ROOT };
    let early = EarlyBuild::start(workspace)?;
    let ready = phase("setup", || setup::run(workspace, needs))?;
    // First: what is compiled later embeds it.
    phase("eBPF object", || build::ebpf(workspace, &ready))?;
    phase("lint", || lint::check(workspace))?;
    early.finish()?;
    phase("xstun, release", || build::program(workspace, false))?;
    let leftovers = root.then(LeftoverCheck::watch).transpose()?;
    phase("unit, property and documentation tests", || exec(cargo_test(workspace).arg("--workspace")))?;
    phase("kept corpora of the fuzz targets", || fuzz::replay_kept(workspace))?;
    let Some(leftovers) = leftovers else {
        let count = count_ignored(workspace)?;
        println!(
            "== skipped: {count} tests that need root (network namespaces, XDP, AF_XDP); run them with \
             `sudo env \"PATH=$PATH\" cargo xtask test`"
        );
        return Ok(());
    };
    let tested = phase("tests that need root", || exec(&mut root_tests(workspace)));
    // Also after a failure: what failing tests leave behind is reported and ended.
    let clean = phase("nothing left behind", || leftovers.finish());
    tested.and(clean)?;
    println!("== all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Announces a phase, runs it, and prints how long it took.
fn phase<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("'{name}' failed"));
    let state = if result.is_ok() { "done" } else { "FAILED" };
    println!("== {name}: {state} after {:.1} s\n", start.elapsed().as_secs_f64());
    result
}

/// Returns `cargo test` with the variables that name the programs the end-to-end tests run.
fn cargo_test(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg("test").env("XSTUN_BIN", workspace.xstun("release"));
    cargo.env(RUN_VARIABLE, std::process::id().to_string());
    cargo.env("XSTUN_TEST_PYTHON", workspace.python());
    cargo.env("XSTUN_TEST_NODE_MODULES", workspace.node_modules());
    if workspace.target != workspace.root.join("target") {
        cargo.env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
    }
    cargo
}

/// Returns the command for the tests that need root, which `cargo test` alone ignores. Each starts
/// servers and clients, so that only few run at a time.
pub(crate) fn root_tests(workspace: &Workspace) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cargo = cargo_test(workspace);
    cargo.args(["--workspace", "--tests", "--no-fail-fast", "--", "--ignored"]);
    cargo.arg(format!("--test-threads={}", cores.clamp(2, 4)));
    cargo
}

fn count_ignored(workspace: &Workspace) -> Result<usize> {
    let mut cargo = cargo_test(workspace);
    let listed = output(cargo.args(["--quiet", "--workspace", "--tests", "--", "--ignored", "--list"]))?;
    Ok(listed.lines().filter(|line| line.ends_with(": test")).count())
}
