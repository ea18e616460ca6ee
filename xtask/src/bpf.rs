//! Which compiler emits the eBPF object, and how it is called.

use crate::run;
use crate::setup::{Facts, RustToolchain};
use std::path::PathBuf;
use std::process::Command;
use std::{fmt, ops::RangeInclusive};

/// LLVM majors that the pinned bpf-linker can be linked with.
pub(crate) const LINKER_LLVM: RangeInclusive<u32> = 21..=23;
/// Version of bpf-linker.
pub(crate) const LINKER_VERSION: &str = "0.13.0";
/// Debian's compiler that is kept as new as its browsers need it, and the matching library sources.
pub(crate) const DEBIAN_COMPILER: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];

/// A Rust compiler with the sources of `core`, which `-Z build-std` compiles for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Named by `XSTUN_BPF_RUSTC` and `XSTUN_BPF_CARGO`.
    Override { rustc: PathBuf, cargo: PathBuf },
    /// A toolchain of rustup.
    Rustup { toolchain: String },
    /// The distribution's.
    Distribution,
}

/// A compiler, and the LLVM that its bitcode is of: bpf-linker must be linked with the same major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) source: Source,
    /// As `rustc --version` tells it, like `1.96.0`.
    pub(crate) version: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
}

/// What has to be done before the chosen compiler can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    Nothing,
    /// [`DEBIAN_COMPILER`].
    Packages,
    /// rustup's component `rust-src`.
    RustSource,
}

/// Picks the compiler: what the user named, else a rustup toolchain that has the sources of `core`
/// (a nightly first), else Debian's own, which needs no further download site, else the active
/// rustup toolchain, to which the sources are then added.
pub(crate) fn choose(facts: &Facts) -> Option<(Compiler, Lacks)> {
    if let Some(compiler) = &facts.bpf_override {
        return Some((compiler.clone(), Lacks::Nothing));
    }
    let usable = |toolchain: &&RustToolchain| LINKER_LLVM.contains(&toolchain.llvm);
    let mut toolchains: Vec<_> = facts.toolchains.iter().filter(usable).collect();
    toolchains.sort_by_key(|toolchain| (!toolchain.name.starts_with("nightly"), !toolchain.active));
    if let Some(toolchain) = toolchains.iter().find(|toolchain| toolchain.rust_src) {
        return Some((toolchain.compiler(), Lacks::Nothing));
    }
    if let Some(compiler) = &facts.distribution_compiler
        && LINKER_LLVM.contains(&compiler.llvm)
    {
        let there = DEBIAN_COMPILER.iter().all(|package| facts.installed.contains(*package));
        return Some((compiler.clone(), if there { Lacks::Nothing } else { Lacks::Packages }));
    }
    let active = toolchains.iter().find(|toolchain| toolchain.active)?;
    Some((active.compiler(), Lacks::RustSource))
}

impl RustToolchain {
    fn compiler(&self) -> Compiler {
        let source = Source::Rustup { toolchain: self.name.clone() };
        Compiler { source, version: self.version.clone(), llvm: self.llvm }
    }
}

impl Compiler {
    /// Cargo of this compiler. Unstable features are switched on for it whatever its channel:
    /// building `core` is one.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match &self.source {
            Source::Override { rustc, cargo } => {
                let mut command = Command::new(cargo);
                command.env("RUSTC", rustc);
                command
            }
            Source::Rustup { toolchain } => {
                let mut command = Command::new("rustup");
                command.args(["run", toolchain, "cargo"]).env_remove("RUSTC");
                command
            }
            Source::Distribution => {
                let mut command = Command::new("/usr/bin/cargo");
                command.env("RUSTC", "/usr/bin/rustc");
                command
            }
        };
        run::forget_cargo(&mut command);
        // Flags and wrappers that a user set for the host's code mean nothing to the BPF target.
        for name in ["RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Override { rustc, .. } => write!(f, "{} of XSTUN_BPF_RUSTC", rustc.display())?,
            Source::Rustup { toolchain } => write!(f, "rustup's {toolchain}")?,
            Source::Distribution => write!(f, "the distribution's rustc")?,
        }
        write!(f, " ({}, LLVM {})", self.version, self.llvm)
    }
}
