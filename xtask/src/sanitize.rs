//! `cargo xtask sanitize`: runs the library's tests and the tests that start servers with
//! AddressSanitizer. It covers what Miri cannot run: system calls and libxdp.

use crate::build;
use crate::run::exec;
use crate::setup::{self, Needs};
use crate::test::root_tests;
use crate::tool::nightly_cargo;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Options of the sanitizer. `replace_intrin=0`: libxdp always copies 15 bytes of an interface's name,
/// even of a shorter one. Copies in compiled code are still checked.
const OPTIONS: &str = "detect_stack_use_after_return=1:replace_intrin=0";

/// Builds and runs the tests.
///
/// # Errors
/// There is no nightly compiler, a test fails, or the sanitizer reports something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let ready = setup::run(workspace, Needs::TEST)?;
    build::ebpf(workspace, &ready)?;
    let reports = workspace.target.join("sanitize-reports");
    if reports.exists() {
        fs::remove_dir_all(&reports).with_context(|| format!("cannot empty {}", reports.display()))?;
    }
    fs::create_dir_all(&reports).with_context(|| format!("cannot make {}", reports.display()))?;

    exec(sanitized(workspace, "test")?.arg("--lib").env("ASAN_OPTIONS", options(&reports)))?;
    exec(sanitized(workspace, "build")?.args(["--bin", "xstun"]))?;
    let mut tests = root_tests(workspace);
    tests.env("XSTUN_BIN", workspace.target.join("sanitize").join(triple()).join("debug/xstun"));
    let tested = exec(tests.env("ASAN_OPTIONS", options(&reports)));

    let written = fs::read_dir(&reports)?.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    if let Some(first) = written.first() {
        bail!("the sanitizer reported {} errors; read {}", written.len(), first.display());
    }
    tested
}

fn sanitized(workspace: &Workspace, verb: &str) -> Result<Command> {
    let mut cargo = nightly_cargo("AddressSanitizer needs")?;
    cargo.current_dir(&workspace.root).env("CARGO_TARGET_DIR", workspace.target.join("sanitize"));
    cargo.env("RUSTFLAGS", "-Zsanitizer=address").env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
    // With `--target`, RUSTFLAGS do not apply to build scripts and procedural macros.
    cargo.args([verb, "--package", "xstun", "--target", &triple()]);
    Ok(cargo)
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Returns the options with which each process that finds an error writes a file into `reports`.
fn options(reports: &Path) -> OsString {
    let mut options = OsString::from(OPTIONS);
    options.push(":log_path=");
    options.push(reports.join("report"));
    options
}
