//! What this machine has, gathered without changing anything and without the network.

use super::pieces::{Needs, pieces};
use super::plan::{CURL, llvm_packages};
use super::steps::NODE_CLIENTS;
use crate::bpf::{Compiler, DEBIAN_COMPILER, LINKER_LLVM, LINKER_VERSION, Source};
use crate::run::{ask, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1 it lets the clients of the tests be missing.
const SKIP_MISSING: &str = "XSTUN_TEST_SKIP_MISSING";

/// All that the plan depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `ID` of os-release, like `debian`.
    pub(crate) distribution: String,
    /// Name of the release, like `bookworm`; empty where there is none.
    pub(crate) codename: String,
    /// `PRETTY_NAME` of os-release.
    pub(crate) system: String,
    /// Whether packages can be installed.
    pub(crate) root: bool,
    /// Whether apt is the package manager.
    pub(crate) apt: bool,
    /// Whether the package lists were fetched in this run.
    pub(crate) updated: bool,
    /// Packages that are installed, of those that this program could want.
    pub(crate) installed: BTreeSet<String>,
    /// Packages that are not installed, but that apt could install.
    pub(crate) candidates: BTreeSet<String>,
    /// Pieces (by their apt name) that show themselves, however they came.
    pub(crate) seen: BTreeSet<String>,
    /// Toolchains of rustup.
    pub(crate) toolchains: Vec<RustToolchain>,
    /// The compiler that the distribution has, installed or not.
    pub(crate) distribution_compiler: Option<Compiler>,
    /// The compiler that the environment names.
    pub(crate) bpf_override: Option<Compiler>,
    /// Majors of LLVM whose development files are there, and where.
    pub(crate) llvm: BTreeMap<u32, PathBuf>,
    /// LLVM major of the pinned bpf-linker under the target directory.
    pub(crate) linker: Option<u32>,
    /// Whether the toolchain that runs this program has rustfmt and clippy.
    pub(crate) rustfmt: bool,
    pub(crate) clippy: bool,
    /// Whether the virtual environment holds the clients of PyPI.
    pub(crate) python_clients: bool,
    /// Whether the clients of npm are there, in their pinned versions.
    pub(crate) node_clients: bool,
    /// Whether tests pass by the clients that are missing.
    pub(crate) skips_missing: bool,
}

/// One toolchain of rustup.
#[derive(Clone, Debug)]
pub(crate) struct RustToolchain {
    /// Like `stable-x86_64-unknown-linux-gnu`.
    pub(crate) name: String,
    /// Whether it runs this program.
    pub(crate) active: bool,
    /// Whether it has the component `rust-src`.
    pub(crate) rust_src: bool,
    /// Like `1.95.0`.
    pub(crate) version: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
}

/// Gathers the facts that matter for `needs`, but for what apt could install: see [`Facts::ask_apt`].
pub(crate) fn gather(workspace: &Workspace, needs: Needs, updated: bool) -> Result<Facts> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let apt = command_exists("apt-get") && command_exists("dpkg-query");
    let installed = if apt { installed_packages()? } else { BTreeSet::new() };
    let mut facts = Facts {
        distribution: release_field(&release, "ID"),
        codename: codename(&release),
        system: release_field(&release, "PRETTY_NAME"),
        root: rustix::process::geteuid().is_root(),
        apt,
        updated,
        installed,
        toolchains: toolchains(),
        bpf_override: override_from_environment()?,
        llvm: llvm_prefixes(),
        linker: linker(workspace),
        python_clients: python_clients(workspace),
        node_clients: node_clients(workspace),
        skips_missing: std::env::var_os(SKIP_MISSING).is_some_and(|value| value == "1"),
        ..Facts::default()
    };
    facts.seen = pieces(needs).filter(|piece| shows(piece.signs)).map(|piece| piece.apt.to_owned()).collect();
    (facts.rustfmt, facts.clippy) = lint_components();
    if facts.installed.contains("rustc-web") {
        facts.distribution_compiler = compiler_version(Path::new("/usr/bin/rustc"))
            .map(|(version, llvm)| Compiler { source: Source::Distribution, version, llvm });
    }
    Ok(facts)
}

