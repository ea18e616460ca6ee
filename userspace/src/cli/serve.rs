//! Options of `xstun serve`, in two groups: those that a reload may change and those that need a
//! restart.
//!
//! An option belongs to a group by the struct that it stands in; nothing else says so. The two groups
//! interleave in `--help`, where related options stand together: `display_order` gives the position.

use super::{CredentialsArgs, seconds};
use clap::{Args, Command, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `xstun serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Read options from this TOML file; flags and environment variables take precedence, and SIGHUP
    /// reads the file again
    #[arg(short, long, value_name = "FILE", display_order = 0)]
    pub(crate) config: Option<PathBuf>,

    /// What a reload may change.
    #[command(flatten)]
    pub live: LiveArgs,

    /// What needs a restart.
    #[command(flatten, next_help_heading = None)]
    pub fixed: FixedArgs,
}

/// Options that need a restart: a reload warns of a changed value and keeps that of the start.
#[derive(Args, Clone, Debug)]
pub struct FixedArgs {
    /// Interface to serve over AF_XDP (repeatable)
    #[arg(short, long = "interface", value_name = "IF", display_order = 1)]
    pub(crate) interfaces: Vec<String>,

    /// How the interfaces are served.
    #[command(flatten, next_display_order = 10)]
    pub(crate) path: PathArgs,

    /// Serve metrics, health checks and a status page over HTTP on this address and port, for example
    /// 127.0.0.1:9478, which `xstun top` connects to by default
    #[arg(long, value_name = "ADDR:PORT", display_order = 40)]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Log what the XDP program does with each frame, at debug level; for a test bench, not for load
    #[arg(long, display_order = 41)]
    pub xdp_log: bool,

    /// Log format: lines of text or JSON on standard error, or entries of the systemd journal
    #[arg(long, value_enum, default_value_t, display_order = 43)]
    pub log_format: LogFormat,

    /// Unix socket for `xstun drain` and for a server that takes over
    #[arg(long, value_name = "PATH", display_order = 61, help_heading = START_AND_STOP)]
    pub(crate) control: Option<PathBuf>,

    /// Take over sockets, listeners and XDP programs from the server that listens at --control, if there
    /// is one; that server exits once this one serves
    #[arg(long, display_order = 62, help_heading = START_AND_STOP)]
    pub(crate) take_over: bool,
}

/// Options for how the interfaces are served.
#[derive(Args, Clone, Debug)]
pub(crate) struct PathArgs {
    /// Path that serves the interfaces; `auto` uses AF_XDP where it can, and logs why where it cannot
    #[arg(long, value_enum, default_value_t)]
    pub(crate) datapath: DatapathArg,

    /// Where the XDP program runs: in the driver (native) or in the kernel's generic hook
    #[arg(long, value_enum, default_value_t)]
    pub(crate) xdp_mode: XdpModeArg,

    /// How frames reach the worker; `auto` requests zero-copy only from drivers known to work
    #[arg(long, value_enum, default_value_t)]
    pub(crate) bind_mode: BindModeArg,

    /// Receive queues to serve on each interface, starting at queue 0 [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) queues: Option<NonZeroU32>,

    /// Cores for the workers, for example 0-3,6 [default: all that this process may use]
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<String>,

    /// Poll the NIC from the worker instead of waiting for interrupts; takes 100 % of one core per queue
    #[arg(long)]
    pub(crate) busy_poll: bool,
}

/// Options that a reload (SIGHUP) may change.
#[derive(Args, Clone, Debug)]
pub struct LiveArgs {
    /// Address and port to answer on (repeatable) [default: `0.0.0.0:3478` and `[::]:3478`:
    /// every address of the interfaces]
    #[arg(short, long, value_name = "ADDR:PORT", display_order = 2)]
    pub(crate) listen: Vec<SocketAddr>,

    /// Answer plain requests inside the XDP program, and leave the others to the workers; `auto` does so
    /// where zero-copy is not available and the driver is known to transmit such replies, and in generic
    /// mode
    #[arg(long, value_enum, default_value_t, display_order = 16)]
    pub(crate) kernel_answers: KernelAnswersArg,

    /// Which requests are answered, and with what.
    #[command(flatten, next_display_order = 20)]
    pub(crate) reply: ReplyArgs,

    /// Whose requests are answered.
    #[command(flatten, next_display_order = 30)]
    pub(crate) credentials: CredentialsArgs,

    /// Least severe level that is logged
    #[arg(long, value_enum, default_value_t, display_order = 42)]
    pub log_level: LogLevel,

    /// TCP and TLS.
    #[command(flatten, next_display_order = 50)]
    pub(crate) stream: StreamArgs,

    /// How long to drain after SIGUSR1 or `xstun drain`: health checks fail, requests are still answered,
    /// then the server exits
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = seconds,
        default_value = "15",
        display_order = 60,
        help_heading = START_AND_STOP
    )]
    pub(crate) drain_seconds: Duration,
}

/// Options for what is answered beyond the plain service.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplyArgs {
    /// Do not answer requests without the magic cookie (RFC 3489 clients)
    #[arg(long)]
    pub(crate) no_classic: bool,

    /// Second address and port of this host, for NAT behaviour discovery (RFC 5780): both must differ
    /// from those of --listen, and all four combinations answer (repeatable, once for IPv4 and once for
    /// IPv6)
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) alternate_address: Vec<SocketAddr>,

    /// Report the address PUBLIC to clients in place of this host's address LOCAL in NAT behaviour
    /// discovery; for a host behind a one-to-one NAT (repeatable)
    #[arg(long, value_name = "LOCAL=PUBLIC", value_parser = advertise)]
    pub(crate) advertise: Vec<Advertise>,

    /// Add SOFTWARE with this text (at most 32 bytes) to success replies, which become that much longer
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "xstun")]
    pub(crate) software: Option<String>,

    /// Do not answer requests whose transaction ID is all zeros, as scanners send them
    #[arg(long)]
    pub(crate) drop_zero_transaction: bool,

    /// Redirect users to this server (300 Try Alternate) where that makes no reply longer than its
    /// request; requires --credentials, since RFC 8489 redirects only authenticated clients (repeatable,
    /// once for IPv4 and once for IPv6)
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) alternate_server: Vec<SocketAddr>,
}

/// Options for connections.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TCP and TLS")]
pub(crate) struct StreamArgs {
    /// Do not answer over TCP
    #[arg(long)]
    pub(crate) no_tcp: bool,

    /// Address and port to answer on over TLS (repeatable) [default: the addresses of --listen, port
    /// 5349]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) tls_listen: Vec<SocketAddr>,

    /// Answer over TLS with this certificate and its chain (PEM); SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Maximum number of open connections, TCP and TLS together
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) max_connections: NonZeroU32,

    /// Maximum number of open connections from one source: an IPv4 address, or an IPv6 /64 network
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) max_connections_per_source: NonZeroU32,

    /// Close a connection after this long without a complete message or an accepted reply
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub(crate) tcp_idle: Duration,
}

const START_AND_STOP: &str = "Start and stop";

/// Keys that a reload may change: the long names of [`LiveArgs`].
pub fn live_keys() -> Vec<String> {
    long_names::<LiveArgs>()
}

fn long_names<T: Args>() -> Vec<String> {
    let command = T::augment_args(Command::new("group"));
    command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

/// Value of `--advertise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertise {
    /// The host's own address.
    pub(crate) local: IpAddr,
    /// The address by which clients reach it.
    pub(crate) public: IpAddr,
}

/// Value of `--datapath`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatapathArg {
    /// AF_XDP where possible, sockets elsewhere.
    #[default]
    Auto,
    /// AF_XDP or an error.
    AfXdp,
    /// Sockets only.
    Socket,
}

