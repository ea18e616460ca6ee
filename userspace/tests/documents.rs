//! What the documents and the files in `deploy/` say is held against the program.
#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xstun::datapath::socket::stream::StreamStats;
use xstun::outcome::Outcome;
use xstun::stats::WorkerStats;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between a heading and the next of its rank or above.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let body = &page[start + heading.len() + 1..];
    let rank = heading.split(' ').next().unwrap().len();
    let ends = (1..=rank).filter_map(|rank| body.find(&format!("\n{} ", "#".repeat(rank))));
    &body[..ends.min().unwrap_or(body.len())]
}

#[test]
fn every_counter_is_explained_where_an_operator_looks() {
    let page = read("docs/operations.md");
    let explained = |heading: &str, names: &mut dyn Iterator<Item = &'static str>| {
        let text = section(&page, heading);
        for name in names {
            assert!(text.contains(&format!("`{name}`")), "'{heading}' does not explain `{name}`");
        }
    };
    explained(
        "### What the XDP program decided",
        &mut xstun_ebpf::Verdict::ALL.iter().map(|verdict| verdict.name()),
    );
    explained("### How datagrams ended", &mut Outcome::ALL.into_iter().map(Outcome::name));
    let outcomes: BTreeSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
    let worker = WorkerStats::default();
    let beside: Vec<_> =
        worker.named().map(|(name, _)| name).filter(|name| !outcomes.contains(name)).collect();
    explained("### What workers and kernel count", &mut beside.iter().copied());
    let known: BTreeSet<_> = worker.named().map(|(name, _)| name).collect();
    let streams = StreamStats::default();
    let streams: Vec<_> =
        streams.named().map(|(name, _)| name).filter(|name| !known.contains(name)).collect();
    explained("### Connections", &mut streams.iter().copied());
}

/// Every name in the last column of the threat model is a test, a fuzz target or a command.
#[test]
fn every_threat_is_held_by_something_that_exists() {
    let mut sources = String::new();
    for directory in ["userspace/src", "userspace/tests", "xdp-ebpf/src", "xtask/src", "fuzz/fuzz_targets"] {
        collect(&root().join(directory), &mut sources);
    }
    let page = read("docs/threat-model.md");
    let mut count = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat")) {
        let held = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<_> =
            held.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("cargo ")).collect();
        assert!(!names.is_empty() || held.contains("cargo "), "nothing holds: {row}");
        for name in names {
            let is_fuzz = root().join(format!("fuzz/fuzz_targets/{name}.rs")).exists();
            assert!(is_fuzz || sources.contains(&format!("fn {name}(")), "there is no test {name}");
            count += 1;
        }
    }
    assert!(count > 30, "the table was read");
}

fn collect(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// All that is true of the unit is true of its template, which is that unit and takes over.
#[test]
fn the_template_is_the_unit() {
    let [unit, template] = ["deploy/xstun.service", "deploy/xstun@.service"].map(read);
    let own = |line: &&str| !line.starts_with('#') && !line.starts_with("Description=");
    let unit: Vec<String> =
        unit.lines().filter(own).map(|line| line.replace("xstun.toml", "xstun.toml --take-over")).collect();
    let template: Vec<&str> = template.lines().filter(own).collect();
    // The file is checked before a reload as it ever is.
    let unit: Vec<String> = unit
        .into_iter()
        .map(|line| if line.starts_with("ExecReload=") { line.replace(" --take-over", "") } else { line })
        .collect();
    assert_eq!(unit, template);
}

#[test]
fn unit_manifest_and_manual_grant_the_same_capabilities() {
    let unit = read("deploy/xstun.service");
    let granted = |key: &str| -> BTreeSet<String> {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_owned()).collect()
    };
    let unit_grants = granted("AmbientCapabilities=");
    assert_eq!(unit_grants, granted("CapabilityBoundingSet="));
    let manual = read("docs/operations.md");
    let flags: BTreeSet<String> = manual
        .split("--cap-add ")
        .skip(1)
        .map(|rest| rest.split([' ', '\n', '`']).next().unwrap().to_owned())
        .collect();
    let mut with_memory = unit_grants;
    with_memory.insert("IPC_LOCK".to_owned());
    assert_eq!(flags, with_memory, "the flags of the manual");
    let manifest = read("deploy/kubernetes.yaml");
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("add: ")).unwrap();
    let added: BTreeSet<String> = serde_json::from_str(line).unwrap();
    assert_eq!(added, with_memory, "the manifest");
}

#[test]
fn the_manifests_configuration_is_a_sound_one() {
    let manifest = read("deploy/kubernetes.yaml");
    let block = manifest.split("xstun.toml: |\n").nth(1).unwrap();
    let text: Vec<_> = block.lines().take_while(|line| line.starts_with("    ")).map(str::trim).collect();
    assert!(text.len() > 1, "{text:?}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("xstun.toml");
    fs::write(&file, text.join("\n")).unwrap();
    let program = std::env::var_os("XSTUN_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_xstun").into());
    let checked = Command::new(program).args(["config", "check"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
