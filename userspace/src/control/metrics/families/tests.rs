mod dashboard;

use super::{MetricDefinition, MetricKind, all, exposition};
use crate::datapath::socket::stream::CloseReason;
use crate::stats::{FrameLevels, KernelStats, WorkerStats};
use crate::status::{
    InterfaceStatus, KernelAnswersStatus, LadderRung, MessageCounts, ServerStatus, TransportStatus,
    WorkerStatus,
};
use std::collections::{BTreeMap, BTreeSet};
use xstun_core::outcome::Outcome;
use xstun_ebpf::loss::DriverLoss;

fn zeros(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeMap<String, u64> {
    names.into_iter().map(|name| (name.into(), 0)).collect()
}

/// The status of a server with a sample for every metric.
fn status() -> ServerStatus {
    let counts = |answered| {
        let mut counts = MessageCounts {
            received: 9,
            special: zeros(WorkerStats::default().special().map(|(name, _)| name)),
            outcomes: zeros(Outcome::ALL.map(Outcome::name)),
            ..MessageCounts::default()
        };
        counts.outcomes.insert("answered".into(), answered);
        counts
    };
    let queue = WorkerStatus {
        path: "af-xdp".into(),
        interface: Some("eth0".into()),
        queue: Some(3),
        core: 1,
        ticking: true,
        ended: false,
        counts: counts(7),
        kernel: zeros(KernelStats::default().named().map(|(name, _)| name)),
        frames: zeros(FrameLevels::default().named().map(|(name, _)| name)),
    };
    let socket = WorkerStatus {
        path: "sockets".into(),
        core: 2,
        ticking: true,
        counts: counts(1 << 40),
        ..WorkerStatus::default()
    };
    let stream = TransportStatus {
        path: "tls".into(),
        counts: counts(1),
        refused: zeros(["limit", "source_limit", "invalid_source"]),
        endings: zeros(CloseReason::ALL.map(CloseReason::name)),
        ..TransportStatus::default()
    };
    let interface = InterfaceStatus {
        name: "eth0".into(),
        queues: LadderRung::ALL.map(|rung| (rung.name().to_owned(), 1)).into(),
        verdicts: zeros(xstun_core::classify::Verdict::ALL.map(|verdict| verdict.name())),
        driver_errors: Some(0),
        lost: zeros(DriverLoss::ALL.map(DriverLoss::name)),
        attached: Some(true),
        delivering: Some(false),
        kernel_answers: Some(KernelAnswersStatus {
            serving: true,
            reason: "copy mode".into(),
            counts: counts(5),
        }),
        ..InterfaceStatus::default()
    };
    ServerStatus {
        version: "1.2.3".into(),
        interfaces: vec![interface],
        workers: vec![queue, socket],
        streams: vec![stream],
        ..ServerStatus::default()
    }
}

#[test]
fn each_metric_is_exposed_with_its_samples() {
    let text = exposition(&status()).unwrap();
    for family in all() {
        assert!(text.contains(&format!("# HELP {} ", family.name)), "{}", family.name);
        assert!(text.lines().any(|line| line.starts_with(family.name)), "{} has no sample", family.name);
    }
    for line in [
        r#"xstun_outcomes_total{path="af-xdp",interface="eth0",queue="3",outcome="answered"} 7"#,
        r#"xstun_outcomes_total{path="sockets",core="2",outcome="answered"} 1099511627776"#,
        r#"xstun_outcomes_total{path="xdp",interface="eth0",outcome="answered"} 5"#,
        r#"xstun_received_total{path="xdp",interface="eth0"} 9"#,
        r#"xstun_kernel_answers{interface="eth0"} 1"#,
        r#"xstun_outcomes_total{path="tls",outcome="not_stun"} 0"#,
        r#"xstun_received_total{path="sockets",core="2"} 9"#,
        r#"xstun_umem_frames{interface="eth0",queue="3",place="free"} 0"#,
        r#"xstun_xdp_verdicts_total{interface="eth0",verdict="redirect"} 0"#,
        r#"xstun_xdp_lost_total{interface="eth0",kind="transmit_bulk"} 0"#,
        r#"xstun_interface_queues{interface="eth0",rung="native-zero-copy"} 1"#,
        r#"xstun_xdp_delivering{interface="eth0"} 0"#,
        r#"xstun_build_info{version="1.2.3",af_xdp="false"} 1"#,
    ] {
        assert!(text.lines().any(|exposed| exposed == line), "{line} is not in:\n{text}");
    }
}

/// Every counter of the kernel that is read has a metric; the names are compared only at run time.
#[test]
fn every_count_of_the_kernel_has_a_metric() {
    let text = exposition(&status()).unwrap();
    let exposed =
        text.lines().filter(|line| line.starts_with("xstun_xdp_") && line.contains("queue=")).count();
    assert_eq!(exposed, KernelStats::default().named().len());
}

/// Every special case that is counted has a metric; the names are compared only at run time.
#[test]
fn every_special_count_has_a_metric() {
    let text = exposition(&status()).unwrap();
    for (name, _) in WorkerStats::default().special() {
        assert!(text.contains(&format!("\nxstun_{name}_total{{")), "{name} has no metric:\n{text}");
    }
}

#[test]
fn names_follow_the_conventions_and_are_unique() {
    let mut names = BTreeSet::new();
    for MetricDefinition { name, kind, help, labels, .. } in all() {
        assert!(names.insert(name), "{name} is there twice");
        assert_eq!(*kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        assert!(name.starts_with("xstun_") || name.starts_with("process_"), "{name}");
        assert!(help.ends_with('.') && !help.contains("  "), "{name}: {help}");
        assert!(labels.iter().all(|label| label.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }
}

#[test]
fn a_metric_without_samples_is_left_out() {
    let text = exposition(&ServerStatus::default()).unwrap();
    assert!(!text.contains("xstun_connections") && !text.contains("xstun_xdp"), "{text}");
    assert!(text.contains("\nprocess_open_fds 0\n"), "{text}");
}

/// The table of `docs/metrics.md` is made of these metrics.
#[test]
fn the_document_lists_every_metric() {
    let mut table = String::from("| name | kind | labels | meaning |\n|---|---|---|---|\n");
    for MetricDefinition { name, kind, help, labels, .. } in all() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = if *kind == MetricKind::Counter { "counter" } else { "gauge" };
        table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    let document = include_str!("../../../../../docs/metrics.md");
    assert!(
        document.contains(&table),
        "docs/metrics.md is not what the code says; its table has to be:\n{table}"
    );
}
