use super::super::check::Verdict::{self, Info, Ok, Problem, Warning};
use super::super::procfs::Process;
use super::Host;

/// A host that has all.
pub(in super::super) fn good() -> Host {
    Host {
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

fn verdict(host: &Host, name: &str) -> (Verdict, String) {
    let check = host.judge().into_iter().find(|check| check.check == name).unwrap();
    // What is bad has a remedy; what is good needs none.
    assert_eq!(check.fix.is_some(), check.verdict >= Warning, "{check:?}");
    (check.verdict, check.found)
}

#[test]
fn a_good_host_has_nothing_to_mend() {
    assert!(good().judge().iter().all(|check| check.verdict <= Ok && check.fix.is_none()));
    assert!(good().missing_capabilities().is_empty());
}

#[test]
fn an_old_kernel_is_a_warning_with_what_it_lacks() {
    let old = Host { release: "5.10.0".into(), kernel: (5, 10), ..good() };
    let (worst, found) = verdict(&old, "kernel");
    assert_eq!(worst, Warning);
    assert!(found.contains("jumbo MTUs (5.18): no"), "{found}");
    assert_eq!(verdict(&Host { kernel: (5, 15), ..good() }, "kernel").0, Ok);
}

#[test]
fn capabilities_are_told_by_name_and_purpose() {
    let without = |bits: &[u32]| Host {
        capabilities: bits.iter().fold(u64::MAX, |all, bit| all & !(1 << bit)),
        ..good()
    };
    let (worst, found) = verdict(&without(&[13]), "capabilities");
    assert_eq!(worst, Problem);
    assert!(found.contains("CAP_NET_RAW (open AF_XDP sockets)"), "{found}");
    assert_eq!(without(&[12, 13]).missing_capabilities(), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    assert_eq!(verdict(&without(&[38, 39]), "capabilities").0, Ok, "CAP_SYS_ADMIN stands for them");
    assert_eq!(without(&[21, 39]).missing_capabilities(), ["CAP_BPF"]);
    assert_eq!(verdict(&without(&[14]), "capabilities").0, Warning);
}

#[test]
fn the_memlock_limit_counts_only_without_its_capability() {
    let limited = |limit| Host { memlock: Some(limit), capabilities: !(1 << 14), ..good() };
    assert_eq!(verdict(&limited(64 << 10), "memlock").0, Warning);
    assert_eq!(verdict(&limited(64 << 20), "memlock"), (Info, "64 MiB: room for 7 queues at most".into()));
    assert_eq!(verdict(&Host { memlock: Some(64 << 10), ..good() }, "memlock").0, Ok);
    assert_eq!(verdict(&Host { memlock: None, ..good() }, "memlock").0, Ok);
}

#[test]
fn the_jit_is_judged_only_if_seen() {
    assert_eq!(verdict(&Host { jit: Some(0), ..good() }, "BPF JIT").0, Warning);
    assert_eq!(verdict(&Host { jit: None, ..good() }, "BPF JIT").0, Info);
}

#[test]
fn another_server_on_the_port_is_named() {
    let taken = |process: Option<&str>| Host {
        listeners: vec![(
            "0.0.0.0:3478".parse().unwrap(),
            process.map(|name| Process { pid: 7, name: name.into() }),
        )],
        ..good()
    };
    let (worst, found) = verdict(&taken(Some("turnserver")), "port");
    assert_eq!(worst, Problem);
    assert!(found.contains("0.0.0.0:3478 by turnserver (pid 7)"), "{found}");
    assert_eq!(verdict(&taken(None), "port").0, Problem);
    assert_eq!(verdict(&taken(Some("xstun")), "port").0, Warning);
}

#[test]
fn a_build_without_the_program_says_how_to_get_one() {
    assert!(verdict(&Host { ebpf_object: false, ..good() }, "XDP program").0 >= Warning);
}
