//! `cargo xtask build`: builds the eBPF object, and `xstun`, which embeds it.

use crate::bpf::BpfCompiler;
use crate::children::ChildGuard;
use crate::run::exec;
use crate::setup::{self, Needs, ReadyMachine};
use crate::strip;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Sets up, builds, and prints where the result is.
///
/// # Errors
/// Setup or a build failed.
pub(crate) fn run(workspace: &Workspace, debug: bool) -> Result<()> {
    if !debug {
        return everything(workspace, Needs::BUILD).map(drop);
    }
    let ready = setup::run(workspace, Needs::BUILD)?;
    ebpf(workspace, &ready)?;
    program(workspace, true)
}

/// Sets up, and builds the eBPF object and the release binary.
///
/// # Errors
/// Setup or a build failed.
pub(crate) fn everything(workspace: &Workspace, needs: Needs) -> Result<ReadyMachine> {
    let early = EarlyBuild::start(workspace)?;
    let ready = setup::run(workspace, needs)?;
    ebpf(workspace, &ready)?;
    early.finish()?;
    program(workspace, false)?;
    Ok(ready)
}

/// A release build that starts before the machine is ready, so that downloads and compilation overlap:
/// most dependencies of `xstun` need nothing that setup installs. Drop ends it.
pub(crate) struct EarlyBuild(Option<ChildGuard>);

impl EarlyBuild {
    /// Starts it, unless an earlier build has got as far as the eBPF object: it compiled the dependencies.
    ///
    /// # Errors
    /// Cargo cannot be started.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        if fs::metadata(workspace.ebpf_object()).is_ok_and(|object| object.len() > 0) {
            return Ok(EarlyBuild(None));
        }
        println!("build: compiling the dependencies of xstun in the background");
        let mut cargo = release_build(workspace);
        cargo.args(["--keep-going", "--quiet"]);
        // Ends the build before `xstun` itself, whose build script fails without this file.
        cargo.env("XSTUN_EBPF_OBJECT", workspace.target.join("no-object-yet"));
        cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = cargo.spawn().context("cannot run cargo")?;
        Ok(EarlyBuild(Some(ChildGuard(child))))
    }

    /// Waits until it has compiled what it can. It always fails, and the build that follows reports what
    /// is wrong.
    ///
    /// # Errors
    /// The system refuses to wait for it.
    pub(crate) fn finish(mut self) -> Result<()> {
        if let Some(child) = &mut self.0 {
            child.0.wait().context("cannot wait for cargo")?;
        }
        Ok(())
    }
}

/// Builds the eBPF object and writes it, without DWARF, to where `userspace/build.rs` looks for it.
///
/// # Errors
/// Setup chose no compiler, the build failed, or the object cannot be written.
pub(crate) fn ebpf(workspace: &Workspace, ready: &ReadyMachine) -> Result<()> {
    let built = bpf(workspace, ready, PROGRAM)?;
    let object = workspace.ebpf_object();
    let bytes = fs::read(&built).with_context(|| format!("the build made no {}", built.display()))?;
    let bytes = strip::without_dwarf(&bytes)?;
    if !is_current(workspace, &object, &bytes)? {
        fs::write(&object, bytes).with_context(|| format!("cannot write {}", object.display()))?;
    }
    Ok(())
}

/// Builds the benchmark's generator, at [`generator_object`].
///
/// # Errors
/// Setup chose no compiler, or the build failed.
pub(crate) fn generator(workspace: &Workspace, ready: &ReadyMachine) -> Result<()> {
    bpf(workspace, ready, GENERATOR).map(drop)
}

/// Path of the benchmark's generator once it is built.
pub(crate) fn generator_object(workspace: &Workspace) -> PathBuf {
    object(workspace, GENERATOR.binary)
}

/// Builds the program that passes everything, and returns its path.
///
/// # Errors
/// Setup chose no compiler, or the build failed.
pub(crate) fn pass(workspace: &Workspace, ready: &ReadyMachine) -> Result<PathBuf> {
    bpf(workspace, ready, PASS)
}

/// A program for the kernel: its package and its binary.
struct BpfProgram {
    package: &'static str,
    binary: &'static str,
}

/// The XDP program of the server.
const PROGRAM: BpfProgram = BpfProgram { package: "xstun-ebpf", binary: "xstun-xdp" };
/// The program for the other end of the demonstration's veth pair.
const PASS: BpfProgram = BpfProgram { package: "xstun-ebpf", binary: "xstun-pass" };
/// The generator of the benchmark.
const GENERATOR: BpfProgram = BpfProgram { package: "xstun-bench-ebpf", binary: "xstun-generator" };

/// Builds one program for the kernel and returns the path of its object.
fn bpf(workspace: &Workspace, ready: &ReadyMachine, program: BpfProgram) -> Result<PathBuf> {
    let compiler = ready.compiler.as_ref().context("setup selected no eBPF compiler")?;
    exec(
        bpf_cargo(workspace, compiler)?
            .args(["--package", program.package, "--bin", program.binary, "--target-dir"])
            .arg(workspace.target.join("bpf")),
    )?;
    Ok(object(workspace, program.binary))
}

fn object(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("bpf/bpfel-unknown-none/release").join(name)
}

fn bpf_cargo(workspace: &Workspace, compiler: &BpfCompiler) -> Result<Command> {
    let mut cargo = compiler.cargo();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::iter::once(workspace.tools().join("bin"));
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path)))
        .context("cannot put the tools directory before PATH")?;
    cargo.current_dir(&workspace.root).env("PATH", path);
    // Headers begin at even addresses, and no better: without the feature, which all architectures of xstun
    // have, each number would be read byte by byte. BTF lets tools such as xdpdump attach to the program.
    cargo.env(
        "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
        "-C link-arg=--cpu-features=+allows-misaligned-mem-access -C link-arg=--btf",
    );
    cargo.args(["build", "--release", "-Z", "build-std=core", "--target", "bpfel-unknown-none"]);
    Ok(cargo)
}

/// Whether the copy is that of the last build; replacing it would rebuild the host program. A copy that
/// is equal but older than a source (a test may have changed, which is not in the object) is not
/// current: `userspace/build.rs` decides by its time whether it is stale.
fn is_current(workspace: &Workspace, copy: &Path, object: &[u8]) -> Result<bool> {
    let Ok(copied) = fs::metadata(copy).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    if fs::read(copy)? != object {
        return Ok(false);
    }
    let crates = ["xdp-ebpf", "core"].map(|directory| workspace.root.join(directory));
    let mut paths: Vec<_> =
        crates.iter().flat_map(|directory| [directory.join("Cargo.toml"), directory.join("src")]).collect();
    while let Some(path) = paths.pop() {
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                paths.push(entry?.path());
            }
        } else if metadata.modified()? > copied {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Builds `xstun`, which embeds the object.
///
/// # Errors
/// The build failed, or there is no object.
pub(crate) fn program(workspace: &Workspace, debug: bool) -> Result<()> {
    let (mut cargo, profile) = if debug {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--package", "xstun", "--bin", "xstun"]);
        (cargo, "debug")
    } else {
        (release_build(workspace), "release")
    };
    exec(&mut cargo)?;
    let object = fs::metadata(workspace.ebpf_object()).context("there is no eBPF object")?;
    println!(
        "built {} with the eBPF object ({} bytes) inside",
        workspace.xstun(profile).display(),
        object.len()
    );
    Ok(())
}

fn release_build(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "xstun", "--bin", "xstun"]);
    cargo
}
