//! Flags of what a server tells of itself.

use clap::Args;
use std::net::SocketAddr;

/// Flags of `xstun serve` for metrics.
#[derive(Args, Clone, Debug, Default)]
pub struct MetricsArgs {
    /// Tell metrics, health and a status page over HTTP here, like 127.0.0.1:9478, where `xstun top` looks
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}
