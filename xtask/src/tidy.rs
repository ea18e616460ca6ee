//! The house rules that neither rustfmt nor clippy can know.

mod arrows;
mod circles;
mod functions;
mod items;
mod lines;
mod map;
mod names;
mod packages;
mod paths;
mod public;
mod source;
mod unsafety;

use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use source::SourceFile;
use std::fmt;
use std::fs;
use std::path::Path;

/// Directories with sources, below the workspace's root.
const ROOTS: [&str; 7] = ["core", "testkit", "xdp-ebpf", "userspace", "xtask", "bench", "fuzz"];

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

/// Checks every Rust source and every manifest of the project.
///
/// # Errors
/// A rule is broken; every place is printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = sources(&workspace.root)?;
    let mut findings: Vec<_> = sources.iter().flat_map(check_file).collect();
    findings.extend(arrows::check(&sources));
    findings.extend(circles::check(&sources));
    findings.extend(names::check(&sources));
    findings.extend(public::check(&sources));
    findings.extend(packages::check(workspace)?);
    findings.extend(map::check(&workspace.root, &sources)?);
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} places to mend; each line above says how", findings.len());
    }
    println!("tidy: {} files in order", sources.len());
    Ok(())
}

/// Writes the map of `docs/architecture.md` anew.
///
/// # Errors
/// A source or the document cannot be read, or the document cannot be written.
pub(crate) fn write_map(workspace: &Workspace) -> Result<()> {
    map::write(&workspace.root, &sources(&workspace.root)?)
}

fn check_file(source: &SourceFile) -> Vec<Finding> {
    let mut findings = lines::check(source);
    findings.extend(functions::check(source));
    findings.extend(unsafety::check(source));
    findings
}

/// Reads all sources.
///
/// # Errors
/// A file cannot be read.
fn sources(root: &Path) -> Result<Vec<SourceFile>> {
    let mut sources = Vec::new();
    for directory in ROOTS {
        collect(root, &root.join(directory), &mut sources)?;
    }
    let tests: Vec<_> = sources.iter().flat_map(SourceFile::test_modules).collect();
    for source in &mut sources {
        let is_below = |module: &String| {
            let rest = source.name.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if tests.iter().any(is_below) {
            source.mark_as_test();
        }
    }
    Ok(sources)
}

fn collect(root: &Path, path: &Path, sources: &mut Vec<SourceFile>) -> Result<()> {
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            sources.push(SourceFile::new(&name, &text));
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
