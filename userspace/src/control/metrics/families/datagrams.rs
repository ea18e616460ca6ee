//! What became of datagrams, by worker.

use super::MetricKind::{Counter, Gauge};
use super::{MetricDefinition, Samples};
use crate::status::{MessageCounts, ServerStatus, WorkerStatus};

/// Where something is counted: the path, then the interface and receive queue of a worker over AF_XDP or
/// the core of one over sockets.
const PLACE: &[&str] = &["path", "interface", "queue", "core"];
const PLACE_AND_OUTCOME: &[&str] = &["path", "interface", "queue", "core", "outcome"];
const QUEUE: &[&str] = &["interface", "queue"];

pub(super) const FAMILIES: &[MetricDefinition] = &[
    MetricDefinition {
        name: "xstun_outcomes_total",
        kind: Counter,
        labels: PLACE_AND_OUTCOME,
        help: "Datagrams and messages by how they ended, each in exactly one way.",
        read: |status, samples| {
            each_place(status, |place, counts| {
                let [path, interface, queue, core] = place;
                for (outcome, count) in &counts.outcomes {
                    samples.count(&[path, interface, queue, core, outcome], *count);
                }
            });
        },
    },
    MetricDefinition {
        name: "xstun_received_total",
        kind: Counter,
        labels: PLACE,
        help: "Datagrams, frames (af-xdp) and messages (tcp, tls) received.",
        read: |status, samples| each_place(status, |place, counts| samples.count(&place, counts.received)),
    },
    MetricDefinition {
        name: "xstun_batches_total",
        kind: Counter,
        labels: PLACE,
        help: "Batches of at least one datagram that workers took; received by batches is how full they are.",
        read: |status, samples| {
            each_worker(status, |place, worker| samples.count(&place, worker.counts.batches));
        },
    },
    MetricDefinition {
        name: "xstun_wakeups_total",
        kind: Counter,
        labels: PLACE,
        help: "System calls by which workers told the kernel to transmit or to receive.",
        read: |status, samples| {
            each_worker(status, |place, worker| samples.count(&place, worker.counts.wakeups));
        },
    },
    MetricDefinition {
        name: "xstun_unfinished_checksums_total",
        kind: Counter,
        labels: QUEUE,
        help: "Frames whose UDP checksum a local sender with transmit offload had only begun; they are answered.",
        read: |status, samples| {
            each_queue(status, |queue, worker| samples.count(&queue, worker.counts.unfinished_checksums));
        },
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
               the worker; transmit (transmit ring, NIC or completion ring). Up to a second old.",
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
        labels: PLACE,
        help: "1 while the thread turns, 0 when it has stood still for seconds.",
        read: |status, samples| {
            each_worker(status, |place, worker| {
                if !worker.ended {
                    samples.count(&place, worker.ticking.into());
                }
            });
            for stream in &status.streams {
                samples.count(&[&stream.path, "", "", ""], stream.ticking.into());
            }
        },
    },
];

/// Tells `take` each place where datagrams or messages are counted.
fn each_place(status: &ServerStatus, mut take: impl FnMut([&str; 4], &MessageCounts)) {
    each_worker(status, |place, worker| take(place, &worker.counts));
    for stream in &status.streams {
        take([&stream.path, "", "", ""], &stream.counts);
    }
}

fn each_worker(status: &ServerStatus, mut take: impl FnMut([&str; 4], &WorkerStatus)) {
    for worker in &status.workers {
        let core = if worker.queue.is_some() { String::new() } else { worker.core.to_string() };
        let queue = worker.queue.map_or(String::new(), |queue| queue.to_string());
        take([&worker.path, worker.interface.as_deref().unwrap_or_default(), &queue, &core], worker);
    }
}

/// Tells `take` each worker over AF_XDP.
fn each_queue(status: &ServerStatus, mut take: impl FnMut([&str; 2], &WorkerStatus)) {
    each_worker(status, |[_, interface, queue, _], worker| {
        if worker.queue.is_some() {
            take([interface, queue], worker);
        }
    });
}

fn kernel(status: &ServerStatus, samples: &mut Samples, name: &str) {
    each_queue(status, |queue, worker| {
        if let Some(count) = worker.kernel.get(name) {
            samples.count(&queue, *count);
        }
    });
}
