//! docs/architecture.md has a reason for each crate that the workspace depends on.

use crate::markdown::{rows, section};
use crate::{read, root};
use std::collections::BTreeSet;

/// The workspaces that stand apart, besides the members of the main one.
const APART: [&str; 2] = ["bench/baselines", "fuzz"];

#[test]
fn every_dependency_has_its_reason() {
    let page = read("docs/architecture.md");
    let explained: BTreeSet<String> = rows(section(&page, "## Dependencies"), "crate")
        .iter()
        .flat_map(|row| row[0].split([' ', ',', '(', ')']).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let packages = members.iter().map(|member| member.as_str().unwrap()).chain(APART);
    for package in packages {
        assert!(root().join(package).is_dir(), "{package}");
        let manifest: toml::Table = read(&format!("{package}/Cargo.toml")).parse().unwrap();
        for name in dependencies(&manifest) {
            let is_ours = name.starts_with("xstun");
            assert!(
                is_ours || explained.contains(&name),
                "{package}: docs/architecture.md does not explain {name}"
            );
        }
    }
}

/// The names in every table of dependencies, those of `[target]` too.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in table {
        match value.as_table() {
            Some(found) if key.ends_with("dependencies") => names.extend(found.keys().cloned()),
            Some(table) if key != "package" && key != "workspace" => names.extend(dependencies(table)),
            _ => {}
        }
    }
    names
}
