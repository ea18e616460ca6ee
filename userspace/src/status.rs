//! The status of a running server: plain data that the control loop fills in, `/status.json` carries, and the
//! status page and `xstun top` show.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xstun_core::enumeration;

/// Recommended port of `--metrics-listen`, on the loopback address; `xstun top` connects there by default.
pub(crate) const METRICS_PORT: u16 = 9478;

/// Path of the requests that an XDP program answers by itself, beside the paths of workers and transports.
pub(crate) const XDP_PATH: &str = "xdp";

/// A server at one moment. Counts are since its start, or since the start of a worker if that is later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    /// Version of xstun.
    pub(crate) version: String,
    /// `starting`, `serving` or `draining`.
    pub(crate) state: String,
    /// Whether this binary was built with AF_XDP.
    pub(crate) af_xdp_built: bool,
    /// Seconds since the server started, by the monotonic clock.
    pub(crate) uptime: f64,
    /// The interfaces of `--interface`.
    pub(crate) interfaces: Vec<InterfaceStatus>,
    /// Where UDP sockets listen.
    pub(crate) sockets: Vec<std::net::SocketAddr>,
    /// Every worker of datagrams.
    pub(crate) workers: Vec<WorkerStatus>,
    /// TCP and TLS, as far as they are served.
    pub(crate) streams: Vec<TransportStatus>,
    /// The last step downs, the latest last.
    pub(crate) step_downs: Vec<StepDownStatus>,
    /// Resources that the process uses.
    pub(crate) process: ProcessStatus,
}

/// An interface of `--interface`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct InterfaceStatus {
    /// Its name.
    pub(crate) name: String,
    /// Receive queues by the rung of the ladder that serves them; see [`LadderRung`].
    pub(crate) queues: BTreeMap<String, u32>,
    /// Verdicts of the XDP program by name; empty without a program.
    pub(crate) verdicts: BTreeMap<String, u64>,
    /// Frames that the driver lost after a verdict of the program, by kind; empty if they are not counted.
    #[serde(default)]
    pub(crate) lost: BTreeMap<String, u64>,
    /// Why they are not counted; absent if they are, and without a program.
    #[serde(default)]
    pub(crate) uncounted_losses: Option<String>,
    /// Replies of the program that the driver failed to send, by its own counters; absent if it does not count them,
    /// or if the program does not answer.
    #[serde(default)]
    pub(crate) driver_errors: Option<u64>,
    /// Addresses and ports that are served there over AF_XDP.
    pub(crate) listen: Vec<std::net::SocketAddr>,
    /// Number of step downs.
    pub(crate) step_downs: u64,
    /// Whether our XDP program was attached at the last check; absent where none should be.
    pub(crate) attached: Option<bool>,
    /// Whether frames that the program redirects arrived at the last check; absent without a program.
    pub(crate) delivering: Option<bool>,
    /// What the program answers by itself; absent without a program.
    pub(crate) kernel_answers: Option<KernelAnswersStatus>,
}

/// The plain requests that the XDP program of an interface answers by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KernelAnswersStatus {
    /// Whether it answers any.
    pub(crate) serving: bool,
    /// Why, or why not.
    pub(crate) reason: String,
    /// Counts of those that it answered; they reach no worker.
    pub(crate) counts: MessageCounts,
}

enumeration! {
    /// A rung of the ladder, the highest first.
    pub(crate) enum LadderRung {
        /// Native XDP, zero-copy.
        NativeZeroCopy = ("native-zero-copy"),
        /// Native XDP, copy mode.
        NativeCopy = ("native-copy"),
        /// Generic XDP.
        Generic = ("generic"),
        /// UDP sockets.
        Sockets = ("sockets"),
    }
    columns {
        /// Name in [`InterfaceStatus::queues`] and the metrics.
        name: &'static str,
    }
}

/// A worker of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerStatus {
    /// `af-xdp` or `sockets`.
    pub(crate) path: String,
    /// The interface of a worker over AF_XDP.
    pub(crate) interface: Option<String>,
    /// Its receive queue.
    pub(crate) queue: Option<u32>,
    /// The core that it is pinned to.
    pub(crate) core: usize,
    /// Whether it made progress recently.
    pub(crate) ticking: bool,
    /// Whether it has ended with its queue, so that only its counts are left.
    #[serde(default)]
    pub(crate) ended: bool,
    /// Its counts.
    pub(crate) counts: MessageCounts,
    /// Counts of its socket by the kernel (XDP_STATISTICS), by name; AF_XDP only.
    pub(crate) kernel: BTreeMap<String, u64>,
    /// Number of frames of its UMEM by where they are, at most a second old; AF_XDP only.
    pub(crate) frames: BTreeMap<String, u64>,
}

/// Counts of datagrams and messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MessageCounts {
    /// Datagrams, frames or messages received.
    pub(crate) received: u64,
    /// Batches of at least one datagram.
    pub(crate) batches: u64,
    /// System calls that made the kernel transmit or receive.
    pub(crate) wakeups: u64,
    /// Replies sent.
    pub(crate) replies: u64,
    /// Counts of special cases, by name; `WorkerStats::special` lists them.
    #[serde(flatten)]
    pub(crate) special: BTreeMap<String, u64>,
    /// Datagrams and messages by the name of their outcome.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

/// TCP or TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransportStatus {
    /// `tcp` or `tls`.
    pub(crate) path: String,
    /// Where it listens.
    pub(crate) listen: Vec<std::net::SocketAddr>,
    /// Whether its thread made progress recently.
    pub(crate) ticking: bool,
    /// Counts of messages.
    pub(crate) counts: MessageCounts,
    /// Connections accepted.
    pub(crate) accepted: u64,
    /// Connections that are open.
    pub(crate) open: u64,
    /// Connections refused, by reason: the limit that was reached, or an invalid source.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Failures of accept(2).
    pub(crate) accept_failed: u64,
    /// Connections by how they ended.
    pub(crate) endings: BTreeMap<String, u64>,
}

/// A step down: a rung of the ladder that was not available, or failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepDownStatus {
    /// Seconds since the server started.
    pub(crate) at: f64,
    /// The interface.
    pub(crate) interface: String,
    /// The rung, or the queue.
    pub(crate) from: String,
    /// The reason, as the kernel words it if it gives one.
    pub(crate) reason: String,
}

/// Resources that a process uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessStatus {
    /// CPU time in user and kernel mode, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
    /// Address space, in bytes.
    pub(crate) virtual_bytes: u64,
    /// Open file descriptors.
    pub(crate) open_fds: u64,
    /// Limit on open file descriptors.
    pub(crate) max_fds: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Start time, in seconds since 1970.
    pub(crate) start_time: f64,
}

#[cfg(test)]
mod tests {
    use super::MessageCounts;

    /// The names are part of the format of `/status.json`.
    #[test]
    fn special_counts_stand_beside_the_others() {
        let counts = MessageCounts {
            received: 9,
            special: [("unfinished_checksums".to_owned(), 3)].into(),
            ..MessageCounts::default()
        };
        let json = serde_json::to_string(&counts).unwrap();
        let expected =
            r#"{"received":9,"batches":0,"wakeups":0,"replies":0,"unfinished_checksums":3,"outcomes":{}}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<MessageCounts>(&json).unwrap(), counts);
    }
}
