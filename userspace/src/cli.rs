//! The command line: a mirror of the flags, nothing decided here.

mod access;
mod configure;
mod life;
mod metrics;
mod probe;
mod stream;
mod top;

pub use access::{AccessArgs, LoginArgs, Mechanism};
pub use configure::{CheckArgs, ConfigCommand, command};
pub use life::{DrainArgs, LifeArgs};
pub use metrics::MetricsArgs;
pub use probe::ProbeArgs;
pub use stream::StreamArgs;
pub use top::TopArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

/// A STUN server that answers over AF_XDP, and over sockets where XDP is not to be had.
#[derive(Debug, Parser)]
#[command(name = "xstun", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer Binding requests until SIGINT or SIGTERM
    Serve(Box<ServeArgs>),
    /// Ask one server for this host's address, as a client would
    Probe(ProbeArgs),
    /// Ask a server as fast as it can bear, and check every reply
    Load(LoadArgs),
    /// Have a server drain: health checks fail, requests are answered, and then it ends
    Drain(DrainArgs),
    /// Look at the configuration of `serve`: check a file, show what is in force, print an example
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show what a running server does, live
    Top(TopArgs),
    /// Tell what this machine and its interfaces can do, and what to mend before going live
    Doctor(DoctorArgs),
}

/// Flags of `xstun serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Read options from this TOML file too; flags and environment variables go before it, and SIGHUP
    /// has it read again
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Serve frames of this interface over AF_XDP (repeatable)
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,

    /// Address and port to answer on (repeatable) [default: `0.0.0.0:3478` and `[::]:3478`:
    /// every address of the interfaces]
    #[arg(short, long, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,

    /// Path that serves the interfaces; `auto` takes AF_XDP where it can and says why where not
    #[arg(long, value_enum, default_value_t)]
    pub datapath: DatapathArg,

    /// Where the XDP program runs: in the driver, or in the kernel's generic hook
    #[arg(long, value_enum, default_value_t)]
    pub xdp_mode: XdpModeArg,

    /// How frames reach the worker; `auto` asks for zero-copy from drivers known good
    #[arg(long, value_enum, default_value_t)]
    pub bind_mode: BindModeArg,

    /// Receive queues to serve on each interface, from queue 0 [default: all]
    #[arg(long, value_name = "N")]
    pub queues: Option<NonZeroU32>,

    /// Cores for the workers, like 0-3,6 [default: all that this process may use]
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,

    /// Poll the NIC from the worker instead of waiting for its interrupts: one core a queue at 100 %
    #[arg(long)]
    pub busy_poll: bool,

    /// Do not answer requests without magic cookie (RFC 3489 clients)
    #[arg(long)]
    pub no_classic: bool,

    /// Second address and port of this host, for NAT behaviour discovery (RFC 5780): both must differ
    /// from those of --listen, and all four combinations answer (repeatable, once for IPv4 and for IPv6)
    #[arg(long, value_name = "ADDR:PORT")]
    pub alternate_address: Vec<SocketAddr>,

    /// Tell clients PUBLIC where NAT behaviour discovery names the address LOCAL of this host, which is
    /// behind a NAT that maps one to one (repeatable)
    #[arg(long, value_name = "LOCAL=PUBLIC", value_parser = advertise)]
    pub advertise: Vec<Advertise>,

    /// Name the server in success replies (SOFTWARE, at most 32 bytes); costs each reply that much
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "xstun")]
    pub software: Option<String>,

    /// Do not answer requests whose transaction ID is all zero, as scanners send them
    #[arg(long)]
    pub drop_zero_transaction: bool,

    /// Send users to another server (300 Try Alternate) where that makes no reply longer than its request;
    /// needs --credentials, since RFC 8489 redirects nobody else (repeatable, once for IPv4 and for IPv6)
    #[arg(long, value_name = "ADDR:PORT")]
    pub alternate_server: Vec<SocketAddr>,

    /// Who may ask.
    #[command(flatten)]
    pub access: AccessArgs,

    /// What is told of the server.
    #[command(flatten)]
    pub metrics: MetricsArgs,

    /// Log what the XDP program does with each frame, at debug level: for a test bench, not for load
    #[arg(long)]
    pub xdp_log: bool,

    /// Least level of what is logged
    #[arg(long, value_enum, default_value_t)]
    pub log_level: LogLevel,

    /// Form of the log: lines on standard error, or entries of the systemd journal
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// TCP and TLS. Behind all that has no heading, since its own is for all that follows.
    #[command(flatten)]
    pub stream: StreamArgs,

    /// Begin and end.
    #[command(flatten)]
    pub life: LifeArgs,
}

/// `--advertise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// The address as this host has it.
    pub local: IpAddr,
    /// The address as clients know it.
    pub public: IpAddr,
}

