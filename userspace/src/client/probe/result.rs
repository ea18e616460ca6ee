//! The result of a probe.

use super::ProbeTransport;
use crate::client::message::BindingResponse;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A transaction and its end.
#[derive(Debug)]
pub(super) struct ProbeResult {
    pub(super) transport: ProbeTransport,
    pub(super) server: SocketAddr,
    /// Unspecified if no connection was established.
    pub(super) local: SocketAddr,
    pub(super) requests_sent: u32,
    /// How many messages were ignored, and why the first of them was.
    pub(super) ignored: Option<(u64, &'static str)>,
    pub(super) end: ProbeEnd,
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum ProbeEnd {
    /// With a reply, this long after the latest request.
    Reply { reply: BindingResponse, after: Duration },
    /// Without a reply.
    Silence { waited: Duration },
    /// With an ICMP error, or a connection that was refused or closed.
    Unreachable(io::Error),
}
