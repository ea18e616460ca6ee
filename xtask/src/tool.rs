//! Cargo's further verbs, installed under the target directory where they are missing.

use crate::run::{ask, exec};
use crate::setup::command_exists;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::process::Command;

/// A program of crates.io, in a version that is pinned so that figures stay comparable.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) why: &'static str,
}

impl Tool {
    /// Installs the tool unless it is there.
    ///
    /// # Errors
    /// It could not be built.
    pub(crate) fn get(&self, workspace: &Workspace) -> Result<()> {
        let Tool { name, version, why } = *self;
        if self.is_there(workspace) {
            return Ok(());
        }
        println!("set-up: compiling {name} {version} into the target directory: {why}");
        let tools = workspace.tools();
        let mut cargo = workspace.cargo();
        cargo.args(["install", name, "--locked", "--force", "--quiet", "--version", &format!("={version}")]);
        exec(cargo.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build")))
    }

    fn is_there(&self, workspace: &Workspace) -> bool {
        let record = || {
            let record = std::fs::read(workspace.tools().join(".crates2.json")).ok()?;
            let record: Value = serde_json::from_slice(&record).ok()?;
            let pinned = format!("{} {} ", self.name, self.version);
            Some(record["installs"].as_object()?.keys().any(|install| install.starts_with(&pinned)))
        };
        workspace.tools().join("bin").join(self.name).exists() && record().unwrap_or_default()
    }
}

/// A command that finds the installed tools.
///
/// # Errors
/// PATH cannot be extended.
pub(crate) fn with_tools(workspace: &Workspace, mut command: Command) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::iter::once(workspace.tools().join("bin"));
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path)))
        .context("PATH cannot be led by the tools directory")?;
    command.env("PATH", path);
    Ok(command)
}

/// Cargo of rustup's nightly, for what needs a compiler's unstable options.
///
/// # Errors
/// There is no nightly; the sentence says how to get it.
pub(crate) fn nightly_cargo(why: &str) -> Result<Command> {
    if !command_exists("rustup") {
        bail!(
            "{why} a nightly compiler: get rustup (https://rustup.rs), then `rustup toolchain install nightly`"
        );
    }
    if ask(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_none() {
        bail!("{why} a nightly compiler: `rustup toolchain install nightly --profile minimal`");
    }
    let mut rustup = Command::new("rustup");
    crate::run::forget_cargo(&mut rustup);
    // It would have the nightly's cargo call the other toolchain's compiler.
    rustup.env_remove("RUSTUP_TOOLCHAIN").args(["run", "nightly", "cargo"]);
    Ok(rustup)
}