/// `--datapath`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DatapathArg {
    /// AF_XDP where it can be had, sockets elsewhere.
    #[default]
    Auto,
    /// AF_XDP or an error.
    AfXdp,
    /// Sockets only.
    Socket,
}

/// `--xdp-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum XdpModeArg {
    /// Native, else generic.
    #[default]
    Auto,
    /// In the driver or an error.
    Native,
    /// In the kernel's generic hook.
    Generic,
}

/// `--bind-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BindModeArg {
    /// Zero-copy for trusted drivers, else copy.
    #[default]
    Auto,
    /// Zero-copy or an error.
    ZeroCopy,
    /// Copy.
    Copy,
}

/// `--log-level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line a person reads.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// Entries of the systemd journal, each field of an event a field of the entry.
    Journald,
}

/// Flags of `xstun load`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Shapes of requests, and who sends such:
  bare                    20 bytes: browsers, libnice, pion
  fingerprint             28, FINGERPRINT: Firefox
  software-fingerprint    40, SOFTWARE and FINGERPRINT: libjuice, Tailscale
  software                36, SOFTWARE: Jitsi, PJSIP
  change-request          28, CHANGE-REQUEST without a flag: stuntman
  classic                 20, no magic cookie: RFC 3489 clients
  classic-change-request  28, the same with CHANGE-REQUEST without a flag
  ice                     76, USERNAME, PRIORITY, MESSAGE-INTEGRITY (of no known key), FINGERPRINT

Exit codes: 0 replies came and all were right, 1 a reply was wrong or the system refused, 2 bad usage, \
3 no reply.")]
pub struct LoadArgs {
    /// Server, by name or address; an IPv6 address with a port stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: String,

    /// Send over AF_XDP on this interface (needs root); without it, over sockets
    #[arg(short, long, value_name = "IF")]
    pub interface: Option<String>,

    /// Seconds to run
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub duration: Duration,

    /// Seconds to run before anything counts
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub warm_up: Option<Duration>,

    /// Requests a second in all, each due at its time whatever became of the others; with --find-max,
    /// the rate to begin with [default: over sockets as many as are answered, over AF_XDP as many as
    /// leave]
    #[arg(short, long, value_name = "N")]
    pub rate: Option<NonZeroU64>,

    /// Search for the highest rate that the server bears: doubling, then bisecting
    #[arg(long, conflicts_with = "duration")]
    pub find_max: bool,

    /// Part of the requests that may be lost in a step of --find-max
    #[arg(long, value_name = "PART", value_parser = part, default_value = "0.001", requires = "find_max")]
    pub loss: f64,

    /// Seconds of each step of --find-max
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2", requires = "find_max")]
    pub step: Duration,

    /// Shapes of the requests, and how many of each in turn; see below
    #[arg(long, value_name = "NAME[=WEIGHT],...", default_value = "bare")]
    pub shape: String,

    /// Source ports of each source address
    #[arg(long, value_name = "N", default_value = "16")]
    pub ports: NonZeroU32,

    /// Address of this host to send from (repeatable) [default: the one that the route prefers]
    #[arg(long = "source", value_name = "ADDR")]
    pub sources: Vec<IpAddr>,

    /// Sending threads over sockets, each with ports of its own
    #[arg(short, long, value_name = "N", default_value = "1", conflicts_with = "interface")]
    pub threads: NonZeroU32,

    /// Queues of the interface to send on, from queue 0; replies are taken from all [default: all]
    #[arg(long, value_name = "N", requires = "interface")]
    pub queues: Option<NonZeroU32>,

    /// Cores for the workers, like 0-3,6, one worker each, that share the queues out [default: all that
    /// this process may use]
    #[arg(long, value_name = "LIST", requires = "interface")]
    pub cores: Option<String>,

    /// Where the XDP program that takes the replies runs
    #[arg(long, value_enum, default_value_t, requires = "interface")]
    pub xdp_mode: XdpModeArg,

    /// How frames reach the NIC; `auto` asks for zero-copy from drivers known good
    #[arg(long, value_enum, default_value_t, requires = "interface")]
    pub bind_mode: BindModeArg,

    /// Send to an address that is neither local nor private: name it a second time
    #[arg(long, value_name = "HOST")]
    pub i_own: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `xstun doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Interface to look at (repeatable) [default: every one that is up, but loopback]
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Two addresses with `=` between them.
fn advertise(text: &str) -> Result<Advertise, String> {
    let (local, public) = text.split_once('=').ok_or("write it as LOCAL=PUBLIC")?;
    let address = |text: &str| text.parse().map_err(|_| format!("'{text}' is no IP address"));
    Ok(Advertise { local: address(local)?, public: address(public)? })
}

/// A positive number of seconds, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number of seconds"))?;
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return Err(format!("{text} seconds is not between 0 and a day"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A part of a whole, from 0 to less than 1.
fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if (0.0..1.0).contains(&part) { Ok(part) } else { Err(format!("{text} is not from 0 to less than 1")) }
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
