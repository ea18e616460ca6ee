//! The changes to the machine, one function each.

use super::facts::Facts;
use super::plan::{Step, Wanted};
use crate::bpf::LINKER_VERSION;
use crate::run::{exec, forget_cargo, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Clients of PyPI and their versions: pinned, so that a test fails for our own reasons only.
const PYTHON_CLIENTS: [&str; 2] = ["aioice==0.13.0", "pystun3==2.0.0"];

/// Clients of npm and their versions.
pub(super) const NODE_CLIENTS: [&str; 2] = ["node-stun@0.1.2", "stun@2.1.0"];

/// The step as it is told before it is taken: what and why.
pub(crate) fn describe(step: &Step) -> String {
    match step {
        Step::AptUpdate => {
            "fetching the package lists, which are empty or too old to know what is wanted".into()
        }
        Step::LlvmRepository { codename, llvm } => format!(
            "adding apt.llvm.org for {codename}: bpf-linker links to LLVM {llvm}, which the distribution does not \
             have (to undo: delete {})",
            sources_file(*llvm)
        ),
        Step::AptInstall(wanted) => {
            let lines = wanted.iter().map(|Wanted { package, why }| format!("\n  {package}: {why}"));
            format!("installing packages:{}", lines.collect::<String>())
        }
        Step::RustupComponent { toolchain, component, why } => {
            let toolchain = toolchain.as_deref().unwrap_or("the toolchain in use");
            format!("adding rustup's component {component} to {toolchain}: {why}")
        }
        Step::BpfLinker { llvm } => format!(
            "compiling bpf-linker {LINKER_VERSION} for LLVM {llvm} into the target directory: it makes the eBPF \
             object (about a minute)"
        ),
        Step::PythonClients => format!(
            "making a virtual environment in the target directory with {}: they ask the server in the tests",
            PYTHON_CLIENTS.join(" and ")
        ),
        Step::NodeClients => format!(
            "fetching {} of npm into the target directory: they ask the server in the tests",
            NODE_CLIENTS.join(" and ")
        ),
    }
}

/// Takes the step.
pub(crate) fn carry_out(step: &Step, workspace: &Workspace, facts: &Facts) -> Result<()> {
    match step {
        Step::AptUpdate => apt_update(),
        Step::LlvmRepository { codename, llvm } => add_llvm_repository(codename, *llvm),
        Step::AptInstall(wanted) => install(wanted),
        Step::RustupComponent { toolchain, component, .. } => {
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]);
            if let Some(toolchain) = toolchain {
                rustup.args(["--toolchain", toolchain]);
            }
            exec(&mut rustup)
        }
        Step::BpfLinker { llvm } => build_linker(workspace, facts, *llvm),
        Step::PythonClients => make_python_clients(workspace),
        Step::NodeClients => fetch_node_clients(workspace),
    }
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet=2", "--assume-yes", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Other people's repositories may be out of reach without any harm to this: what is wanted is looked
/// up again afterwards, so a failure is only told.
fn apt_update() -> Result<()> {
    if let Err(error) = exec(apt().arg("update")) {
        eprintln!("set-up: {error:#}; going on with the lists that could be fetched");
    }
    Ok(())
}

fn install(wanted: &[Wanted]) -> Result<()> {
    let packages: Vec<_> = wanted.iter().map(|wanted| wanted.package.as_str()).collect();
    let _kept_from_starting = StartsService::among(&packages)?;
    let command = || {
        let mut apt = apt();
        apt.args(["install", "--no-install-recommends"]).args(&packages);
        apt
    };
    if exec(&mut command()).is_ok() {
        return Ok(());
    }
    // Lists that are older than the mirror name files that it no longer has.
    println!("set-up: trying once more with fresh package lists");
    apt_update()?;
    exec(&mut command())
}

/// The packages of coturn and Prometheus start a server, and at every boot. Nobody asked for one: under
/// systemd the units are masked while the packages are installed, and left disabled. Elsewhere Debian's
/// policy-rc.d forbids every start for that long; one that is there already is somebody's own, and stays.
struct StartsService {
    units: Vec<String>,
    policy: bool,
}

impl StartsService {
    const PACKAGES: [&'static str; 2] = ["coturn", "prometheus"];
    const POLICY: &'static str = "/usr/sbin/policy-rc.d";

    fn among(packages: &[&str]) -> Result<Option<Self>> {
        let starting: Vec<_> = Self::PACKAGES.into_iter().filter(|name| packages.contains(name)).collect();
        if starting.is_empty() {
            return Ok(None);
        }
        let mut kept = StartsService { units: Vec::new(), policy: false };
        if Path::new("/run/systemd/system").exists() {
            for package in starting {
                let unit = format!("{package}.service");
                exec(Command::new("systemctl").args(["--quiet", "mask", &unit]))?;
                kept.units.push(unit);
            }
        } else if !Path::new(Self::POLICY).exists() {
            let cannot = || format!("cannot write {}", Self::POLICY);
            std::fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").with_context(cannot)?;
            kept.policy = true;
            std::fs::set_permissions(Self::POLICY, Permissions::from_mode(0o755)).with_context(cannot)?;
        }
        Ok(Some(kept))
    }
}

impl Drop for StartsService {
    fn drop(&mut self) {
        for unit in &self.units {
            for verb in ["unmask", "disable"] {
                if let Err(error) = output(Command::new("systemctl").args(["--quiet", verb, unit])) {
                    eprintln!("set-up: {error:#}");
                }
            }
        }
        if self.policy
            && let Err(error) = std::fs::remove_file(Self::POLICY)
        {
            eprintln!("set-up: cannot remove {}: {error}", Self::POLICY);
        }
    }
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

fn build_linker(workspace: &Workspace, facts: &Facts, llvm: u32) -> Result<()> {
    let prefix = facts.llvm.get(&llvm).cloned().unwrap_or_else(|| format!("/usr/lib/llvm-{llvm}").into());
    let tools = workspace.tools();
    let mut cargo = workspace.cargo();
    cargo.env("LLVM_PREFIX", prefix);
    cargo.args(["install", "bpf-linker", "--locked", "--force", "--quiet", "--no-default-features"]);
    cargo.args(["--version", &format!("={LINKER_VERSION}"), "--features", &format!("llvm-{llvm}")]);
    cargo.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build"));
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

/// Without the packages' own scripts: these clients have none, and what they depend on shall run none.
fn fetch_node_clients(workspace: &Workspace) -> Result<()> {
    let home = workspace.tools().join("nodeclients");
    std::fs::create_dir_all(&home).context("cannot make the directory of npm's clients")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]);
    exec(npm.arg("--prefix").arg(&home).args(NODE_CLIENTS))
}
