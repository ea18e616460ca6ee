//! The compiler that emits the eBPF object: which one to take, and how to call it.

use crate::run;
use std::path::PathBuf;
use std::process::Command;
use std::{fmt, ops::RangeInclusive};

/// LLVM majors that the pinned bpf-linker can link to and that have the feature `allows-misaligned-mem-access`
/// of BPF.
pub(crate) const LINKER_LLVM: RangeInclusive<u32> = 22..=23;
/// Version of bpf-linker.
pub(crate) const LINKER_VERSION: &str = "0.13.0";
/// The compiler that Debian keeps as new as its browsers need it, and the matching library sources.
pub(crate) const DEBIAN_COMPILER: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];

/// Where a Rust compiler comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompilerSource {
    /// Named by `XSTUN_BPF_RUSTC` and `XSTUN_BPF_CARGO`.
    Override { rustc: PathBuf, cargo: PathBuf },
    /// A toolchain of rustup.
    Rustup { toolchain: String },
    /// The distribution's.
    Distribution,
}

/// A Rust compiler with the sources of `core`, which `-Z build-std` compiles for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BpfCompiler {
    pub(crate) source: CompilerSource,
    /// As `rustc --version` prints it, like `1.96.0`.
    pub(crate) version: String,
    /// Major version of its LLVM. bpf-linker must be linked to the same major.
    pub(crate) llvm: u32,
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

/// The compilers to choose from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompilerCandidates<'a> {
    /// The one that the environment names.
    pub(crate) named: Option<&'a BpfCompiler>,
    pub(crate) toolchains: &'a [RustToolchain],
    /// The distribution's, and whether all of [`DEBIAN_COMPILER`] is installed.
    pub(crate) distribution: Option<(&'a BpfCompiler, bool)>,
}

/// What has to be installed before the chosen compiler can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompilerLacks {
    Nothing,
    /// [`DEBIAN_COMPILER`].
    Packages,
    /// rustup's component `rust-src`.
    RustSource,
}

/// Chooses a compiler: the one that the environment names, else a rustup toolchain that has the
/// sources of `core` (a nightly first), else Debian's own, which needs no further download site, else
/// the active rustup toolchain, which then lacks `rust-src`.
pub(crate) fn choose(candidates: CompilerCandidates<'_>) -> Option<(BpfCompiler, CompilerLacks)> {
    if let Some(compiler) = candidates.named {
        return Some((compiler.clone(), CompilerLacks::Nothing));
    }
    let usable = |toolchain: &&RustToolchain| LINKER_LLVM.contains(&toolchain.llvm);
    let mut toolchains: Vec<_> = candidates.toolchains.iter().filter(usable).collect();
    toolchains.sort_by_key(|toolchain| (!toolchain.name.starts_with("nightly"), !toolchain.active));
    if let Some(toolchain) = toolchains.iter().find(|toolchain| toolchain.rust_src) {
        return Some((toolchain.compiler(), CompilerLacks::Nothing));
    }
    if let Some((compiler, installed)) = candidates.distribution
        && LINKER_LLVM.contains(&compiler.llvm)
    {
        let lacks = if installed { CompilerLacks::Nothing } else { CompilerLacks::Packages };
        return Some((compiler.clone(), lacks));
    }
    let active = toolchains.iter().find(|toolchain| toolchain.active)?;
    Some((active.compiler(), CompilerLacks::RustSource))
}

impl RustToolchain {
    fn compiler(&self) -> BpfCompiler {
        let source = CompilerSource::Rustup { toolchain: self.name.clone() };
        BpfCompiler { source, version: self.version.clone(), llvm: self.llvm }
    }
}

impl BpfCompiler {
    /// Cargo that calls this compiler, with unstable features enabled on every channel: building
    /// `core` is one.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match &self.source {
            CompilerSource::Override { rustc, cargo } => {
                let mut command = Command::new(cargo);
                command.env("RUSTC", rustc);
                command
            }
            CompilerSource::Rustup { toolchain } => {
                let mut command = Command::new("rustup");
                command.args(["run", toolchain, "cargo"]).env_remove("RUSTC");
                command
            }
            CompilerSource::Distribution => {
                let mut command = Command::new("/usr/bin/cargo");
                command.env("RUSTC", "/usr/bin/rustc");
                command
            }
        };
        run::forget_cargo(&mut command);
        // Flags and wrappers that a user set for the host's code do not apply to the BPF target.
        for name in ["RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

impl fmt::Display for BpfCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            CompilerSource::Override { rustc, .. } => write!(f, "{} of XSTUN_BPF_RUSTC", rustc.display())?,
            CompilerSource::Rustup { toolchain } => write!(f, "rustup's {toolchain}")?,
            CompilerSource::Distribution => write!(f, "the distribution's rustc")?,
        }
        write!(f, " ({}, LLVM {})", self.version, self.llvm)
    }
}
