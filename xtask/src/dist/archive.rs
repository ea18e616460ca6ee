//! Builds the archive: a binary that needs no shared libraries, and the files that go with it.

use super::{VERSION, last_commit};
use crate::run::{exec, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `xstun` with glibc, libelf and zlib linked statically, and returns its path.
///
/// # Errors
/// The build fails, or the binary still needs a shared library.
pub(super) fn program(workspace: &Workspace) -> Result<PathBuf> {
    let triple = triple()?;
    let mut cargo = workspace.cargo();
    // With --target, RUSTFLAGS do not apply to build scripts, which must stay dynamic.
    cargo.args(["build", "--release", "--package", "xstun", "--target", &triple]);
    exec(cargo.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let program = workspace.target.join(&triple).join("release/xstun");
    let needed = libraries(&program)?;
    if !needed.is_empty() {
        bail!("{} is not static: it needs {}", program.display(), needed.join(", "));
    }
    Ok(program)
}

/// Returns the host's target triple.
pub(super) fn triple() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Returns the shared libraries that a program needs.
fn libraries(program: &Path) -> Result<Vec<String>> {
    Ok(parse_dynamic(&output(Command::new("readelf").arg("--dynamic").arg(program))?))
}

fn parse_dynamic(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter(|line| line.contains("(NEEDED)"));
    let names = lines.filter_map(|line| line.split_once('[')?.1.split_once(']'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Packs the archive, and returns the directory with its contents.
///
/// # Errors
/// A file is missing, or `strip` or `tar` fails.
pub(super) fn pack(workspace: &Workspace, directory: &Path, program: &Path) -> Result<PathBuf> {
    let name = format!("xstun-{VERSION}-{}-linux", std::env::consts::ARCH);
    let unpacked = directory.join(&name);
    let _ = fs::remove_dir_all(&unpacked);
    let (root, dist) = (&workspace.root, directory);
    for (from, to) in [
        (program.to_owned(), "bin/xstun"),
        (dist.join("pages"), "share"),
        (dist.join("THIRD-PARTY-LICENCES.txt"), "THIRD-PARTY-LICENCES.txt"),
        (dist.join("xstun.cdx.json"), "xstun.cdx.json"),
        (root.join("deploy/xstun.toml"), "etc/xstun.toml"),
        (root.join("deploy/xstun.service"), "etc/xstun.service"),
        (root.join("deploy/xstun@.service"), "etc/xstun@.service"),
        (root.join("deploy/Containerfile"), "Containerfile"),
        (root.join("README.md"), "README.md"),
        (root.join("deploy/grafana/xstun.json"), "share/grafana/xstun.json"),
        (root.join("docs/operations.md"), "docs/operations.md"),
        (root.join("docs/metrics.md"), "docs/metrics.md"),
        (root.join("docs/threat-model.md"), "docs/threat-model.md"),
        (root.join("deploy/kubernetes.yaml"), "kubernetes.yaml"),
        (root.join("LICENSE-MIT"), "LICENSE-MIT"),
        (root.join("LICENSE-APACHE"), "LICENSE-APACHE"),
    ] {
        copy(&from, &unpacked.join(to))?;
    }
    exec(Command::new("strip").arg(unpacked.join("bin/xstun")))?;
    let archive = directory.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--gzip").arg("--file").arg(&archive).arg("--directory").arg(directory);
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go+r-w"]);
    tar.arg(format!("--mtime=@{}", last_commit(workspace))).arg(&name);
    exec(&mut tar)?;
    println!("wrote {}", archive.display());
    Ok(unpacked)
}

/// Copies a file, or the files of a directory.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    if from.is_dir() {
        for entry in fs::read_dir(from).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    fs::copy(from, to).map(drop).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::parse_dynamic;

    #[test]
    fn the_libraries_that_a_program_needs_are_read() {
        let printed = "\
Dynamic section at offset 0x17ac1c8 contains 31 entries:
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libelf.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000c (INIT)               0x5a000
";
        assert_eq!(parse_dynamic(printed), ["libelf.so.1", "libc.so.6"]);
        assert!(parse_dynamic("\nThere is no dynamic section in this file.\n").is_empty());
    }
}
