//! What this machine has, gathered without changing anything and without the network.

use super::packages::{NODE_CLIENTS, Needs, packages};
use super::{apt, toolchains};
use crate::bpf::{BpfCompiler, CompilerCandidates, DEBIAN_COMPILER, RustToolchain};
use crate::run::{ask, command_exists};
use crate::workspace::Workspace;
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1 it allows the clients of the tests to be missing.
const SKIP_MISSING: &str = "XSTUN_TEST_SKIP_MISSING";

/// Everything that the plan depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct MachineFacts {
    /// `ID` of os-release, like `debian`.
    pub(super) distribution: String,
    /// Name of the release, like `bookworm`; empty if it has none.
    pub(super) codename: String,
    /// `PRETTY_NAME` of os-release.
    pub(super) system: String,
    /// Whether packages can be installed.
    pub(super) root: bool,
    /// Whether apt is the package manager.
    pub(super) apt: bool,
    /// Whether this run has fetched the package lists.
    pub(super) updated: bool,
    /// The packages that are installed, of those that a plan could name.
    pub(super) installed: BTreeSet<String>,
    /// The packages that are not installed and that apt could install.
    pub(super) candidates: BTreeSet<String>,
    /// Packages (by their apt name) whose signs are there, by whatever means they were installed.
    pub(super) seen: BTreeSet<String>,
    /// Toolchains of rustup.
    pub(super) toolchains: Vec<RustToolchain>,
    /// The distribution's compiler, installed or not.
    pub(super) distribution_compiler: Option<BpfCompiler>,
    /// The compiler that the environment names.
    pub(super) named_compiler: Option<BpfCompiler>,
    /// Majors of LLVM whose development files are installed, each with its prefix.
    pub(super) llvm: BTreeMap<u32, PathBuf>,
    /// LLVM major of the pinned bpf-linker below the target directory.
    pub(super) linker: Option<u32>,
    /// Whether the toolchain that runs this program has rustfmt.
    pub(super) rustfmt: bool,
    /// Whether it has clippy.
    pub(super) clippy: bool,
    /// Whether the virtual environment has the clients of PyPI.
    pub(super) python_clients: bool,
    /// Whether the clients of npm are installed, in their pinned versions.
    pub(super) node_clients: bool,
    /// Whether tests skip clients that are missing.
    pub(super) skips_missing: bool,
}

impl MachineFacts {
    /// Gathers the facts that matter for `needs`, except what apt could install: see
    /// [`Self::ask_apt`].
    ///
    /// # Errors
    /// dpkg-query does not run, or the environment names a compiler that does not.
    pub(super) fn gather(workspace: &Workspace, needs: Needs, updated: bool) -> Result<Self> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let apt = command_exists("apt-get") && command_exists("dpkg-query");
        let installed = if apt { apt::installed()? } else { BTreeSet::new() };
        let (rustfmt, clippy) = toolchains::lint_components();
        let seen = packages(needs).filter(|package| has_sign(package.signs));
        Ok(MachineFacts {
            distribution: release_field(&release, "ID"),
            codename: codename(&release),
            system: release_field(&release, "PRETTY_NAME"),
            root: rustix::process::geteuid().is_root(),
            apt,
            updated,
            candidates: BTreeSet::new(),
            seen: seen.map(|package| package.apt.to_owned()).collect(),
            toolchains: toolchains::toolchains(),
            distribution_compiler: apt::installed_compiler(&installed),
            named_compiler: toolchains::named_compiler()?,
            llvm: toolchains::llvm_prefixes(),
            linker: toolchains::linker(workspace),
            rustfmt,
            clippy,
            python_clients: python_clients(workspace),
            node_clients: node_clients(workspace),
            skips_missing: std::env::var_os(SKIP_MISSING).is_some_and(|value| value == "1"),
            installed,
        })
    }

    /// Adds what apt could install. Takes most of a second, so call it only if something is missing.
    ///
    /// # Errors
    /// apt-cache fails.
    pub(super) fn ask_apt(&mut self) -> Result<()> {
        if self.apt {
            self.candidates = apt::candidates(&self.installed)?;
            if self.distribution_compiler.is_none() && self.distribution == "debian" {
                self.distribution_compiler = apt::candidate_compiler(&self.installed);
            }
        }
        Ok(())
    }

    /// The compilers to choose from.
    pub(super) fn compilers(&self) -> CompilerCandidates<'_> {
        let installed = DEBIAN_COMPILER.iter().all(|package| self.installed.contains(*package));
        CompilerCandidates {
            named: self.named_compiler.as_ref(),
            toolchains: &self.toolchains,
            distribution: self.distribution_compiler.as_ref().map(|compiler| (compiler, installed)),
        }
    }

    /// Whether the packages are named as on Fedora.
    pub(super) fn is_fedora(&self) -> bool {
        ["fedora", "rhel", "centos", "rocky", "almalinux"].contains(&self.distribution.as_str())
    }
}

fn python_clients(workspace: &Workspace) -> bool {
    let question = "import aioice, stun";
    workspace.python().exists() && ask(Command::new(workspace.python()).args(["-c", question])).is_some()
}

fn node_clients(workspace: &Workspace) -> bool {
    NODE_CLIENTS.iter().all(|client| {
        let is_pinned = |(name, version): (&str, &str)| {
            let package = std::fs::read(workspace.node_modules().join(name).join("package.json")).ok()?;
            let package: Value = serde_json::from_slice(&package).ok()?;
            Some(package["version"] == version)
        };
        client.split_once('@').and_then(is_pinned).unwrap_or_default()
    })
}

fn has_sign(signs: &[&str]) -> bool {
    let is_there = |sign: &&str| {
        if sign.starts_with('/') { Path::new(sign).exists() } else { command_exists(sign) }
    };
    signs.iter().any(is_there)
}

fn release_field(release: &str, key: &str) -> String {
    let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// The name that package repositories use. Derivatives of Ubuntu name Ubuntu's beside their own.
fn codename(release: &str) -> String {
    let ubuntu = release_field(release, "UBUNTU_CODENAME");
    if ubuntu.is_empty() { release_field(release, "VERSION_CODENAME") } else { ubuntu }
}

#[cfg(test)]
mod tests {
    use super::release_field;

    #[test]
    fn a_release_file_is_read_with_and_without_quotes() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(release_field(release, "ID"), "debian");
        assert_eq!(release_field(release, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(release_field(release, "VERSION_CODENAME"), "");
    }
}
