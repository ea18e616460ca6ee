//! What neither rustfmt nor clippy can know: the house rules of this workspace.

mod arrows;
mod lines;
mod source;
mod unsafety;

use anyhow::{Context as _, Result, bail};
use source::Source;
use std::fmt;
use std::fs;
use std::path::Path;

/// Directories with sources, below the workspace's root.
const ROOTS: [&str; 5] = ["xdp-ebpf", "userspace", "xtask", "bench", "fuzz"];

/// One break of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// Counted from 1.
    line: usize,
    /// What is wrong and what to do about it.
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Checks every Rust source below `root`.
///
/// # Errors
/// A rule is broken; every place is printed.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut sources = Vec::new();
    for directory in ROOTS {
        collect(root, &root.join(directory), &mut sources)?;
    }
    let mut findings: Vec<_> = sources.iter().flat_map(check).collect();
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} places to mend in {} files", findings.len(), sources.len());
    }
    println!("tidy: {} files in order", sources.len());
    Ok(())
}

fn check(source: &Source) -> Vec<Finding> {
    let mut findings = arrows::check(source);
    findings.extend(unsafety::check(source));
    findings.extend(lines::check(source));
    findings
}

fn collect(root: &Path, path: &Path, sources: &mut Vec<Source>) -> Result<()> {
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            sources.push(Source::new(&name, &text));
        }
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name != "target" && !name.to_string_lossy().starts_with('.') {
            collect(root, &entry.path(), sources)?;
        }
    }
    Ok(())
}
