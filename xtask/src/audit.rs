//! `cargo xtask audit`: checks licences, duplicates, sources and advisories of all dependencies.

use crate::run::{exec, shown};
use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::process::Command;

const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", why: "it checks the dependencies against deny.toml" };
/// The workspaces, each of which has a lock file.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "fuzz/Cargo.toml", "bench/baselines/Cargo.toml"];

/// Checks what needs no network beside the registry, then advisories if their database can be fetched.
///
/// # Errors
/// cargo-deny cannot be installed, or finds something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    CARGO_DENY.install(workspace)?;
    for manifest in MANIFESTS {
        exec(deny(workspace, manifest)?.args(["check", "licenses", "bans", "sources"]))?;
    }
    let mut fetch = deny(workspace, MANIFESTS[0])?;
    fetch.args(["fetch", "db"]);
    let fetched = fetch.output().with_context(|| format!("cannot run `{}`", shown(&fetch)))?;
    if !fetched.status.success() {
        let reason = String::from_utf8_lossy(&fetched.stderr);
        println!(
            "audit: ADVISORIES NOT CHECKED: the database of advisories (https://github.com/rustsec/advisory-db) \
             cannot be fetched; run `cargo xtask audit` again where it can. The reason: {}",
            reason.trim()
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
