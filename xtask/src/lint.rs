//! `cargo xtask lint`: rustfmt, [`tidy`], clippy and rustdoc.

use crate::run::{exec, output};
use crate::setup::{self, Needs};
use crate::tidy;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::process::Command;

/// The workspace of the servers that xstun is measured against. Only the benchmark fetches its
/// dependencies, so it is formatted and not compiled here.
const BASELINES: &str = "bench/baselines/Cargo.toml";
/// The workspace of the fuzz targets.
pub(crate) const FUZZ: &str = "fuzz/Cargo.toml";

/// Sets up, then checks.
///
/// # Errors
/// Setup fails, or a check finds something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, Needs::LINT)?;
    check(workspace)
}

/// Runs all checks, the cheap ones first.
///
/// # Errors
/// The first check that finds something.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    exec(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    for manifest in [BASELINES, FUZZ] {
        exec(workspace.cargo().args(["fmt", "--manifest-path", manifest, "--check"]))?;
    }
    tidy::run(workspace)?;
    let flags = Warnings::of_this_compiler(workspace)?.flags();
    clippy(workspace, &["--workspace", "--all-targets", "--features", "xstun-bench/limit"], flags)?;
    clippy(workspace, &["--package", "xstun-core", "--no-default-features", "--all-targets"], flags)?;
    clippy(workspace, &["--package", "xstun", "--no-default-features", "--all-targets"], flags)?;
    // Not `--all-targets`: the library includes sources whose tests are elsewhere.
    let target = workspace.target.to_string_lossy();
    let fuzz = ["--manifest-path", FUZZ, "--target-dir", &target];
    clippy(workspace, &[&fuzz[..], &["--lib", "--bins", "--examples", "--tests"]].concat(), flags)?;
    // `--all-targets` leaves it out: it runs in the guests of `cargo xtask vm` only.
    clippy(workspace, &["--package", "xstun", "--test", "vm"], flags)?;
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    exec(doc.env("RUSTDOCFLAGS", flags.join(" ")))
}

fn clippy(workspace: &Workspace, arguments: &[&str], flags: &[&str]) -> Result<()> {
    exec(workspace.cargo().arg("clippy").args(arguments).arg("--").args(flags))
}

/// What a warning of the compiler, of clippy or of rustdoc means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warnings {
    Fail,
    Report,
}

impl Warnings {
    /// Asks the compiler for its version: another one has other lints than those the sources are kept
    /// free of.
    ///
    /// # Errors
    /// There is no compiler, or `Cargo.toml` does not name the one for lint.
    fn of_this_compiler(workspace: &Workspace) -> Result<Self> {
        let metadata = workspace.metadata("Cargo.toml")?;
        let named = metadata["metadata"]["lint"]["compiler"]
            .as_str()
            .context("Cargo.toml names no `compiler` below [workspace.metadata.lint]")?;
        let version = output(Command::new("rustc").arg("--version"))?;
        let warnings = Self::judge(&version, named);
        if warnings == Warnings::Report {
            println!(
                "lint: {} is not Rust {named}, on which warnings fail (Cargo.toml, \
                 [workspace.metadata.lint]): warnings are only reported",
                version.trim()
            );
        }
        Ok(warnings)
    }

    /// `version` is as `rustc --version` prints it, `named` a major and a minor version.
    fn judge(version: &str, named: &str) -> Self {
        let release = version.split_whitespace().nth(1).unwrap_or_default();
        let is_named = release.strip_prefix(named).is_some_and(|rest| rest.starts_with('.'));
        if is_named && !release.contains('-') { Warnings::Fail } else { Warnings::Report }
    }

    /// Flags for rustc, clippy and rustdoc. Where warnings are reported, so is what a lint of another
    /// compiler denies by itself.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Warnings::Fail => &["-D", "warnings"],
            Warnings::Report => &["--cap-lints", "warn"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Warnings;

    #[test]
    fn warnings_fail_on_the_named_compiler_alone() {
        for (version, warnings) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)\n", Warnings::Fail),
            ("rustc 1.95.1\n", Warnings::Fail),
            ("rustc 1.96.0 (0123456789 2026-05-28)\n", Warnings::Report),
            ("rustc 1.9.0\n", Warnings::Report),
            ("rustc 1.950.0\n", Warnings::Report),
            ("rustc 1.95.0-beta.3\n", Warnings::Report),
            ("rustc 1.97.0-nightly\n", Warnings::Report),
            ("", Warnings::Report),
        ] {
            assert_eq!(Warnings::judge(version, "1.95"), warnings, "{version}");
        }
    }
}
