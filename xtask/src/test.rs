//! `cargo xtask test`: everything, in phases that tell how long they took.

use crate::leftovers::Before;
use crate::run::{exec, output};
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{build, fuzz, lint};
use anyhow::{Context as _, Result};
use std::process::Command;
use std::time::Instant;

/// Sets up, builds, lints and tests.
///
/// # Errors
/// The first phase that failed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    let root = rustix::process::geteuid().is_root();
    let needs = if root { Needs::TEST } else { Needs::TEST_WITHOUT_ROOT };
    let ready = phase("set-up", || setup::run(workspace, needs))?;
    // First, since all that is compiled after it embeds it.
    phase("eBPF object", || build::ebpf(workspace, &ready))?;
    phase("lint", || lint::check(workspace))?;
    phase("xstun, release", || build::program(workspace, false))?;
    let before = root.then(Before::take).transpose()?;
    phase("unit, property and documentation tests", || exec(cargo_test(workspace).arg("--workspace")))?;
    phase("kept corpora of the fuzz targets", || fuzz::replay_kept(workspace))?;
    let Some(before) = before else {
        let count = count_ignored(workspace)?;
        println!(
            "== skipped: {count} tests that need root (network namespaces, XDP, AF_XDP); run them by \
             `sudo env \"PATH=$PATH\" cargo xtask test`"
        );
        return Ok(());
    };
    let tested = phase("tests that need root", || exec(&mut root_tests(workspace)));
    // What failing tests leave behind is looked for, and ended, all the same.
    let clean = phase("nothing left behind", || before.compare());
    tested.and(clean)?;
    println!("== all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Announces a phase, runs it, and tells how long it took.
fn phase<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("'{name}' failed"));
    let ended = if result.is_ok() { "done" } else { "FAILED" };
    println!("== {name}: {ended} after {:.1} s\n", start.elapsed().as_secs_f64());
    result
}

/// `cargo test`, with what the end-to-end tests run.
fn cargo_test(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg("test").env("XSTUN_BIN", workspace.xstun("release"));
    cargo.env("XSTUN_TEST_PYTHON", workspace.python());
    cargo.env("XSTUN_TEST_NODE_MODULES", workspace.node_modules());
    if workspace.target != workspace.root.join("target") {
        cargo.env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
    }
    cargo
}

/// The tests that are ignored elsewhere, each of which says that it needs root. Every one has servers
/// and clients of its own running, so few run at a time.
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
