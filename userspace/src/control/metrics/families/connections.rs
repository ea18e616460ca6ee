//! TCP and TLS.

use super::MetricDefinition;
use super::MetricKind::{Counter, Gauge};

pub(super) const FAMILIES: &[MetricDefinition] = &[
    MetricDefinition {
        name: "xstun_connections",
        kind: Gauge,
        labels: &["path"],
        help: "Open connections.",
        read: |status, samples| {
            for stream in &status.streams {
                samples.count(&[&stream.path], stream.open);
            }
        },
    },
    MetricDefinition {
        name: "xstun_connections_accepted_total",
        kind: Counter,
        labels: &["path"],
        help: "Connections accepted.",
        read: |status, samples| {
            for stream in &status.streams {
                samples.count(&[&stream.path], stream.accepted);
            }
        },
    },
    MetricDefinition {
        name: "xstun_connections_refused_total",
        kind: Counter,
        labels: &["path", "reason"],
        help: "Connections reset at once, by reason: the limit --max-connections (limit) or \
               --max-connections-per-source (source_limit) was reached, or no client can have their source \
               address or port (invalid_source).",
        read: |status, samples| {
            for stream in &status.streams {
                for (reason, count) in &stream.refused {
                    samples.count(&[&stream.path, reason], *count);
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_connections_ended_total",
        kind: Counter,
        labels: &["path", "ending"],
        help: "Connections by how they ended; each ends in exactly one way.",
        read: |status, samples| {
            for stream in &status.streams {
                for (ending, count) in &stream.endings {
                    samples.count(&[&stream.path, ending], *count);
                }
            }
        },
    },
    MetricDefinition {
        name: "xstun_accept_failures_total",
        kind: Counter,
        labels: &["path"],
        help: "Failures of accept(2).",
        read: |status, samples| {
            for stream in &status.streams {
                samples.count(&[&stream.path], stream.accept_failed);
            }
        },
    },
];
