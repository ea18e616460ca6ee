//! The status of a running server: plain data that the control loop fills in, `/status.json` carries, and the
//! status page and `xstun top` show.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recommended port of `--metrics-listen`, on the loopback address; `xstun top` connects there by default.
pub const METRICS_PORT: u16 = 9478;

/// A server at one moment. Counts are since its start, or since the start of a worker if that is later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Version of xstun.
    pub version: String,
    /// `starting`, `serving` or `draining`.
    pub state: String,
    /// Whether this binary was built with AF_XDP.
    pub af_xdp_built: bool,
    /// Seconds since the server started, by the monotonic clock.
    pub uptime: f64,
    /// The interfaces of `--interface`.
    pub interfaces: Vec<InterfaceStatus>,
    /// Where UDP sockets listen.
    pub sockets: Vec<std::net::SocketAddr>,
    /// Every worker of datagrams.
    pub workers: Vec<WorkerStatus>,
    /// TCP and TLS, as far as they are served.
    pub streams: Vec<TransportStatus>,
    /// The last step downs, the latest last.
    pub step_downs: Vec<StepDownStatus>,
    /// Resources that the process uses.
    pub process: ProcessStatus,
}

/// An interface of `--interface`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Receive queues by the rung of the ladder that serves them; see [`RUNGS`].
    pub queues: BTreeMap<String, u32>,
    /// Verdicts of the XDP program by name; empty without a program.
    pub verdicts: BTreeMap<String, u64>,
    /// Addresses and ports that are served there over AF_XDP.
    pub listen: Vec<std::net::SocketAddr>,
    /// Number of step downs.
    pub step_downs: u64,
    /// Whether our XDP program was attached at the last check; absent where none should be.
    pub attached: Option<bool>,
    /// Whether frames that the program redirects arrived at the last check; absent without a program.
    pub delivering: Option<bool>,
}

/// The rungs of the ladder, the highest first, as [`InterfaceStatus::queues`] and the metrics name them.
pub const RUNGS: [&str; 4] = ["native-zero-copy", "native-copy", "generic", "sockets"];

/// A worker of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// `af-xdp` or `sockets`.
    pub path: String,
    /// The interface of a worker over AF_XDP.
    pub interface: Option<String>,
    /// Its receive queue.
    pub queue: Option<u32>,
    /// The core that it is pinned to.
    pub core: usize,
    /// Whether it beat lately.
    pub ticking: bool,
    /// Whether it has ended with its queue, so that only its counts are left.
    #[serde(default)]
    pub ended: bool,
    /// Its counts.
    pub counts: MessageCounts,
    /// Counts of its socket by the kernel (XDP_STATISTICS), by name; AF_XDP only.
    pub kernel: BTreeMap<String, u64>,
    /// Number of frames of its UMEM by where they are, at most a second old; AF_XDP only.
    pub frames: BTreeMap<String, u64>,
}

/// Counts of datagrams and messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// Datagrams, frames or messages received.
    pub received: u64,
    /// Batches of at least one datagram.
    pub batches: u64,
    /// System calls that made the kernel transmit or receive.
    pub wakeups: u64,
    /// Replies sent.
    pub replies: u64,
    /// Datagrams whose UDP checksum a local sender with transmit offload left incomplete.
    pub unfinished_checksums: u64,
    /// Datagrams and messages by the name of their outcome.
    pub outcomes: BTreeMap<String, u64>,
}

/// TCP or TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransportStatus {
    /// `tcp` or `tls`.
    pub path: String,
    /// Where it listens.
    pub listen: Vec<std::net::SocketAddr>,
    /// Whether its thread beat lately.
    pub ticking: bool,
    /// Counts of messages.
    pub counts: MessageCounts,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections refused, by the limit that they exceeded.
    pub refused: BTreeMap<String, u64>,
    /// Failures of accept(2).
    pub accept_failed: u64,
    /// Connections by how they ended.
    pub endings: BTreeMap<String, u64>,
}

/// A step down: a rung of the ladder that was not available, or failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepDownStatus {
    /// Seconds since the server started.
    pub at: f64,
    /// The interface.
    pub interface: String,
    /// The rung, or the queue.
    pub from: String,
    /// The reason, as the kernel words it if it gives one.
    pub reason: String,
}

/// Resources that a process uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// CPU time in user and kernel mode, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Limit on open file descriptors.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Start time, in seconds since 1970.
    pub start_time: f64,
}
