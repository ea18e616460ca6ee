//! Options of `xstun probe`.

use super::{ProbeCredentialsArgs, seconds};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `xstun probe`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit codes: 0 answered, 1 system error, 2 bad usage, 3 no answer, \
                        4 refused (ICMP unreachable, or a STUN error response).")]
pub struct ProbeArgs {
    /// Server, by name or address; an IPv6 address with a port needs brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) server: String,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,

    /// Local address and port to send from
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) source: Option<SocketAddr>,

    /// Add FINGERPRINT to the request, as Firefox does
    #[arg(long)]
    pub(crate) fingerprint: bool,

    /// Send no magic cookie, as RFC 3489 clients do
    #[arg(long, conflicts_with = "fingerprint")]
    pub(crate) classic: bool,

    /// The client's credentials.
    #[command(flatten)]
    pub(crate) credentials: ProbeCredentialsArgs,

    /// Determine how a NAT on the path maps and filters, by the tests of RFC 5780; the server needs two
    /// addresses for it
    #[arg(long, conflicts_with_all = ["classic", "fingerprint", "tcp", "tls", "user"])]
    pub(crate) nat: bool,

    /// Use TCP
    #[arg(long, conflicts_with_all = ["tls", "source", "user"])]
    pub(crate) tcp: bool,

    /// Use TLS; the default port is then 5349
    #[arg(long, conflicts_with_all = ["source", "user"])]
    pub(crate) tls: bool,

    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) ca: Option<PathBuf>,

    /// Accept any certificate
    #[arg(long, requires = "tls", conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// Give up after this long [default: RFC 8489's 39.5s: 7 requests, the first two 500 ms apart]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
