//! Datagrams and messages, by worker.

use super::MetricKind::{Counter, Gauge};
use super::{MetricDefinition, Samples};
use crate::status::{MessageCounts, ServerStatus, WorkerStatus, XDP_PATH};

/// Labels of a worker: the path, then the interface and receive queue of a worker over AF_XDP, or the core of one
/// over sockets. What an XDP program answers has the path and the interface.
const WORKER: &[&str] = &["path", "interface", "queue", "core"];
const WORKER_AND_OUTCOME: &[&str] = &["path", "interface", "queue", "core", "outcome"];
const QUEUE: &[&str] = &["interface", "queue"];

pub(super) const FAMILIES: &[MetricDefinition] = &[
    MetricDefinition {
        name: "xstun_outcomes_total",
        kind: Counter,
        labels: WORKER_AND_OUTCOME,
        help: "Datagrams and messages by outcome; each has exactly one.",
        read: |status, samples| {
            each_count(status, |labels, counts| {
                let [path, interface, queue, core] = labels;
                for (outcome, count) in &counts.outcomes {
                    samples.count(&[path, interface, queue, core, outcome], *count);
                }
            });
        },
    },
    MetricDefinition {
        name: "xstun_received_total",
        kind: Counter,
        labels: WORKER,
        help: "Datagrams, frames (af-xdp) and messages (tcp, tls) received; requests that the XDP program answered \
               (xdp).",
        read: |status, samples| each_count(status, |labels, counts| samples.count(&labels, counts.received)),
    },
    MetricDefinition {
        name: "xstun_batches_total",
        kind: Counter,
        labels: WORKER,
        help: "Batches of at least one datagram; received divided by batches is their mean size.",
        read: |status, samples| {
            each_worker(status, |labels, worker| samples.count(&labels, worker.counts.batches));
        },
    },
    MetricDefinition {
        name: "xstun_wakeups_total",
        kind: Counter,
        labels: WORKER,
        help: "System calls by which workers made the kernel transmit or receive.",
        read: |status, samples| {
            each_worker(status, |labels, worker| samples.count(&labels, worker.counts.wakeups));
        },
    },
    MetricDefinition {
        name: "xstun_unfinished_checksums_total",
        kind: Counter,
        labels: QUEUE,
        help: "Frames whose UDP checksum a local sender with transmit offload left incomplete; they are answered.",
        read: |status, samples| special(status, samples, "unfinished_checksums"),
    },
    MetricDefinition {
        name: "xstun_xdp_rx_dropped_total",
        kind: Counter,
        labels: QUEUE,
        help: "Frames that the kernel dropped at the AF_XDP socket: the fill ring was empty, or the frame too long \
               (XDP_STATISTICS).",
        read: |status, samples| kernel(status, samples, "rx_dropped"),
    },
    MetricDefinition {
        name: "xstun_xdp_rx_ring_full_total",
        kind: Counter,
        labels: QUEUE,
        help: "Frames that the kernel dropped because the receive ring was full: the worker cannot keep up \
               (XDP_STATISTICS).",
        read: |status, samples| kernel(status, samples, "rx_ring_full"),
    },
    MetricDefinition {
        name: "xstun_xdp_fill_ring_empty_total",
        kind: Counter,
        labels: QUEUE,
        help: "Times that the kernel found the fill ring empty (XDP_STATISTICS).",
        read: |status, samples| kernel(status, samples, "rx_fill_ring_empty"),
    },
    MetricDefinition {
        name: "xstun_xdp_rx_invalid_total",
        kind: Counter,
        labels: QUEUE,
        help: "Entries of the fill ring that the kernel refused: a fault of xstun (XDP_STATISTICS).",
        read: |status, samples| kernel(status, samples, "rx_invalid"),
    },
    MetricDefinition {
        name: "xstun_xdp_tx_invalid_total",
        kind: Counter,
        labels: QUEUE,
        help: "Entries of the transmit ring that the kernel refused: a fault of xstun (XDP_STATISTICS).",
        read: |status, samples| kernel(status, samples, "tx_invalid"),
    },
    MetricDefinition {
        name: "xstun_umem_frames",
        kind: Gauge,
        labels: &["interface", "queue", "place"],
        help: "Frames of the packet memory by where they are: free; fill (fill ring, NIC or receive ring); held by \
               the worker; transmit (transmit ring, NIC or completion ring). At most a second old.",
        read: |status, samples| {
            each_queue(status, |[interface, queue], worker| {
                for (place, count) in &worker.frames {
                    samples.count(&[interface, queue, place], *count);
                }
            });
        },
    },
    MetricDefinition {
        name: "xstun_worker_ticking",
        kind: Gauge,
        labels: WORKER,
        help: "1 while the thread works, 0 after it has hung for seconds.",
        read: |status, samples| {
            each_worker(status, |labels, worker| {
                if !worker.ended {
                    samples.count(&labels, worker.ticking.into());
                }
            });
            for stream in &status.streams {
                samples.count(&[&stream.path, "", "", ""], stream.ticking.into());
            }
        },
    },
];

/// Calls `take` with the labels and counts of each worker, each XDP program that answers, TCP and TLS.
fn each_count(status: &ServerStatus, mut take: impl FnMut([&str; 4], &MessageCounts)) {
    each_worker(status, |labels, worker| take(labels, &worker.counts));
    for interface in &status.interfaces {
        if let Some(answers) = &interface.kernel_answers {
            take([XDP_PATH, &interface.name, "", ""], &answers.counts);
        }
    }
    for stream in &status.streams {
        take([&stream.path, "", "", ""], &stream.counts);
    }
}

/// Calls `take` with the labels of each worker of datagrams.
fn each_worker(status: &ServerStatus, mut take: impl FnMut([&str; 4], &WorkerStatus)) {
    for worker in &status.workers {
        let core = if worker.queue.is_some() { String::new() } else { worker.core.to_string() };
        let queue = worker.queue.map_or(String::new(), |queue| queue.to_string());
        take([&worker.path, worker.interface.as_deref().unwrap_or_default(), &queue, &core], worker);
    }
}

/// Calls `take` with the labels of each worker over AF_XDP.
fn each_queue(status: &ServerStatus, mut take: impl FnMut([&str; 2], &WorkerStatus)) {
    each_worker(status, |[_, interface, queue, _], worker| {
        if worker.queue.is_some() {
            take([interface, queue], worker);
        }
    });
}

/// Adds the count of this special case, for each worker over AF_XDP.
fn special(status: &ServerStatus, samples: &mut Samples, name: &str) {
    each_queue(status, |queue, worker| {
        if let Some(count) = worker.counts.special.get(name) {
            samples.count(&queue, *count);
        }
    });
}

/// Adds the count of this name by the kernel, for each worker over AF_XDP.
fn kernel(status: &ServerStatus, samples: &mut Samples, name: &str) {
    each_queue(status, |queue, worker| {
        if let Some(count) = worker.kernel.get(name) {
            samples.count(&queue, *count);
        }
    });
}
