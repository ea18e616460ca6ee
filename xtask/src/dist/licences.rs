//! Whose work is inside the binary, and under which terms: collected from the packages themselves.

use super::archive;
use crate::run::output;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What is linked into the binary: the crate, and its target where that is not this host.
const ROOTS: [(&str, Option<&str>); 2] = [("xstun", None), ("xstun-ebpf", Some("bpfel-unknown-none"))];
/// Packages of Debian whose libraries are in the archive's binary.
const LIBRARIES: [&str; 3] = ["libc6-dev", "libelf-dev", "zlib1g-dev"];
/// What files with terms are called, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
/// How deep below a package they are looked for: crates that hold C code have that code's own terms
/// further down.
const DEPTH: usize = 3;
const RULE: &str = "================================================================================";

/// One package that is linked in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// SPDX expression.
    licence: String,
    authors: String,
    repository: String,
    directory: PathBuf,
}

/// Writes `THIRD-PARTY-LICENCES.txt`.
///
/// # Errors
/// A package does not say its terms, or a file cannot be read or written.
pub(super) fn write(workspace: &Workspace, directory: &Path) -> Result<()> {
    let mut packages = BTreeSet::new();
    for (root, target) in ROOTS {
        let target = target.map_or_else(archive::triple, |target| Ok(target.to_owned()))?;
        let mut cargo = workspace.cargo();
        cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target]);
        let metadata =
            serde_json::from_str(&output(&mut cargo)?).context("`cargo metadata` printed no JSON")?;
        packages.extend(linked(&metadata, root)?);
    }
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &packages {
        for file in files(&package.directory, DEPTH)? {
            let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&text).trim().replace('\r', "");
            let place = file.strip_prefix(&package.directory).unwrap_or(&file);
            let of = format!("{} {} ({})", package.name, package.version, place.display());
            texts.entry(text).or_default().push(of);
        }
    }
    for library in LIBRARIES {
        let file = Path::new("/usr/share/doc").join(library).join("copyright");
        let text = fs::read_to_string(&file).with_context(|| {
            format!("cannot read {}, the terms of what the archive's binary links", file.display())
        })?;
        let of = format!("{library} of Debian, in the binary of the archive only");
        texts.entry(text.trim().to_owned()).or_default().push(of);
    }
    let file = directory.join("THIRD-PARTY-LICENCES.txt");
    fs::write(&file, render(&packages, &texts))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("made {} ({} packages, {} texts)", file.display(), packages.len(), texts.len());
    Ok(())
}

/// Every package but this project's own that `root` links: what is only built with, or only tested
/// with, is not in the binary.
fn linked(metadata: &Value, root: &str) -> Result<BTreeSet<Package>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Vec<Value>> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (text(&node["id"]), list(&node["deps"])))
        .collect();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let start = packages.iter().find(|(_, package)| package["name"] == root);
    let mut waiting = vec![start.with_context(|| format!("there is no package {root}"))?.0.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let links =
            |dependency: &&Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        waiting.extend(nodes.get(&id).into_iter().flatten().filter(links).map(|found| text(&found["pkg"])));
    }
    let foreign =
        seen.iter().filter_map(|id| packages.get(id)).filter(|package| !package["source"].is_null());
    foreign.map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let name = text(&value["name"]);
    let licence = text(&value["license"]);
    if licence.is_empty() && value["license_file"].is_null() {
        bail!("the package {name} does not say under which terms it is had");
    }
    let authors = value["authors"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let manifest = PathBuf::from(text(&value["manifest_path"]));
    Ok(Package {
        name,
        version: text(&value["version"]),
        licence,
        authors: authors.join(", "),
        repository: text(&value["repository"]),
        directory: manifest.parent().map(Path::to_owned).unwrap_or_default(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Files with terms in a directory and below it.
fn files(directory: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_dir() {
            if depth > 0 {
                found.extend(files(&path, depth - 1)?);
            }
        } else if has_terms(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn has_terms(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
    let source = [".RS", ".C", ".H", ".PY", ".SH"].iter().any(|end| name.ends_with(end));
    // The Linux kernel's custom: a directory LICENSES with a file for each licence.
    let in_directory = path.parent().and_then(Path::file_name).is_some_and(|parent| parent == "LICENSES");
    !source && (in_directory || NAMES.iter().any(|known| name.starts_with(known)))
}

fn render(packages: &BTreeSet<Package>, texts: &BTreeMap<String, Vec<String>>) -> String {
    let mut page = String::from(
        "xstun is had under the terms of MIT or of Apache-2.0, at your choice (LICENSE-MIT, LICENSE-APACHE).\n\
         Its binary holds the work of others, listed here with their terms; the texts follow. Where a\n\
         choice is offered, xstun takes MIT, else Apache-2.0, else the permissive one that is there.\n\n",
    );
    for Package { name, version, licence, authors, repository, .. } in packages {
        let licence = if licence.is_empty() { "see its text below" } else { licence };
        page.push_str(&format!("{name} {version}: {licence}\n"));
        for line in [authors, repository].into_iter().filter(|line| !line.is_empty()) {
            page.push_str(&format!("    {line}\n"));
        }
    }
    for (text, of) in texts {
        page.push_str(&format!("\n{RULE}\n{}\n{RULE}\n\n{text}\n", of.join("\n")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::{has_terms, linked};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn what_is_linked_is_told_from_what_is_only_built_or_tested_with() {
        let package = |name: &str, source: bool| {
            json!({
                "id": name, "name": name, "version": "1.0.0", "license": "MIT", "license_file": null,
                "authors": [], "manifest_path": format!("/registry/{name}/Cargo.toml"),
                "source": if source { json!("registry") } else { json!(null) },
            })
        };
        let needs = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("xstun", false), package("core", false), package("linked", true),
                package("below", true), package("builds", true), package("tests", true),
            ],
            "resolve": {"nodes": [
                {"id": "xstun", "deps": [
                    needs("core", None), needs("builds", Some("build")), needs("tests", Some("dev")),
                ]},
                {"id": "core", "deps": [needs("linked", None)]},
                {"id": "linked", "deps": [needs("below", None)]},
            ]},
        });
        let found: Vec<_> = linked(&metadata, "xstun").unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(found, ["below", "linked"]);
        assert!(linked(&metadata, "nothing").is_err());
    }

    #[test]
    fn a_package_without_terms_is_refused() {
        let metadata = json!({"packages": [{"id": "a", "name": "a", "source": "registry"}]});
        let error = linked(&metadata, "a").unwrap_err();
        assert!(error.to_string().contains("package a "), "{error}");
    }

    #[test]
    fn files_with_terms_are_known_by_their_names() {
        for name in ["LICENSE-MIT", "license", "COPYING.LIB", "LICENSES/BSD-2-Clause", "NOTICE.txt"] {
            assert!(has_terms(Path::new(name)), "{name}");
        }
        for name in ["src/license.rs", "README.md", "licenses/list.c", "Cargo.toml"] {
            assert!(!has_terms(Path::new(name)), "{name}");
        }
    }
}
