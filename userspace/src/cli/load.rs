//! Options of `xstun load`.

use super::{BindModeArg, XdpModeArg, seconds};
use clap::Args;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// Options of `xstun load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Shapes of requests, and who sends them:
  bare                    20 bytes: browsers, libnice, pion
  fingerprint             28, FINGERPRINT: Firefox
  software-fingerprint    40, SOFTWARE and FINGERPRINT: libjuice, Tailscale
  software                36, SOFTWARE: Jitsi, PJSIP
  change-request          28, CHANGE-REQUEST without a flag: stuntman
  classic                 20, no magic cookie: RFC 3489 clients
  classic-change-request  28, no magic cookie, CHANGE-REQUEST without a flag
  ice                     76, USERNAME, PRIORITY, MESSAGE-INTEGRITY (of an unknown key), FINGERPRINT

Exit codes: 0 all replies were correct, 1 a reply was wrong or a system error, 2 bad usage, 3 no reply.")]
pub struct LoadArgs {
    /// Server, by name or address; an IPv6 address with a port needs brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) server: String,

    /// Send over AF_XDP on this interface (needs root) instead of over sockets
    #[arg(short, long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Seconds to run
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub(crate) duration: Duration,

    /// Seconds to run before counting starts
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warm_up: Option<Duration>,

    /// Requests per second in total, each sent at its due time regardless of replies; with --find-max,
    /// the rate to start from [default: sockets: as many as are answered; AF_XDP: as many as can be
    /// sent]
    #[arg(short, long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU64>,

    /// Search for the highest rate that the server sustains, by doubling and then bisecting
    #[arg(long, conflicts_with = "duration")]
    pub(crate) find_max: bool,

    /// Fraction of the requests that may be lost in a step of --find-max
    #[arg(long, value_name = "PART", value_parser = part, default_value = "0.001", requires = "find_max")]
    pub(crate) loss: f64,

    /// Duration of each step of --find-max
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2", requires = "find_max")]
    pub(crate) step: Duration,

    /// Shapes of the requests and their weights; see below
    #[arg(long, value_name = "NAME[=WEIGHT],...", default_value = "bare")]
    pub(crate) shape: String,

    /// Source ports per source address
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) ports: NonZeroU32,

    /// Address of this host to send from (repeatable) [default: the one that the route prefers]
    #[arg(long = "source", value_name = "ADDR")]
    pub(crate) sources: Vec<IpAddr>,

    /// Sending threads over sockets, each with its own ports
    #[arg(short, long, value_name = "N", default_value = "1", conflicts_with = "interface")]
    pub(crate) threads: NonZeroU32,

    /// Queues of the interface to send on, starting at queue 0; replies are received on all [default: all]
    #[arg(long, value_name = "N", requires = "interface")]
    pub(crate) queues: Option<NonZeroU32>,

    /// Cores for the workers, for example 0-3,6; one worker per core, which share the queues [default: all
    /// that this process may use]
    #[arg(long, value_name = "LIST", requires = "interface")]
    pub(crate) cores: Option<String>,

    /// Where the XDP program that receives the replies runs
    #[arg(long, value_enum, default_value_t, requires = "interface")]
    pub(crate) xdp_mode: XdpModeArg,

    /// How frames reach the NIC; `auto` requests zero-copy only from drivers known to work
    #[arg(long, value_enum, default_value_t, requires = "interface")]
    pub(crate) bind_mode: BindModeArg,

    /// Confirm a server that is neither on this host nor private by naming it again
    #[arg(long, value_name = "HOST")]
    pub(crate) i_own: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses a fraction: 0 or more, less than 1.
fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    if (0.0..1.0).contains(&part) { Ok(part) } else { Err(format!("{text} is not from 0 to less than 1")) }
}
