//! Checks the dependencies between the project's packages: from the programs down to the core.

use super::Finding;
use crate::workspace::Workspace;
use anyhow::Result;
use serde_json::Value;
use std::path::Path;

/// Manifests of the workspaces that the repository holds.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "fuzz/Cargo.toml", "bench/baselines/Cargo.toml"];

/// Packages of the project that a package may depend on.
pub(super) struct PackageRule {
    pub(super) package: &'static str,
    pub(super) may: &'static [&'static str],
    /// For its tests, benches and examples.
    pub(super) tests: &'static [&'static str],
}

pub(super) const RULES: &[PackageRule] = &[
    PackageRule { package: "xstun-core", may: &[], tests: &["xstun-testkit"] },
    PackageRule { package: "xstun-testkit", may: &["xstun-core"], tests: &[] },
    PackageRule { package: "xstun-ebpf", may: &["xstun-core"], tests: &[] },
    PackageRule { package: "xstun", may: &["xstun-core", "xstun-ebpf"], tests: &["xstun-testkit"] },
    PackageRule { package: "xstun-bench-ebpf", may: &["xstun-ebpf"], tests: &[] },
    PackageRule {
        package: "xstun-bench",
        may: &["xstun", "xstun-bench-ebpf", "xstun-core", "xstun-ebpf"],
        tests: &[],
    },
    PackageRule { package: "xstun-fuzz", may: &["xstun-core", "xstun-testkit"], tests: &[] },
    PackageRule { package: "xstun-baselines", may: &[], tests: &[] },
    PackageRule { package: "xtask", may: &[], tests: &[] },
];

/// Reads the manifests and compares them with the rules.
///
/// # Errors
/// Cargo cannot read a manifest.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut packages = Vec::new();
    for manifest in MANIFESTS {
        let metadata = workspace.metadata(manifest)?;
        packages.extend(metadata["packages"].as_array().into_iter().flatten().cloned());
    }
    Ok(judge(&workspace.root, &packages, RULES))
}

fn judge(root: &Path, packages: &[Value], rules: &[PackageRule]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let manifest = Path::new(text(&package["manifest_path"]));
        let file = manifest.strip_prefix(root).unwrap_or(manifest).to_string_lossy().into_owned();
        let mut found = |text| findings.push(Finding { file: file.clone(), line: 1, text });
        let Some(rule) = rules.iter().find(|rule| rule.package == name) else {
            found(format!("package `{name}` has no rule; add one to xtask/src/tidy/packages.rs"));
            continue;
        };
        let used: Vec<_> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| !dependency["path"].is_null())
            .map(|dependency| (text(&dependency["name"]), dependency["kind"] == "dev"))
            .collect();
        for &(used, for_tests) in &used {
            let is_allowed = rule.may.contains(&used) || (for_tests && rule.tests.contains(&used));
            if !is_allowed {
                found(format!(
                    "`{name}` depends on `{used}`, which no rule allows; move what both need into a package \
                     below, or change the rules in xtask/src/tidy/packages.rs"
                ));
            }
        }
        let uses =
            |allowed: &str, tests: bool| used.iter().any(|&(used, kind)| used == allowed && kind == tests);
        let unused = rule.may.iter().filter(|may| !uses(may, false));
        for unused in unused.chain(rule.tests.iter().filter(|may| !uses(may, true))) {
            found(format!(
                "`{name}` may depend on `{unused}` and does not; remove that from its rule in \
                 xtask/src/tidy/packages.rs"
            ));
        }
    }
    findings
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{PackageRule, judge};
    use serde_json::{Value, json};
    use std::path::Path;

    const RULES: &[PackageRule] = &[
        PackageRule { package: "core", may: &[], tests: &["kit"] },
        PackageRule { package: "program", may: &["core"], tests: &[] },
    ];

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let foreign = json!({"name": "libc", "kind": null, "path": null});
        let own = dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind, "path": "/r/x"}));
        let all: Vec<_> = own.chain([foreign]).collect();
        json!({"name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "dependencies": all})
    }

    fn found(packages: &[Value]) -> Vec<String> {
        judge(Path::new("/r"), packages, RULES).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn packages_depend_only_downward() {
        let core = package("core", &[("kit", Some("dev"))]);
        assert_eq!(found(&[core, package("program", &[("core", None), ("core", Some("dev"))])]), [""; 0]);
        let up = found(&[package("core", &[("kit", Some("dev")), ("program", None)])]);
        assert!(
            up.len() == 1 && up[0].starts_with("core/Cargo.toml:1: `core` depends on `program`"),
            "{up:?}"
        );
        assert_eq!(found(&[package("core", &[("kit", None)])]).len(), 2);
    }

    #[test]
    fn a_permission_without_use_and_a_package_without_rule_are_found() {
        assert!(found(&[package("program", &[])])[0].contains("may depend on `core` and does not"));
        assert!(found(&[package("gadget", &[])])[0].contains("has no rule"));
    }
}
