//! Finds the sources and the target directory.

use crate::run;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::PathBuf;

/// The two directories that every verb works in, and paths below them.
pub(crate) struct Workspace {
    /// Directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which knows every way to set a target directory.
    ///
    /// # Errors
    /// `cargo metadata` fails.
    pub(crate) fn find() -> Result<Self> {
        let mut cargo = run::cargo();
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"]);
        cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let metadata: Value =
            serde_json::from_str(&run::output(&mut cargo)?).context("`cargo metadata` printed no JSON")?;
        let directory = |key: &str| {
            let path = metadata[key].as_str().with_context(|| format!("`cargo metadata` names no {key}"))?;
            Ok::<_, anyhow::Error>(PathBuf::from(path))
        };
        Ok(Workspace { root: directory("workspace_root")?, target: directory("target_directory")? })
    }

    /// Returns what `cargo metadata` says of the packages of a workspace, by the path of its manifest.
    ///
    /// # Errors
    /// The manifest is wrong.
    pub(crate) fn metadata(&self, manifest: &str) -> Result<Value> {
        let mut cargo = self.cargo();
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path", manifest]);
        serde_json::from_str(&run::output(&mut cargo)?).context("`cargo metadata` printed no JSON")
    }

    /// Directory of the programs that setup builds for this project. Nothing is installed into the
    /// user's home.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Python of the virtual environment that holds the test clients from PyPI.
    pub(crate) fn python(&self) -> PathBuf {
        self.tools().join("pyclients/bin/python")
    }

    /// Directory of the test clients from npm.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.tools().join("nodeclients/node_modules")
    }

    /// The eBPF object that `userspace/build.rs` embeds.
    pub(crate) fn ebpf_object(&self) -> PathBuf {
        self.target.join("xstun-ebpf.o")
    }

    /// The `xstun` program that was built with a profile, `release` or `debug`.
    pub(crate) fn xstun(&self, profile: &str) -> PathBuf {
        self.target.join(profile).join("xstun")
    }

    /// Returns a command for cargo in the workspace's root.
    pub(crate) fn cargo(&self) -> std::process::Command {
        let mut cargo = run::cargo();
        cargo.current_dir(&self.root);
        cargo
    }
}
