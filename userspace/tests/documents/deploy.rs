//! The files in `deploy/` agree with each other and with the manual.

use crate::read;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The template differs from the unit only in that it takes over.
#[test]
fn the_template_is_the_unit() {
    let [unit, template] = ["deploy/xstun.service", "deploy/xstun@.service"].map(read);
    let own = |line: &&str| !line.starts_with('#') && !line.starts_with("Description=");
    let unit: Vec<String> =
        unit.lines().filter(own).map(|line| line.replace("xstun.toml", "xstun.toml --take-over")).collect();
    let template: Vec<&str> = template.lines().filter(own).collect();
    // `config check` before a reload takes the file alone.
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
