//! What dpkg has installed, and what apt could install.

use super::packages::{CURL, Needs, llvm_packages, packages};
use super::toolchains::{compiler_version, leading_number};
use crate::bpf::{BpfCompiler, CompilerSource, DEBIAN_COMPILER, LINKER_LLVM};
use crate::run::{ask, output};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Every package that a plan could name.
fn known() -> impl Iterator<Item = String> {
    let llvm = LINKER_LLVM.flat_map(llvm_packages);
    let others = DEBIAN_COMPILER.into_iter().chain(CURL).chain(["rustc", "rustup"]).map(str::to_owned);
    packages(Needs::ALL).map(|package| package.apt.to_owned()).chain(llvm).chain(others)
}

/// Those of the known packages that are installed.
///
/// # Errors
/// There is no dpkg-query.
pub(super) fn installed() -> Result<BTreeSet<String>> {
    // dpkg-query fails if it does not know one of the names, and prints the others all the same.
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${binary:Package}\t${db:Status-Status}\n"]).args(known());
    let printed = query.output().context("cannot run dpkg-query")?.stdout;
    let installed = String::from_utf8_lossy(&printed)
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, status)| *status == "installed")
        .map(|(name, _)| name.split(':').next().unwrap_or(name).to_owned())
        .collect();
    Ok(installed)
}

/// Those of the known packages that are not installed and that apt could install. Takes most of a
/// second.
///
/// # Errors
/// apt-cache fails.
pub(super) fn candidates(installed: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let absent: Vec<_> = known().filter(|package| !installed.contains(package)).collect();
    let mut policy = Command::new("apt-cache");
    let printed = output(policy.arg("policy").args(absent).env("LC_ALL", "C"))?;
    Ok(parse_policy(&printed))
}

/// The packages with a candidate in what `apt-cache policy` printed.
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

/// Debian's compiler, if it is installed.
pub(super) fn installed_compiler(installed: &BTreeSet<String>) -> Option<BpfCompiler> {
    if !installed.contains("rustc-web") {
        return None;
    }
    let (version, llvm) = compiler_version(Path::new("/usr/bin/rustc"))?;
    Some(BpfCompiler { source: CompilerSource::Distribution, version, llvm })
}

/// The compiler that apt could install on Debian. Its LLVM is the one that the package of its library
/// depends on.
pub(super) fn candidate_compiler(installed: &BTreeSet<String>) -> Option<BpfCompiler> {
    // rustc-web conflicts with the distribution's other packages of the compiler.
    if ["rustc", "rustup"].iter().any(|name| installed.contains(*name)) {
        return None;
    }
    let shown = ask(Command::new("apt-cache").args(["show", "--no-all-versions", "rustc-web"]))?;
    let version = shown.lines().find_map(|line| line.strip_prefix("Version: "))?.split('+').next()?;
    let minor = version.rsplit_once('.')?.0;
    let depends = ask(Command::new("apt-cache").args(["depends", &format!("libstd-rust-web-{minor}")]))?;
    let llvm = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: libllvm"))?;
    let llvm = leading_number(llvm)?;
    Some(BpfCompiler { source: CompilerSource::Distribution, version: version.to_owned(), llvm })
}

#[cfg(test)]
mod tests {
    use super::parse_policy;

    #[test]
    fn apt_says_what_it_can_install() {
        let printed = "coturn:\n  Installed: (none)\n  Candidate: 4.6.1-1\n  Version table:\n     4.6.1-1 500\n\
                       llvm-22-dev:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(parse_policy(printed).into_iter().collect::<Vec<_>>(), ["coturn"]);
    }
}
