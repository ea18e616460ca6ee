//! `cargo xtask mutants`: changes the core and the frames in every way that cargo-mutants knows, and
//! names the changes that no test notices.

use crate::run::output;
use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;

const CARGO_MUTANTS: Tool =
    Tool { name: "cargo-mutants", version: "27.1.0", why: "it makes and tests the mutants" };
/// What is mutated.
const FILES: [&str; 5] = [
    "userspace/src/answer.rs",
    "userspace/src/frame.rs",
    "userspace/src/frame/**",
    "userspace/src/stun.rs",
    "userspace/src/stun/**",
];
/// Tests, from the quickest on: each pass is asked only about what the one before it let live.
const PASSES: [&[&str]; 2] = [
    &["--test", "conformance"],
    &["--lib", "--test", "respond", "--test", "answer", "--test", "differential"],
];
/// Cases of each property: enough to meet every branch, few enough for hundreds of runs.
const CASES: &str = "64";

/// Tests every mutant, or those of files whose path contains `only`.
///
/// # Errors
/// A mutant lives, or the tests fail without any.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result<()> {
    CARGO_MUTANTS.get(workspace)?;
    let results = workspace.target.join("mutants");
    fs::create_dir_all(&results).with_context(|| format!("cannot make {}", results.display()))?;
    let mut lives = false;
    for (pass, tests) in PASSES.into_iter().enumerate() {
        let mut mutants = with_tools(workspace, workspace.cargo())?;
        mutants.env("PROPTEST_CASES", CASES).env_remove("CARGO_TARGET_DIR");
        mutants.args(["mutants", "--package", "xstun", "--no-default-features", "--no-shuffle"]);
        mutants.args(["--jobs", "1", "--timeout", "60", "--output"]).arg(&results);
        for file in FILES.into_iter().filter(|file| only.is_none_or(|only| file.contains(only))) {
            mutants.args(["--file", file]);
        }
        if pass > 0 {
            mutants.arg("--iterate");
        }
        let status = mutants.arg("--").args(tests).status().context("cannot run cargo-mutants")?;
        // It says by its exit code whether mutants live (2) or run into the time limit (3).
        lives = match status.code() {
            Some(0) => false,
            Some(2 | 3) => true,
            _ => bail!("cargo-mutants ended with {status}; its log is in {}", results.display()),
        };
        if !lives {
            break;
        }
    }
    if lives {
        let missed = results.join("mutants.out/missed.txt");
        bail!("mutants live; they stand in {}", missed.display());
    }
    let version = output(with_tools(workspace, workspace.cargo())?.args(["mutants", "--version"]))?;
    println!("{}: every mutant was caught", version.trim());
    Ok(())
}
