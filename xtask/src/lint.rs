//! `cargo xtask lint`: rustfmt, clippy, rustdoc and [`tidy`].

use crate::run::exec;
use crate::setup::{self, Needs};
use crate::tidy;
use crate::workspace::Workspace;
use anyhow::Result;

/// The workspace of servers that xstun is measured beside. Its dependencies are fetched for the
/// benchmark only, so nothing that compiles them is done here.
const BASELINES: &str = "bench/baselines/Cargo.toml";
/// The workspace of the fuzz targets.
pub(crate) const FUZZ: &str = "fuzz/Cargo.toml";

/// Sets up, then checks.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, Needs::LINT)?;
    check(workspace)
}

/// Checks what is there; the cheap checks first.
///
/// # Errors
/// The first check that found something.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    exec(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    for apart in [BASELINES, FUZZ] {
        exec(workspace.cargo().args(["fmt", "--manifest-path", apart, "--check"]))?;
    }
    tidy::run(&workspace.root)?;
    let deny = ["--", "-D", "warnings"];
    exec(
        workspace
            .cargo()
            .args(["clippy", "--workspace", "--all-targets", "--features", "xstun-bench/limit"])
            .args(deny),
    )?;
    exec(
        workspace
            .cargo()
            .args(["clippy", "--package", "xstun", "--no-default-features", "--all-targets"])
            .args(deny),
    )?;
    // Not all targets: as its own test, its library would look for the tests of sources that it borrows.
    let mut fuzz = workspace.cargo();
    fuzz.args(["clippy", "--manifest-path", FUZZ, "--target-dir"]).arg(&workspace.target);
    exec(fuzz.args(["--lib", "--bins", "--examples", "--tests"]).args(deny))?;
    // No test of this machine, and so none of all targets.
    exec(workspace.cargo().args(["clippy", "--package", "xstun", "--test", "vm"]).args(deny))?;
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    exec(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
