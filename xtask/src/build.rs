//! `cargo xtask build`: the eBPF object, and the program with it inside.

use crate::bpf::BpfCompiler;
use crate::run::exec;
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Sets up, builds, and says where the result is.
pub(crate) fn run(workspace: &Workspace, debug: bool) -> Result<()> {
    let ready = setup::run(workspace, Needs::BUILD)?;
    ebpf(workspace, &ready)?;
    program(workspace, debug)
}

/// Builds the eBPF object and puts it where `userspace/build.rs` looks for it.
///
/// # Errors
/// Set-up found no compiler, the build failed, or the object could not be copied.
pub(crate) fn ebpf(workspace: &Workspace, ready: &setup::ReadyMachine) -> Result<()> {
    let built = bpf(workspace, ready, PROGRAM)?;
    let object = workspace.ebpf_object();
    if !is_current(workspace, &object, &built)? {
        fs::copy(&built, &object)
            .with_context(|| format!("cannot copy {} to {}", built.display(), object.display()))?;
    }
    Ok(())
}

/// Builds the benchmark's generator, at [`generator_object`].
///
/// # Errors
/// Set-up found no compiler, or the build failed.
pub(crate) fn generator(workspace: &Workspace, ready: &setup::ReadyMachine) -> Result<()> {
    bpf(workspace, ready, GENERATOR).map(drop)
}

/// Where the object of the benchmark's generator stands once it is built.
pub(crate) fn generator_object(workspace: &Workspace) -> PathBuf {
    object(workspace, GENERATOR.binary)
}

/// A program for the kernel: its package and its binary.
struct BpfProgram {
    package: &'static str,
    binary: &'static str,
}

/// The XDP program of the server.
const PROGRAM: BpfProgram = BpfProgram { package: "xstun-ebpf", binary: "xstun-xdp" };
/// The generator of the benchmark.
const GENERATOR: BpfProgram = BpfProgram { package: "xstun-bench-ebpf", binary: "xstun-generator" };

/// Builds one program for the kernel and returns the path of its object.
fn bpf(workspace: &Workspace, ready: &setup::ReadyMachine, program: BpfProgram) -> Result<PathBuf> {
    let compiler = ready.compiler.as_ref().context("set-up was asked for no eBPF compiler")?;
    exec(
        cargo(workspace, compiler)?
            .args(["--package", program.package, "--bin", program.binary, "--target-dir"])
            .arg(workspace.target.join("bpf")),
    )?;
    Ok(object(workspace, program.binary))
}

fn object(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("bpf/bpfel-unknown-none/release").join(name)
}

fn cargo(workspace: &Workspace, compiler: &BpfCompiler) -> Result<std::process::Command> {
    let mut cargo = compiler.cargo();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::iter::once(workspace.tools().join("bin"));
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path)))
        .context("PATH cannot be led by the tools directory")?;
    cargo.current_dir(&workspace.root).env("PATH", path);
    cargo.args(["build", "--release", "-Z", "build-std=core", "--target", "bpfel-unknown-none"]);
    Ok(cargo)
}

/// Whether the copy is that of the last build. A copy that need not be made spares the host program's
/// build. An equal one that is older than a source (a test may have changed, of which the object has
/// nothing) is made again all the same: by its time `userspace/build.rs` sees that it is not stale.
fn is_current(workspace: &Workspace, copy: &Path, built: &Path) -> Result<bool> {
    let Ok(copied) = fs::metadata(copy).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    if fs::read(copy)? != fs::read(built).with_context(|| format!("the build left no {}", built.display()))? {
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
pub(crate) fn program(workspace: &Workspace, debug: bool) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xstun"]);
    if !debug {
        cargo.arg("--release");
    }
    exec(&mut cargo)?;
    let program = workspace.xstun(if debug { "debug" } else { "release" });
    let object = fs::metadata(workspace.ebpf_object()).context("the eBPF object is gone")?;
    println!("built {} with the eBPF object ({} bytes) inside", program.display(), object.len());
    Ok(())
}
