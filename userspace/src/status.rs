//! What a running server tells of itself: plain data, which the control loop fills in, `/status.json`
//! carries, and the page and `xstun top` read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where `xstun top` looks for a server, and what `--metrics-listen` should be set to where nothing
/// speaks against it: this port of the loopback address.
pub const METRICS_PORT: u16 = 9478;

/// A server at one moment. Counts are since its start, or since a worker's start where that is later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of xstun.
    pub version: String,
    /// `starting`, `serving` or `draining`.
    pub state: String,
    /// Whether this xstun could serve over AF_XDP at all.
    pub af_xdp_built: bool,
    /// Seconds since the server started, by a clock that is never set.
    pub uptime: f64,
    /// The interfaces that it was told to serve.
    pub interfaces: Vec<Interface>,
    /// Where UDP sockets listen.
    pub sockets: Vec<std::net::SocketAddr>,
    /// Every worker of datagrams.
    pub workers: Vec<Worker>,
    /// TCP and TLS, those that are served.
    pub streams: Vec<Stream>,
    /// The last rungs of the ladder that could not be had or held, the latest last.
    pub step_downs: Vec<StepDown>,
    /// What the process takes of the machine.
    pub process: Process,
}

/// An interface of `--interface`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Receive queues by the rung that serves them; see [`RUNGS`].
    pub queues: BTreeMap<String, u32>,
    /// The XDP program's verdicts by name; none where there is no program.
    pub verdicts: BTreeMap<String, u64>,
    /// Addresses and ports that are served there over AF_XDP.
    pub listen: Vec<std::net::SocketAddr>,
    /// Rungs that were stepped down from, in all.
    pub step_downs: u64,
    /// Whether our XDP program is attached, at the last look; none where none should be.
    pub attached: Option<bool>,
    /// Whether frames that the program hands over arrive, at the last look; none where there is no
    /// program.
    pub delivering: Option<bool>,
}

/// The rungs of the ladder, the highest first, as [`Interface::queues`] and the metrics name them.
pub const RUNGS: [&str; 4] = ["native-zero-copy", "native-copy", "generic", "sockets"];

/// A worker of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// `af-xdp` or `sockets`.
    pub path: String,
    /// The interface of a worker over AF_XDP.
    pub interface: Option<String>,
    /// Its receive queue.
    pub queue: Option<u32>,
    /// The core that it is pinned to.
    pub core: usize,
    /// Whether it turned lately.
    pub ticking: bool,
    /// Whether it is gone, as its queue is, and only its counts are left.
    #[serde(default)]
    pub ended: bool,
    /// What it counted.
    pub counts: Counts,
    /// What the kernel counted of its socket (XDP_STATISTICS), by name; AF_XDP only.
    pub kernel: BTreeMap<String, u64>,
    /// Where the frames of its UMEM were a moment ago, by number; AF_XDP only.
    pub frames: BTreeMap<String, u64>,
}

/// What is counted of datagrams and messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Datagrams, frames or messages received.
    pub received: u64,
    /// Batches of at least one.
    pub batches: u64,
    /// System calls that told the kernel to transmit or to receive.
    pub wakeups: u64,
    /// Replies that left.
    pub replies: u64,
    /// Datagrams whose UDP checksum a local sender had only begun.
    pub unfinished_checksums: u64,
    /// How they ended, by the name of the outcome.
    pub outcomes: BTreeMap<String, u64>,
}

/// TCP or TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// `tcp` or `tls`.
    pub path: String,
    /// Where it is listened on.
    pub listen: Vec<std::net::SocketAddr>,
    /// Whether its thread turned lately.
    pub ticking: bool,
    /// Messages.
    pub counts: Counts,
    /// Connections taken on.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections refused, by the limit that they would have exceeded.
    pub refused: BTreeMap<String, u64>,
    /// Times that the kernel could not hand a connection over.
    pub accept_failed: u64,
    /// How connections ended, by name.
    pub endings: BTreeMap<String, u64>,
}

/// A rung of the ladder that could not be had or held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepDown {
    /// Seconds since the server started.
    pub at: f64,
    /// The interface.
    pub interface: String,
    /// The rung, or the queue.
    pub from: String,
    /// Why, in the kernel's words where it gave any.
    pub reason: String,
}

/// What the process takes of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Seconds of CPU, in user and kernel mode.
    pub cpu_seconds: f64,
    /// Bytes of memory that are there.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Limit on these.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
    /// When it started, in seconds since 1970.
    pub start_time: f64,
}
