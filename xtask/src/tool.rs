//! Installs cargo subcommands below the target directory, and finds the nightly compiler.

use crate::run::{ask, command_exists, exec};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::process::Command;

/// A program from crates.io. Its version is pinned, so that results stay comparable.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Why the project needs it, for the message while it compiles.
    pub(crate) why: &'static str,
}

impl Tool {
    /// Installs the tool unless this version of it is installed.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<()> {
        let Tool { name, version, why } = *self;
        if self.is_installed(workspace) {
            return Ok(());
        }
        println!("setup: compiling {name} {version} into the target directory: {why}");
        let tools = workspace.tools();
        let mut cargo = workspace.cargo();
        cargo.args(["install", name, "--locked", "--force", "--quiet", "--version", &format!("={version}")]);
        exec(cargo.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build")))
    }

    fn is_installed(&self, workspace: &Workspace) -> bool {
        let record = || {
            let record = std::fs::read(workspace.tools().join(".crates2.json")).ok()?;
            let record: Value = serde_json::from_slice(&record).ok()?;
            let pinned = format!("{} {} ", self.name, self.version);
            Some(record["installs"].as_object()?.keys().any(|install| install.starts_with(&pinned)))
        };
        workspace.tools().join("bin").join(self.name).exists() && record().unwrap_or_default()
    }
}

/// Puts the installed tools first in the command's PATH.
///
/// # Errors
/// The directory's name has a colon.
pub(crate) fn with_tools(workspace: &Workspace, mut command: Command) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::iter::once(workspace.tools().join("bin"));
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path)))
        .context("cannot put the tools directory into PATH")?;
    command.env("PATH", path);
    Ok(command)
}

/// Returns a command for cargo of rustup's nightly toolchain, for what needs unstable options of the
/// compiler. `why` begins the error's sentence, and ends with a verb such as "needs".
///
/// # Errors
/// There is no nightly toolchain; the error says how to install it.
pub(crate) fn nightly_cargo(why: &str) -> Result<Command> {
    if !command_exists("rustup") {
        bail!(
            "{why} a nightly compiler: install rustup (https://rustup.rs), then run `rustup toolchain install nightly`"
        );
    }
    if ask(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_none() {
        bail!("{why} a nightly compiler: run `rustup toolchain install nightly --profile minimal`");
    }
    let mut rustup = Command::new("rustup");
    crate::run::forget_cargo(&mut rustup);
    // With it, the nightly cargo would call the other toolchain's compiler.
    rustup.env_remove("RUSTUP_TOOLCHAIN").args(["run", "nightly", "cargo"]);
    Ok(rustup)
}
