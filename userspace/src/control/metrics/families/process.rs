//! The program and its process; `process_*` are the names that all exporters use.

use super::MetricDefinition;
use super::MetricKind::{Counter, Gauge};

pub(super) const FAMILIES: &[MetricDefinition] = &[
    MetricDefinition {
        name: "xstun_build_info",
        kind: Gauge,
        labels: &["version", "af_xdp"],
        help: "Always 1; the labels give the version, and whether it was built with AF_XDP.",
        read: |status, samples| {
            samples.count(&[&status.version, &status.af_xdp_built.to_string()], 1);
        },
    },
    MetricDefinition {
        name: "xstun_draining",
        kind: Gauge,
        labels: &[],
        help: "1 while the server drains: it answers, /readyz fails, and it exits soon.",
        read: |status, samples| samples.count(&[], (status.state == "draining").into()),
    },
    MetricDefinition {
        name: "process_cpu_seconds_total",
        kind: Counter,
        labels: &[],
        help: "CPU time in user and kernel mode, in seconds.",
        read: |status, samples| samples.add(&[], status.process.cpu_seconds),
    },
    MetricDefinition {
        name: "process_resident_memory_bytes",
        kind: Gauge,
        labels: &[],
        help: "Resident memory, in bytes.",
        read: |status, samples| samples.count(&[], status.process.resident_bytes),
    },
    MetricDefinition {
        name: "process_virtual_memory_bytes",
        kind: Gauge,
        labels: &[],
        help: "Address space, in bytes.",
        read: |status, samples| samples.count(&[], status.process.virtual_bytes),
    },
    MetricDefinition {
        name: "process_open_fds",
        kind: Gauge,
        labels: &[],
        help: "Open file descriptors.",
        read: |status, samples| samples.count(&[], status.process.open_fds),
    },
    MetricDefinition {
        name: "process_max_fds",
        kind: Gauge,
        labels: &[],
        help: "Limit on open file descriptors.",
        read: |status, samples| samples.count(&[], status.process.max_fds),
    },
    MetricDefinition {
        name: "process_threads",
        kind: Gauge,
        labels: &[],
        help: "Threads of the process.",
        read: |status, samples| samples.count(&[], status.process.threads),
    },
    MetricDefinition {
        name: "process_start_time_seconds",
        kind: Gauge,
        labels: &[],
        help: "When the process started, in seconds since 1970.",
        read: |status, samples| samples.add(&[], status.process.start_time),
    },
];
