//! Which Rust compilers, LLVM libraries and build of bpf-linker this machine has.

use crate::bpf::{BpfCompiler, CompilerSource, LINKER_LLVM, LINKER_VERSION, RustToolchain};
use crate::run::ask;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler that `XSTUN_BPF_RUSTC` and `XSTUN_BPF_CARGO` name.
///
/// # Errors
/// It does not run.
pub(super) fn named_compiler() -> Result<Option<BpfCompiler>> {
    let Some(rustc) = std::env::var_os("XSTUN_BPF_RUSTC").map(PathBuf::from) else { return Ok(None) };
    let cargo = std::env::var_os("XSTUN_BPF_CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let (version, llvm) = compiler_version(&rustc)
        .with_context(|| format!("XSTUN_BPF_RUSTC={} is no Rust compiler that runs", rustc.display()))?;
    Ok(Some(BpfCompiler { source: CompilerSource::Override { rustc, cargo }, version, llvm }))
}

/// Version and LLVM major of a compiler.
pub(super) fn compiler_version(rustc: &Path) -> Option<(String, u32)> {
    let printed = ask(Command::new(rustc).arg("-vV").env_remove("LD_LIBRARY_PATH"))?;
    let field = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name));
    Some((field("release: ")?.to_owned(), leading_number(field("LLVM version: ")?)?))
}

/// The toolchains that rustup has.
pub(super) fn toolchains() -> Vec<RustToolchain> {
    let listed = ask(Command::new("rustup").args(["toolchain", "list", "-v"])).unwrap_or_default();
    listed.lines().filter_map(toolchain).collect()
}

/// From a line like `stable-x86_64-unknown-linux-gnu (active, default) /home/me/.rustup/toolchains/...`.
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

/// Whether the toolchain in use has rustfmt and clippy. Asks for the files: rustup puts both names on
/// the path even where the components are missing.
pub(super) fn lint_components() -> (bool, bool) {
    let Some(sysroot) = ask(Command::new("rustc").args(["--print", "sysroot"])) else {
        return (false, false);
    };
    let bin = Path::new(sysroot.trim()).join("bin");
    (bin.join("rustfmt").exists(), bin.join("cargo-clippy").exists())
}

/// Majors of LLVM whose development files are installed, each with its prefix.
pub(super) fn llvm_prefixes() -> BTreeMap<u32, PathBuf> {
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

/// The LLVM major that the pinned bpf-linker was built for, from cargo's record of what it installed.
pub(super) fn linker(workspace: &Workspace) -> Option<u32> {
    workspace.tools().join("bin/bpf-linker").metadata().ok()?;
    let record = std::fs::read(workspace.tools().join(".crates2.json")).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    let pinned = format!("bpf-linker {LINKER_VERSION} ");
    let (_, install) = record["installs"].as_object()?.iter().find(|(name, _)| name.starts_with(&pinned))?;
    let mut features = install["features"].as_array()?.iter().filter_map(Value::as_str);
    features.find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())
}

/// The number at the start of a version.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::leading_number;

    #[test]
    fn a_version_begins_with_its_major() {
        assert_eq!(leading_number("22.1.8"), Some(22));
        assert_eq!(leading_number("next"), None);
    }
}
