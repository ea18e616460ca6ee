//! Flags of `xstun serve` for TCP and TLS.

use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// How connections are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TCP and TLS")]
pub struct StreamArgs {
    /// Do not answer over TCP
    #[arg(long)]
    pub no_tcp: bool,

    /// Address and port to answer on over TLS (repeatable) [default: the addresses of --listen, port
    /// 5349]
    #[arg(long, value_name = "ADDR:PORT")]
    pub tls_listen: Vec<SocketAddr>,

    /// Answer over TLS with this certificate and its chain (PEM); SIGHUP has it read again
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Connections at a time, TCP and TLS together
    #[arg(long, value_name = "N", default_value = "4096")]
    pub max_connections: NonZeroU32,

    /// Connections at a time from one source: an IPv4 address, or an IPv6 network of 64 bits
    #[arg(long, value_name = "N", default_value = "64")]
    pub max_connections_per_source: NonZeroU32,

    /// Close a connection that brings no whole message, or takes no reply, for this long
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, default_value = "30")]
    pub tcp_idle: Duration,
}
