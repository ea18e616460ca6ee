use super::super::check::Severity::{self, Info, Ok, Problem, Warning};
use super::super::procfs::RunningProcess;
use super::HostFacts;

/// A host without faults.
pub(in super::super) fn good() -> HostFacts {
    HostFacts {
        release: "6.18.3".into(),
        kernel: (6, 18),
        ebpf_object: true,
        capabilities: u64::MAX,
        btf: true,
        lockdown: Some("none".into()),
        unprivileged_bpf_disabled: Some(2),
        jit: Some(1),
        memlock: Some(8 << 20),
        open_files: Some(1024),
        cores: 2,
        listeners: vec![],
    }
}

fn checked(host: &HostFacts, name: &str) -> (Severity, String) {
    let check = host.check().into_iter().find(|check| check.check == name).unwrap();
    // Exactly the bad results have a fix.
    assert_eq!(check.fix.is_some(), check.severity >= Warning, "{check:?}");
    (check.severity, check.found)
}

#[test]
fn a_good_host_has_no_warnings() {
    assert!(good().check().iter().all(|check| check.severity <= Ok && check.fix.is_none()));
    assert!(good().missing_capabilities().is_empty());
}

#[test]
fn an_old_kernel_is_a_warning_with_the_missing_features() {
    let old = HostFacts { release: "5.10.0".into(), kernel: (5, 10), ..good() };
    let (worst, found) = checked(&old, "kernel");
    assert_eq!(worst, Warning);
    assert!(found.contains("jumbo MTUs (5.18): no"), "{found}");
    assert_eq!(checked(&HostFacts { kernel: (5, 15), ..good() }, "kernel").0, Ok);
}

#[test]
fn missing_capabilities_have_a_name_and_a_purpose() {
    let without = |bits: &[u32]| HostFacts {
        capabilities: bits.iter().fold(u64::MAX, |all, bit| all & !(1 << bit)),
        ..good()
    };
    let (worst, found) = checked(&without(&[13]), "capabilities");
    assert_eq!(worst, Problem);
    assert!(found.contains("CAP_NET_RAW (open AF_XDP sockets)"), "{found}");
    assert_eq!(without(&[12, 13]).missing_capabilities(), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    assert_eq!(checked(&without(&[38, 39]), "capabilities").0, Ok, "CAP_SYS_ADMIN includes them");
    assert_eq!(without(&[21, 39]).missing_capabilities(), ["CAP_BPF"]);
    assert_eq!(checked(&without(&[14]), "capabilities").0, Warning);
}

#[test]
fn the_memlock_limit_counts_only_without_cap_ipc_lock() {
    let limited = |limit| HostFacts { memlock: Some(limit), capabilities: !(1 << 14), ..good() };
    assert_eq!(checked(&limited(64 << 10), "memlock").0, Warning);
    assert_eq!(checked(&limited(64 << 20), "memlock"), (Info, "64 MiB: enough for 7 queues".into()));
    assert_eq!(checked(&HostFacts { memlock: Some(64 << 10), ..good() }, "memlock").0, Ok);
    assert_eq!(checked(&HostFacts { memlock: None, ..good() }, "memlock").0, Ok);
}

#[test]
fn an_unknown_jit_setting_is_no_warning() {
    assert_eq!(checked(&HostFacts { jit: Some(0), ..good() }, "BPF JIT").0, Warning);
    assert_eq!(checked(&HostFacts { jit: None, ..good() }, "BPF JIT").0, Info);
}

#[test]
fn another_server_on_the_port_is_named() {
    let taken = |process: Option<&str>| HostFacts {
        listeners: vec![(
            "0.0.0.0:3478".parse().unwrap(),
            process.map(|name| RunningProcess { pid: 7, name: name.into() }),
        )],
        ..good()
    };
    let (worst, found) = checked(&taken(Some("turnserver")), "port");
    assert_eq!(worst, Problem);
    assert!(found.contains("0.0.0.0:3478 by turnserver (pid 7)"), "{found}");
    assert_eq!(checked(&taken(None), "port").0, Problem);
    assert_eq!(checked(&taken(Some("xstun")), "port").0, Warning);
}

#[test]
fn a_build_without_the_program_is_a_warning_or_a_problem() {
    assert!(checked(&HostFacts { ebpf_object: false, ..good() }, "XDP program").0 >= Warning);
}
