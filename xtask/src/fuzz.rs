//! `cargo xtask fuzz` runs one fuzz target; `cargo xtask corpus` rebuilds the kept corpora.

use crate::lint::FUZZ;
use crate::run::{command_exists, exec, shown};
use crate::tool::{Tool, nightly_cargo, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CARGO_FUZZ: Tool =
    Tool { name: "cargo-fuzz", version: "0.13.2", why: "it builds and runs the fuzz targets" };
/// Longest input in bytes: longer than any frame that is answered.
const LONGEST: u32 = 2048;

/// Runs a target, starting with its kept corpus. New inputs stay below the target directory, crashing
/// ones below `fuzz/artifacts`.
///
/// # Errors
/// The target does not exist, a tool cannot be installed, or the target crashes.
pub(crate) fn run(workspace: &Workspace, target: &str, seconds: u64, jobs: u32) -> Result<()> {
    let mut fuzz = prepared(workspace, target)?;
    let found = workspace.target.join("fuzz-corpus").join(target);
    for directory in [&found, &kept(workspace, target)] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    fuzz.arg("--jobs").arg(jobs.to_string()).arg(target);
    fuzz.arg(&found).arg(kept(workspace, target)).arg("--");
    fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}"));
    let before = artifacts(workspace, target);
    let result = exec(fuzz.arg("-print_final_stats=1"));
    for artifact in artifacts(workspace, target).into_iter().filter(|path| !before.contains(path)) {
        let artifact = artifact.display();
        eprintln!("wrote {artifact}; reproduce with\n  cargo xtask fuzz {target} --replay {artifact}");
    }
    result
}

/// Runs a target on one input.
///
/// # Errors
/// As [`run`].
pub(crate) fn replay(workspace: &Workspace, target: &str, input: &Path) -> Result<()> {
    let input = fs::canonicalize(input).with_context(|| format!("cannot read {}", input.display()))?;
    let mut fuzz = prepared(workspace, target)?;
    exec(fuzz.arg(target).arg(input))
}

/// Runs every target on its kept corpus as an ordinary test, without libFuzzer and a nightly compiler.
///
/// # Errors
/// An input fails; the test names it.
pub(crate) fn replay_kept(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--manifest-path", FUZZ, "--test", "corpus", "--target-dir"]);
    exec(cargo.arg(&workspace.target))
}

/// Rebuilds the kept corpus of every target: the smallest set of seeds and found inputs that covers as
/// much as all of them.
///
/// # Errors
/// As [`run`].
pub(crate) fn corpus(workspace: &Workspace) -> Result<()> {
    let seeds = workspace.target.join("fuzz-seeds");
    if seeds.exists() {
        fs::remove_dir_all(&seeds).with_context(|| format!("cannot empty {}", seeds.display()))?;
    }
    let mut cargo = workspace.cargo();
    cargo.current_dir(workspace.root.join("fuzz")).args(["run", "--quiet", "--example", "seeds"]);
    exec(cargo.arg("--target-dir").arg(&workspace.target).arg("--").arg(&seeds))?;
    for target in targets(workspace)? {
        let mut fuzz = prepared(workspace, &target)?;
        let (kept, merged) = (kept(workspace, &target), workspace.target.join("fuzz-merged").join(&target));
        for directory in [&merged, &workspace.target.join("fuzz-corpus").join(&target), &kept] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        fuzz.arg(&target).arg(&merged).arg(seeds.join(&target));
        fuzz.arg(workspace.target.join("fuzz-corpus").join(&target)).arg("--").arg("-merge=1");
        exec(fuzz.arg(format!("-max_len={LONGEST}")))?;
        fs::remove_dir_all(&kept).with_context(|| format!("cannot empty {}", kept.display()))?;
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(&merged)? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        fs::remove_dir_all(&merged)?;
        println!("{}: {} inputs", kept.display(), fs::read_dir(&kept)?.count());
    }
    Ok(())
}

/// Installs what fuzzing needs and returns `cargo fuzz run`, without the target's name.
///
/// # Errors
/// The target does not exist, or a tool cannot be installed.
fn prepared(workspace: &Workspace, target: &str) -> Result<Command> {
    let targets = targets(workspace)?;
    if !targets.iter().any(|name| name == target) {
        bail!("unknown fuzz target '{target}'; the targets are {}", targets.join(", "));
    }
    if !["c++", "g++", "clang++"].into_iter().any(command_exists) {
        bail!("libFuzzer needs a C++ compiler: run `apt-get install g++`");
    }
    let mut cargo = nightly_cargo("fuzzing needs")?;
    CARGO_FUZZ.install(workspace)?;
    cargo.current_dir(workspace.root.join("fuzz")).args(["fuzz", "run", "--target-dir"]);
    cargo.arg(workspace.target.join("fuzz"));
    let cargo = with_tools(workspace, cargo)?;
    println!("{}", shown(&cargo));
    Ok(cargo)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let directory = workspace.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Directory of the corpus that is kept with the sources.
fn kept(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.root.join("fuzz/corpus").join(target)
}

fn artifacts(workspace: &Workspace, target: &str) -> Vec<PathBuf> {
    let directory = workspace.root.join("fuzz/artifacts").join(target);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
