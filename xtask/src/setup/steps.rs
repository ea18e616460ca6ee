//! The changes to the machine, one function each.

use super::facts::MachineFacts;
use super::packages::{NODE_CLIENTS, PYTHON_CLIENTS};
use super::plan::{SetupStep, WantedPackage};
use super::services::KeptFromStarting;
use crate::bpf::LINKER_VERSION;
use crate::run::{exec, forget_cargo, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::process::Command;

/// What the step does and why, as printed before it.
pub(super) fn describe(step: &SetupStep) -> String {
    match step {
        SetupStep::AptUpdate => "fetching the package lists, which are empty or too old".into(),
        SetupStep::LlvmRepository { codename, llvm } => format!(
            "adding apt.llvm.org for {codename}: bpf-linker links to LLVM {llvm}, which the distribution does not \
             have (to undo: delete {})",
            sources_file(*llvm)
        ),
        SetupStep::AptInstall(wanted) => {
            let lines = wanted.iter().map(|WantedPackage { package, why }| format!("\n  {package}: {why}"));
            format!("installing packages:{}", lines.collect::<String>())
        }
        SetupStep::RustupComponent { toolchain, component, why } => {
            let toolchain = toolchain.as_deref().unwrap_or("the toolchain in use");
            format!("adding rustup's component {component} to {toolchain}: {why}")
        }
        SetupStep::BpfLinker { llvm } => format!(
            "compiling bpf-linker {LINKER_VERSION} for LLVM {llvm} into the target directory: it makes the eBPF \
             object"
        ),
        SetupStep::PythonClients => format!(
            "making a virtual environment in the target directory with {}: they query the server in the tests",
            PYTHON_CLIENTS.join(" and ")
        ),
        SetupStep::NodeClients => format!(
            "fetching {} of npm into the target directory: they query the server in the tests",
            NODE_CLIENTS.join(" and ")
        ),
    }
}

/// Whether the step can run beside others of its kind: it waits for no other, and no package manager is
/// involved, which would lock the others out.
pub(super) fn is_independent(step: &SetupStep) -> bool {
    matches!(step, SetupStep::BpfLinker { .. } | SetupStep::PythonClients | SetupStep::NodeClients)
}

/// Carries out the step.
///
/// # Errors
/// A command of the step failed.
pub(super) fn carry_out(step: &SetupStep, workspace: &Workspace, facts: &MachineFacts) -> Result<()> {
    match step {
        SetupStep::AptUpdate => apt_update(),
        SetupStep::LlvmRepository { codename, llvm } => add_llvm_repository(codename, *llvm),
        SetupStep::AptInstall(wanted) => install(wanted),
        SetupStep::RustupComponent { toolchain, component, .. } => {
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]);
            if let Some(toolchain) = toolchain {
                rustup.args(["--toolchain", toolchain]);
            }
            exec(&mut rustup)
        }
        SetupStep::BpfLinker { llvm } => build_linker(workspace, facts, *llvm),
        SetupStep::PythonClients => make_python_clients(workspace),
        SetupStep::NodeClients => fetch_node_clients(workspace),
    }
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet=2", "--assume-yes", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Fetches the package lists. A failure is only printed: a repository of somebody else's may be out of
/// reach, and the next plan sees whether the lists have what it needs.
fn apt_update() -> Result<()> {
    if let Err(error) = exec(apt().arg("update")) {
        eprintln!("setup: {error:#}; continuing with the lists that were fetched");
    }
    Ok(())
}

fn install(wanted: &[WantedPackage]) -> Result<()> {
    let packages: Vec<_> = wanted.iter().map(|wanted| wanted.package.as_str()).collect();
    let _kept_from_starting = KeptFromStarting::among(&packages)?;
    let command = || {
        let mut apt = apt();
        apt.args(["install", "--no-install-recommends"]).args(&packages);
        apt
    };
    if exec(&mut command()).is_ok() {
        return Ok(());
    }
    // Lists older than the mirror name files that it no longer has.
    println!("setup: trying once more with fresh package lists");
    apt_update()?;
    exec(&mut command())
}

fn sources_file(llvm: u32) -> String {
    format!("/etc/apt/sources.list.d/apt.llvm.org-{llvm}.sources")
}

fn add_llvm_repository(codename: &str, llvm: u32) -> Result<()> {
    const KEY: &str = "/etc/apt/keyrings/apt.llvm.org.asc";
    let write =
        |path: &str, text: &str| std::fs::write(path, text).with_context(|| format!("cannot write {path}"));
    std::fs::create_dir_all("/etc/apt/keyrings").context("cannot make /etc/apt/keyrings")?;
    let mut fetch = Command::new("curl");
    fetch.args(["--fail", "--silent", "--show-error", "--location", "--proto", "=https", "--max-time", "60"]);
    let key = output(fetch.arg("https://apt.llvm.org/llvm-snapshot.gpg.key"))?;
    write(KEY, &key)?;
    let source = format!(
        "Types: deb\nURIs: https://apt.llvm.org/{codename}/\nSuites: llvm-toolchain-{codename}-{llvm}\n\
         Components: main\nSigned-By: {KEY}\n"
    );
    write(&sources_file(llvm), &source)?;
    apt_update()
}

fn build_linker(workspace: &Workspace, facts: &MachineFacts, llvm: u32) -> Result<()> {
    let prefix = facts.llvm.get(&llvm).cloned().unwrap_or_else(|| format!("/usr/lib/llvm-{llvm}").into());
    let tools = workspace.tools();
    let mut cargo = workspace.cargo();
    cargo.env("LLVM_PREFIX", prefix);
    cargo.args(["install", "bpf-linker", "--locked", "--force", "--quiet", "--no-default-features"]);
    cargo.args(["--version", &format!("={LINKER_VERSION}"), "--features", &format!("llvm-{llvm}")]);
    cargo.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build"));
    // Its work is LLVM's, which is compiled already; the object is the same to the byte, and without
    // optimisation it is made in half the time.
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    exec(&mut cargo)
}

fn make_python_clients(workspace: &Workspace) -> Result<()> {
    let home = workspace.tools().join("pyclients");
    std::fs::create_dir_all(workspace.tools()).context("cannot make the tools directory")?;
    let mut venv = Command::new("python3");
    forget_cargo(&mut venv);
    exec(venv.args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = Command::new(workspace.python());
    forget_cargo(&mut pip);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    exec(pip.args(PYTHON_CLIENTS))
}

/// Runs no install scripts: the clients have none, and those of their dependencies are not trusted.
fn fetch_node_clients(workspace: &Workspace) -> Result<()> {
    let home = workspace.tools().join("nodeclients");
    std::fs::create_dir_all(&home).context("cannot make the directory of npm's clients")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]);
    exec(npm.arg("--prefix").arg(&home).args(NODE_CLIENTS))
}
