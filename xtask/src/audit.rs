//! `cargo xtask audit`: checks the licences, sources and advisories of all dependencies with cargo-deny.

use crate::run::{exec, shown};
use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::process::Command;

const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", why: "it checks the dependencies against deny.toml" };
/// The workspaces whose dependencies are part of the product or of its tests. The servers that the
/// benchmark measures against are neither.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

/// Checks licences, bans and sources, then advisories if their database can be fetched.
///
/// # Errors
/// cargo-deny cannot be installed, or finds something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    CARGO_DENY.install(workspace)?;
    for manifest in MANIFESTS {
        exec(deny(workspace, manifest)?.args([
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))?;
    }
    let mut fetch = deny(workspace, MANIFESTS[0])?;
    fetch.args(["fetch", "db"]);
    let fetched = fetch.output().with_context(|| format!("cannot run `{}`", shown(&fetch)))?;
    if !fetched.status.success() {
        println!(
            "audit: licences, bans and sources are in order\n\
             audit: ADVISORIES NOT CHECKED: cannot fetch their database; run `cargo xtask audit` on a machine \
             that can reach it:\n{}",
            String::from_utf8_lossy(&fetched.stderr).trim()
        );
        return Ok(());
    }
    for manifest in MANIFESTS {
        exec(deny(workspace, manifest)?.args(["check", "--disable-fetch", "advisories"]))?;
    }
    println!("audit: licences, bans, sources and advisories are in order");
    Ok(())
}

/// `cargo deny` for one workspace, by the configuration in the root.
fn deny(workspace: &Workspace, manifest: &str) -> Result<Command> {
    let mut cargo = with_tools(workspace, workspace.cargo())?;
    cargo.args(["deny", "--config", "deny.toml", "--manifest-path", manifest]);
    Ok(cargo)
}
