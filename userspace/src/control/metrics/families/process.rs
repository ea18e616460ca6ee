//! The program and its process, under the names that every exporter gives them.

use super::Family;
use super::Kind::{Counter, Gauge};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "xstun_build_info",
        kind: Gauge,
        labels: &["version", "af_xdp"],
        help: "Always 1; the labels tell the version, and whether it was built with AF_XDP.",
        read: |status, samples| {
            samples.count(&[&status.version, &status.af_xdp_built.to_string()], 1);
        },
    },
    Family {
        name: "xstun_draining",
        kind: Gauge,
        labels: &[],
        help: "1 while the server drains: it answers, /readyz fails, and it will end soon.",
        read: |status, samples| samples.count(&[], (status.state == "draining").into()),
    },
    Family {
        name: "process_cpu_seconds_total",
        kind: Counter,
        labels: &[],
        help: "CPU time in user and kernel mode, in seconds.",
        read: |status, samples| samples.add(&[], status.process.cpu_seconds),
    },
    Family {
        name: "process_resident_memory_bytes",
        kind: Gauge,
        labels: &[],
        help: "Resident memory, in bytes.",
        read: |status, samples| samples.count(&[], status.process.resident_bytes),
    },
    Family {
        name: "process_virtual_memory_bytes",
        kind: Gauge,
        labels: &[],
        help: "Address space, in bytes.",
        read: |status, samples| samples.count(&[], status.process.virtual_bytes),
    },
    Family {
        name: "process_open_fds",
        kind: Gauge,
        labels: &[],
        help: "Open file descriptors.",
        read: |status, samples| samples.count(&[], status.process.open_fds),
    },
    Family {
        name: "process_max_fds",
        kind: Gauge,
        labels: &[],
        help: "Most file descriptors that may be open.",
        read: |status, samples| samples.count(&[], status.process.max_fds),
    },
    Family {
        name: "process_threads",
        kind: Gauge,
        labels: &[],
        help: "Threads of the process.",
        read: |status, samples| samples.count(&[], status.process.threads),
    },
    Family {
        name: "process_start_time_seconds",
        kind: Gauge,
        labels: &[],
        help: "When the process started, in seconds since 1970.",
        read: |status, samples| samples.add(&[], status.process.start_time),
    },
];