impl Facts {
    /// Adds what apt could install. Only asked where something is missing: apt takes most of a second
    /// to answer at all.
    pub(crate) fn ask_apt(&mut self) -> Result<()> {
        if self.apt {
            self.candidates = candidates(&self.installed)?;
            if self.distribution_compiler.is_none() {
                self.distribution_compiler = distribution_compiler(self);
            }
        }
        Ok(())
    }
}

/// Every package that a plan could name.
fn packages() -> impl Iterator<Item = String> {
    let llvm = LINKER_LLVM.flat_map(llvm_packages);
    let others = DEBIAN_COMPILER.into_iter().chain(CURL).chain(["rustc", "rustup"]).map(str::to_owned);
    pieces(Needs::ALL).map(|piece| piece.apt.to_owned()).chain(llvm).chain(others)
}

fn installed_packages() -> Result<BTreeSet<String>> {
    // dpkg-query fails when it knows one of the names not at all; what it printed holds all the same.
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${binary:Package}\t${db:Status-Status}\n"]).args(packages());
    let printed = query.output().context("cannot run dpkg-query")?.stdout;
    let installed = String::from_utf8_lossy(&printed)
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, status)| *status == "installed")
        .map(|(name, _)| name.split(':').next().unwrap_or(name).to_owned())
        .collect();
    Ok(installed)
}

fn candidates(installed: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let unknown: Vec<_> = packages().filter(|package| !installed.contains(package)).collect();
    let mut policy = Command::new("apt-cache");
    let printed = output(policy.arg("policy").args(unknown).env("LC_ALL", "C"))?;
    Ok(parse_policy(&printed))
}

/// Packages of `apt-cache policy`'s answer that can be installed.
fn parse_policy(printed: &str) -> BTreeSet<String> {
    let mut candidates = BTreeSet::new();
    let mut package = "";
    for line in printed.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name;
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            candidates.insert(package.to_owned());
        }
    }
    candidates
}

/// The compiler that Debian could install, with its LLVM as the package of its library depends on it.
fn distribution_compiler(facts: &Facts) -> Option<Compiler> {
    // rustc-web cannot be installed beside the distribution's other packages of the compiler.
    if facts.distribution != "debian"
        || ["rustc", "rustup"].iter().any(|name| facts.installed.contains(*name))
    {
        return None;
    }
    let shown = ask(Command::new("apt-cache").args(["show", "--no-all-versions", "rustc-web"]))?;
    let version = shown.lines().find_map(|line| line.strip_prefix("Version: "))?.split('+').next()?;
    let minor = version.rsplit_once('.')?.0;
    let depends = ask(Command::new("apt-cache").args(["depends", &format!("libstd-rust-web-{minor}")]))?;
    let llvm = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: libllvm"))?;
    Some(Compiler { source: Source::Distribution, version: version.to_owned(), llvm: leading_number(llvm)? })
}

fn override_from_environment() -> Result<Option<Compiler>> {
    let Some(rustc) = std::env::var_os("XSTUN_BPF_RUSTC").map(PathBuf::from) else { return Ok(None) };
    let cargo = std::env::var_os("XSTUN_BPF_CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let (version, llvm) = compiler_version(&rustc)
        .with_context(|| format!("XSTUN_BPF_RUSTC={} is no Rust compiler that runs", rustc.display()))?;
    Ok(Some(Compiler { source: Source::Override { rustc, cargo }, version, llvm }))
}

/// Version and LLVM major of a compiler.
fn compiler_version(rustc: &Path) -> Option<(String, u32)> {
    let printed = ask(Command::new(rustc).arg("-vV").env_remove("LD_LIBRARY_PATH"))?;
    let field = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name));
    Some((field("release: ")?.to_owned(), leading_number(field("LLVM version: ")?)?))
}

