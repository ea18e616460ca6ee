//! `cargo xtask mutants`: changes the core in every way that cargo-mutants knows, and lists the changes
//! that no test detects.
//!
//! A change is compiled and tested hundreds of times, so it is made in a copy of what works over memory
//! alone, with the tests of that: it builds in a fraction of the whole crate's time.

mod verdict;

use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use verdict::MutantCounts;

const CARGO_MUTANTS: Tool =
    Tool { name: "cargo-mutants", version: "27.1.0", why: "it creates and tests the mutants" };
/// Modules of the copy.
const MODULES: [&str; 5] = ["answer", "frame", "outcome", "served", "stun"];
/// What of it is mutated.
const MUTATED: [&str; 5] = ["src/answer.rs", "src/frame.rs", "src/frame/**", "src/stun.rs", "src/stun/**"];
/// Tests of the copy, and what they share.
const TESTS: [&str; 5] = ["answer.rs", "common", "conformance", "differential", "respond.rs"];
/// Crates that modules and tests use, in the versions of the true manifest.
const CRATES: [&str; 10] = [
    "bytecodec",
    "etherparse",
    "hmac",
    "md-5",
    "proptest",
    "sha1",
    "sha2",
    "stun-types",
    "stun_codec",
    "subtle",
];
/// Tests, the fastest first. Each pass tests only the mutants that survived the one before it.
const PASSES: [&[&str]; 2] = [
    &["--test", "conformance"],
    &["--lib", "--test", "respond", "--test", "answer", "--test", "differential"],
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
    let package = home.join("xstun");
    let results = home.join("mutants.out");
    copy(workspace, &package)?;
    let mut counts: Option<MutantCounts> = None;
    for (pass, tests) in PASSES.into_iter().enumerate() {
        let mut mutants = with_tools(workspace, workspace.cargo())?;
        // The copy is nobody else's, so it is changed where it is; what was built for it before is kept.
        mutants.current_dir(&package).env("CARGO_TARGET_DIR", home.join("build"));
        mutants.env("PROPTEST_CASES", CASES);
        mutants.args(["mutants", "--in-place", "--no-shuffle", "--timeout", "60", "--output"]).arg(&home);
        for file in MUTATED {
            mutants.args(["--file", file]);
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

/// Makes the copy.
fn copy(workspace: &Workspace, package: &Path) -> Result<()> {
    let userspace = workspace.root.join("userspace");
    if package.exists() {
        fs::remove_dir_all(package).with_context(|| format!("cannot empty {}", package.display()))?;
    }
    let mut library = String::new();
    for module in MODULES {
        writeln!(library, "pub mod {module};")?;
        for name in [format!("{module}.rs"), module.to_owned()] {
            copy_tree(&userspace.join("src").join(&name), &package.join("src").join(&name))?;
        }
    }
    for test in TESTS {
        copy_tree(&userspace.join("tests").join(test), &package.join("tests").join(test))?;
    }
    fs::write(package.join("src/lib.rs"), library)?;
    fs::write(package.join("Cargo.toml"), manifest(workspace, &userspace)?)?;
    fs::copy(workspace.root.join("Cargo.lock"), package.join("Cargo.lock"))?;
    Ok(())
}

fn manifest(workspace: &Workspace, userspace: &Path) -> Result<String> {
    let original = fs::read_to_string(userspace.join("Cargo.toml")).context("cannot read the manifest")?;
    let named =
        |line: &&str| CRATES.iter().any(|name| line.split_once(" = ").is_some_and(|(key, _)| key == *name));
    let crates: Vec<_> = original.lines().filter(named).collect();
    if crates.len() != CRATES.len() {
        bail!("userspace/Cargo.toml names {crates:?} of {CRATES:?}");
    }
    let classifier = workspace.root.join("xdp-ebpf");
    Ok(format!(
        "[package]\nname = \"xstun\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[features]\naf-xdp = []\n\n\
         [dependencies]\nxstun-ebpf = {{ path = {classifier:?} }}\n{}\n\n[profile.dev]\ndebug = false\n\n[workspace]\n",
        crates.join("\n")
    ))
}

/// Copies a file or a directory with all that is in it; what is not there is left out.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy_tree(&from.join(&name), &to.join(&name))?;
        }
    } else if from.exists() {
        let parent = to.parent().context("a file stands in a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}