/// Value of `--xdp-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum XdpModeArg {
    /// Native, else generic.
    #[default]
    Auto,
    /// In the driver or an error.
    Native,
    /// In the kernel's generic hook.
    Generic,
}

/// Value of `--bind-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BindModeArg {
    /// Zero-copy for trusted drivers, else copy.
    #[default]
    Auto,
    /// Zero-copy or an error.
    ZeroCopy,
    /// Copy.
    Copy,
}

/// Value of `--kernel-answers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelAnswersArg {
    /// Where the XDP program is faster than a worker, and the driver is trusted to send its replies.
    #[default]
    Auto,
    /// On every interface, or an error.
    On,
    /// On no interface.
    Off,
}

/// Value of `--log-level`.
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

/// Value of `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// Entries of the systemd journal, each field of an event a field of the entry.
    Journald,
}

/// Parses `LOCAL=PUBLIC`.
fn advertise(text: &str) -> Result<Advertise, String> {
    let (local, public) = text.split_once('=').ok_or("expected LOCAL=PUBLIC")?;
    let address = |text: &str| text.parse().map_err(|_| format!("'{text}' is not an IP address"));
    Ok(Advertise { local: address(local)?, public: address(public)? })
}

#[cfg(test)]
mod tests {
    use super::{FixedArgs, live_keys, long_names};
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_in_exactly_one_group() {
        let command = crate::cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let grouped: Vec<String> = live_keys().into_iter().chain(long_names::<FixedArgs>()).collect();
        let all: BTreeSet<&str> =
            serve.get_arguments().filter_map(|arg| arg.get_long()).filter(|name| *name != "config").collect();
        assert_eq!(grouped.iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
        assert_eq!(grouped.len(), all.len());
    }
}