fn toolchains() -> Vec<RustToolchain> {
    let listed = ask(Command::new("rustup").args(["toolchain", "list", "-v"])).unwrap_or_default();
    listed.lines().filter_map(toolchain).collect()
}

/// A line like `stable-x86_64-unknown-linux-gnu (active, default) /home/me/.rustup/toolchains/...`.
fn toolchain(line: &str) -> Option<RustToolchain> {
    let (name, rest) = line.split_once(' ')?;
    let home = Path::new(&rest[rest.find('/')?..]);
    let (version, llvm) = compiler_version(&home.join("bin/rustc"))?;
    Some(RustToolchain {
        name: name.to_owned(),
        active: rest.contains("active"),
        rust_src: home.join("lib/rustlib/src/rust/library/core").exists(),
        version,
        llvm,
    })
}

/// Whether rustfmt and clippy are installed for the toolchain in use. rustup puts their names on the
/// path even when they are not.
fn lint_components() -> (bool, bool) {
    let Some(sysroot) = ask(Command::new("rustc").args(["--print", "sysroot"])) else {
        return (false, false);
    };
    let bin = Path::new(sysroot.trim()).join("bin");
    (bin.join("rustfmt").exists(), bin.join("cargo-clippy").exists())
}

fn llvm_prefixes() -> BTreeMap<u32, PathBuf> {
    let candidates = LINKER_LLVM
        .flat_map(|major| {
            ["/usr/lib/llvm-", "/usr/lib64/llvm"].map(|prefix| format!("{prefix}{major}").into())
        })
        .chain([PathBuf::from("/usr")]);
    let found = candidates.filter_map(|prefix: PathBuf| {
        let version = ask(Command::new(prefix.join("bin/llvm-config")).arg("--version"))?;
        Some((leading_number(&version)?, prefix))
    });
    found.collect()
}

/// LLVM major that the pinned bpf-linker was built with, from cargo's own record.
fn linker(workspace: &Workspace) -> Option<u32> {
    workspace.tools().join("bin/bpf-linker").metadata().ok()?;
    let record = std::fs::read(workspace.tools().join(".crates2.json")).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    let pinned = format!("bpf-linker {LINKER_VERSION} ");
    let (_, install) = record["installs"].as_object()?.iter().find(|(name, _)| name.starts_with(&pinned))?;
    let mut features = install["features"].as_array()?.iter().filter_map(Value::as_str);
    features.find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())
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

fn shows(signs: &[&str]) -> bool {
    signs
        .iter()
        .any(|sign| if sign.starts_with('/') { Path::new(sign).exists() } else { command_exists(sign) })
}

pub(crate) fn command_exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

fn release_field(release: &str, key: &str) -> String {
    let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// The name that package repositories go by. Derivatives of Ubuntu tell Ubuntu's beside their own.
fn codename(release: &str) -> String {
    let ubuntu = release_field(release, "UBUNTU_CODENAME");
    if ubuntu.is_empty() { release_field(release, "VERSION_CODENAME") } else { ubuntu }
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{leading_number, parse_policy, release_field};

    #[test]
    fn apt_says_what_it_can_install() {
        let printed = "coturn:\n  Installed: (none)\n  Candidate: 4.6.1-1\n  Version table:\n     4.6.1-1 500\n\
                       llvm-22-dev:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(parse_policy(printed).into_iter().collect::<Vec<_>>(), ["coturn"]);
    }

    #[test]
    fn a_release_file_is_read_with_and_without_quotes() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(release_field(release, "ID"), "debian");
        assert_eq!(release_field(release, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(release_field(release, "VERSION_CODENAME"), "");
        assert_eq!(leading_number("22.1.8"), Some(22));
        assert_eq!(leading_number("next"), None);
    }
}
