//! Collects the licences of everything that is linked into the binary.

use super::archive;
use crate::run::output;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that are built, each with its target if that is not this host.
const ROOTS: [(&str, Option<&str>); 2] = [("xstun", None), ("xstun-ebpf", Some("bpfel-unknown-none"))];
/// Debian packages whose libraries are linked into the archive's binary.
const LIBRARIES: [&str; 3] = ["libc6-dev", "libelf-dev", "zlib1g-dev"];
/// Beginnings of the names of licence files, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
/// How many directories below a package to search: crates that include C code have its licence
/// further down.
const DEPTH: usize = 3;
const RULE: &str = "================================================================================";

/// A package that is linked into the binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinkedPackage {
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
/// A package names no licence, or a file cannot be read or written.
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
        for file in licence_files(&package.directory, DEPTH)? {
            let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&text).trim().replace('\r', "");
            let path = file.strip_prefix(&package.directory).unwrap_or(&file);
            let of = format!("{} {} ({})", package.name, package.version, path.display());
            texts.entry(text).or_default().push(of);
        }
    }
    for library in LIBRARIES {
        let file = Path::new("/usr/share/doc").join(library).join("copyright");
        let text = fs::read_to_string(&file).with_context(|| {
            format!("cannot read {}, the licence of a library that the archive links", file.display())
        })?;
        let of = format!("{library} of Debian, in the binary of the archive only");
        texts.entry(text.trim().to_owned()).or_default().push(of);
    }
    let file = directory.join("THIRD-PARTY-LICENCES.txt");
    fs::write(&file, render(&packages, &texts))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {} ({} packages, {} texts)", file.display(), packages.len(), texts.len());
    Ok(())
}

/// Returns the foreign packages that `root` links. Build dependencies and dev-dependencies are not in
/// the binary.
fn linked(metadata: &Value, root: &str) -> Result<BTreeSet<LinkedPackage>> {
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

fn package(value: &Value) -> Result<LinkedPackage> {
    let name = text(&value["name"]);
    let licence = text(&value["license"]);
    if licence.is_empty() && value["license_file"].is_null() {
        bail!("the package {name} names no licence");
    }
    let authors = value["authors"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let manifest = PathBuf::from(text(&value["manifest_path"]));
    Ok(LinkedPackage {
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

/// Returns the licence files in a directory and up to `depth` directories below it.
fn licence_files(directory: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_dir() {
            if depth > 0 {
                found.extend(licence_files(&path, depth - 1)?);
            }
        } else if is_licence(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
    let source = [".RS", ".C", ".H", ".PY", ".SH"].iter().any(|end| name.ends_with(end));
    // As in the Linux kernel: a directory LICENSES with a file for each licence.
    let in_directory = path.parent().and_then(Path::file_name).is_some_and(|parent| parent == "LICENSES");
    !source && (in_directory || NAMES.iter().any(|known| name.starts_with(known)))
}

fn render(packages: &BTreeSet<LinkedPackage>, texts: &BTreeMap<String, Vec<String>>) -> String {
    let mut page = String::from(
        "xstun is licensed under MIT or Apache-2.0, at your choice (LICENSE-MIT, LICENSE-APACHE). Its binary\n\
         includes the packages below; the texts of their licences follow. Of several licences offered,\n\
         xstun chooses MIT, else Apache-2.0, else a permissive one.\n\n",
    );
    for LinkedPackage { name, version, licence, authors, repository, .. } in packages {
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
    use super::{is_licence, linked};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn build_and_test_dependencies_are_not_linked() {
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
    fn a_package_without_a_licence_is_refused() {
        let metadata = json!({"packages": [{"id": "a", "name": "a", "source": "registry"}]});
        let error = linked(&metadata, "a").unwrap_err();
        assert!(error.to_string().contains("package a "), "{error}");
    }

    #[test]
    fn licence_files_are_known_by_their_names() {
        for name in ["LICENSE-MIT", "license", "COPYING.LIB", "LICENSES/BSD-2-Clause", "NOTICE.txt"] {
            assert!(is_licence(Path::new(name)), "{name}");
        }
        for name in ["src/license.rs", "README.md", "licenses/list.c", "Cargo.toml"] {
            assert!(!is_licence(Path::new(name)), "{name}");
        }
    }
}
