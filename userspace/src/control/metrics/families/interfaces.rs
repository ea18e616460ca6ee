//! Interfaces, and the ladder of paths that serve them.

use super::MetricDefinition;
use super::MetricKind::{Counter, Gauge};

pub(super) const FAMILIES: &[MetricDefinition] = &[
    MetricDefinition {
        name: "xstun_xdp_verdicts_total",
        kind: Counter,
        labels: &["interface", "verdict"],
        help: "Frames by verdict of the XDP program: answered by itself, redirected to the worker, or the reason for \
               passing them to the kernel's stack.",
        read: |status, samples| {
            for interface in &status.interfaces {
                for (verdict, count) in &interface.verdicts {
                    samples.count(&[&interface.name, verdict], *count);
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_xdp_lost_total",
        kind: Counter,
        labels: &["interface", "kind"],
        help: "Frames that the driver lost after a verdict of the XDP program, by kind: replies that it could not \
               send (transmit, transmit_bulk), and redirected frames that did not reach their AF_XDP socket \
               (redirect_...). Absent where the kernel does not let xstun count them.",
        read: |status, samples| {
            for interface in &status.interfaces {
                for (kind, count) in &interface.lost {
                    samples.count(&[&interface.name, kind], *count);
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_driver_transmit_errors_total",
        kind: Counter,
        labels: &["interface"],
        help: "Replies of the XDP program that the driver failed to send, by its own counters (ethtool -S); they may \
               be among those of xstun_xdp_lost_total. Absent where it does not count them.",
        read: |status, samples| {
            for interface in &status.interfaces {
                if let Some(errors) = interface.driver_errors {
                    samples.count(&[&interface.name], errors);
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_interface_queues",
        kind: Gauge,
        labels: &["interface", "rung"],
        help: "Receive queues by the rung of the ladder that serves them: native-zero-copy, native-copy, generic, \
               sockets.",
        read: |status, samples| {
            for interface in &status.interfaces {
                for (rung, count) in &interface.queues {
                    samples.count(&[&interface.name, rung], (*count).into());
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_kernel_answers",
        kind: Gauge,
        labels: &["interface"],
        help: "1 while the XDP program answers plain requests by itself, 0 while it leaves all of them to the workers; \
               /status.json says why.",
        read: |status, samples| {
            for interface in &status.interfaces {
                if let Some(answers) = &interface.kernel_answers {
                    samples.count(&[&interface.name], answers.serving.into());
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_step_downs_total",
        kind: Counter,
        labels: &["interface"],
        help: "Rungs of the ladder that were not available at the start, or failed later; the log and /status.json \
               say why.",
        read: |status, samples| {
            for interface in &status.interfaces {
                samples.count(&[&interface.name], interface.step_downs);
            }
        },
    },
    MetricDefinition {
        name: "xstun_xdp_attached",
        kind: Gauge,
        labels: &["interface"],
        help: "1 while the kernel shows xstun's XDP program on the interface, 0 when it does not.",
        read: |status, samples| {
            for interface in &status.interfaces {
                if let Some(attached) = interface.attached {
                    samples.count(&[&interface.name], attached.into());
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_xdp_delivering",
        kind: Gauge,
        labels: &["interface"],
        help: "1 unless frames that the XDP program redirects do not arrive.",
        read: |status, samples| {
            for interface in &status.interfaces {
                if let Some(delivering) = interface.delivering {
                    samples.count(&[&interface.name], delivering.into());
                }
            }
        },
    },
];
