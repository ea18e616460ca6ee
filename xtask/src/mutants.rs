//! `cargo xtask mutants`: changes the core in every way that cargo-mutants knows, and lists the changes
//! that no test detects.

mod verdict;

use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use verdict::MutantCounts;

const CARGO_MUTANTS: Tool =
    Tool { name: "cargo-mutants", version: "27.1.0", why: "it creates and tests the mutants" };
/// What is mutated: the core, but for the classifier and the rings.
const MUTATED: [&str; 8] = [
    "core/src/answer.rs",
    "core/src/frame.rs",
    "core/src/frame/**",
    "core/src/plain_frame.rs",
    "core/src/served.rs",
    "core/src/source.rs",
    "core/src/stun.rs",
    "core/src/stun/**",
];
/// Tests, which stand among these files.
const EXCLUDED: [&str; 2] = ["core/src/**/tests.rs", "core/src/**/tests/**"];
/// Tests, the fastest first. Each pass tests only the mutants that survived the one before it.
const PASSES: [&[&str]; 2] = [
    &["--test", "conformance"],
    &["--lib", "--test", "respond", "--test", "answer", "--test", "plain_frame", "--test", "differential"],
];
/// Cases of each property test: enough to reach every branch, few enough for hundreds of runs.
const CASES: &str = "64";

/// Tests every mutant, or those of files whose path contains `only`.
///
/// # Errors
/// A mutant survives that should not, or the tests fail without a change.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result<()> {
    CARGO_MUTANTS.install(workspace)?;
    let home = workspace.target.join("mutants");
    let results = home.join("mutants.out");
    let mut counts: Option<MutantCounts> = None;
    for (pass, tests) in PASSES.into_iter().enumerate() {
        let mut mutants = with_tools(workspace, workspace.cargo())?;
        // cargo-mutants changes a copy of the workspace; what an earlier run built is kept.
        mutants.env("CARGO_TARGET_DIR", home.join("build")).env("CARGO_PROFILE_DEV_DEBUG", "false");
        mutants.env("PROPTEST_CASES", CASES);
        mutants.args(["mutants", "--package", "xstun-core", "--no-shuffle", "--timeout", "60"]);
        mutants.arg("--output").arg(&home);
        for file in MUTATED {
            mutants.args(["--file", file]);
        }
        for file in EXCLUDED {
            mutants.args(["--exclude", file]);
        }
        if let Some(only) = only {
            mutants.args(["--re", only]);
        }
        if pass > 0 {
            mutants.arg("--iterate");
        }
        // Passed to the build too, which would otherwise build every test.
        mutants.args(tests.iter().map(|test| format!("--cargo-arg={test}")));
        let status = mutants.status().context("cannot run cargo-mutants")?;
        // Exit code 2: mutants survive; 3: mutants ran into the time limit.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            bail!("cargo-mutants failed with {status}; its log is in {}", results.display());
        }
        let found = MutantCounts::read(&results)?;
        counts = Some(counts.map_or(found, |before| before.and_then(found)));
        if found.missed + found.timeout == 0 {
            break;
        }
    }
    verdict::report(counts.unwrap_or_default(), &results)
}
