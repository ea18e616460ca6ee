//! What `serve` runs on: the flags, checked against each other and against the machine's cores.

mod access;
mod metrics;
mod policy;
mod stream;

pub use stream::{STUNS_PORT, Stream, Tls};

pub use access::Access;

use crate::cli::ServeArgs;
pub use crate::cli::{BindModeArg as BindMode, DatapathArg as Datapath, XdpModeArg as XdpMode};
use crate::error::{Failure, Result};
use crate::stun::Policy;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// IANA's port for STUN over UDP and TCP (RFC 8489 §18.6).
pub const STUN_PORT: u16 = 3478;

/// Configuration that holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Interfaces to serve over AF_XDP, each once.
    pub interfaces: Vec<String>,
    /// Where to listen.
    pub listen: Listen,
    /// Which path serves the interfaces.
    pub datapath: Datapath,
    /// Where the XDP program runs.
    pub xdp_mode: XdpMode,
    /// How frames reach the workers.
    pub bind_mode: BindMode,
    /// Receive queues to serve on each interface; all if `None`.
    pub queues: Option<u32>,
    /// Cores for the workers, ascending, at least one.
    pub cores: Vec<usize>,
    /// Whether the workers poll the NIC.
    pub busy_poll: bool,
    /// Whether the XDP program logs each frame.
    pub xdp_log: bool,
    /// The operator's policy.
    pub policy: Policy,
    /// TCP and TLS.
    pub stream: Stream,
    /// Who alone may ask. What `policy` says of it comes from the file that this names.
    pub access: Option<Access>,
    /// How long health checks fail before the server ends, where it is asked to drain.
    pub drain: Duration,
    /// Where metrics, health and the status page are told over HTTP; nowhere if `None`.
    pub metrics: Option<SocketAddr>,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// Whether the server that listens there is taken over from.
    pub take_over: bool,
}

/// Addresses and ports to listen on. A wildcard means every address of the interfaces to the AF_XDP
/// path, and every address of the host to the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// As given, each once; the two wildcards where nothing was given.
    pub addresses: Vec<SocketAddr>,
    /// The flag that `addresses` come from, or would.
    pub flag: &'static str,
    /// Nothing was given: an address family that the host does not have is then no error.
    pub by_default: bool,
    /// What `--alternate-address` adds: of the four endpoints of NAT behaviour discovery (RFC 5780 §6)
    /// those that `addresses` has not.
    pub alternate: Vec<SocketAddr>,
}

impl Listen {
    /// All addresses and ports that are answered on.
    pub fn all(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().chain(&self.alternate).copied()
    }

    /// Whether one of them is exactly this.
    pub fn has(&self, address: &SocketAddr) -> bool {
        self.all().any(|own| own == *address)
    }

    /// The flag that one of them comes from.
    pub fn flag(&self, address: &SocketAddr) -> &'static str {
        if self.alternate.contains(address) { "--alternate-address" } else { self.flag }
    }
}

impl Config {
    /// Checks the flags of `serve`. `available` are the cores that this process may run on.
    ///
    /// # Errors
    /// One sentence that names the flag and the value.
    pub fn from_args(args: &ServeArgs, available: &[usize]) -> Result<Self> {
        if args.interfaces.is_empty() {
            let needs_interface = [
                (args.datapath == Datapath::AfXdp, "--datapath af-xdp"),
                (args.xdp_mode != XdpMode::Auto, "--xdp-mode"),
                (args.bind_mode != BindMode::Auto, "--bind-mode"),
                (args.queues.is_some(), "--queues"),
                (args.busy_poll, "--busy-poll"),
                (args.xdp_log, "--xdp-log"),
            ];
            if let Some((_, flag)) = needs_interface.iter().find(|(given, _)| *given) {
                return Err(Failure::usage(format!("{flag} is of no use without an interface"))
                    .remedy("name one with --interface"));
            }
        }
        if args.xdp_mode == XdpMode::Generic && args.bind_mode == BindMode::ZeroCopy {
            return Err(Failure::usage(
                "--bind-mode zero-copy cannot be had with --xdp-mode generic: only a driver can do it",
            ));
        }
        let mut listen = listen(&args.listen)?;
        let policy = policy::policy(args, &mut listen)?;
        let stream = Stream::from_args(&args.stream, &listen)?;
        Ok(Config {
            metrics: metrics::listen(&args.metrics, &listen, &stream)?,
            stream,
            interfaces: interfaces(&args.interfaces)?,
            listen,
            datapath: args.datapath,
            xdp_mode: args.xdp_mode,
            bind_mode: args.bind_mode,
            queues: args.queues.map(|n| n.get()),
            cores: match &args.cores {
                None => available.to_vec(),
                Some(list) => cores(list, available)?,
            },
            busy_poll: args.busy_poll,
            xdp_log: args.xdp_log,
            policy,
            access: Access::from_args(&args.access)?,
            drain: args.life.drain_seconds,
            control: args.life.control.clone(),
            take_over: control_of(args)?,
        })
    }
}

impl Config {
    /// Checks what only the host can tell, whose own addresses are `own`: that `--alternate-server` is not
    /// this server itself, reached by a wildcard of `--listen`. RFC 8489 §10 has a client give up where it is
    /// sent in a circle.
    ///
    /// # Errors
    /// One sentence that names the flag and the value.
    pub fn check_on_host(&self, own: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        let servers = self.policy.extras.as_ref().map(|extras| extras.alternate_server).unwrap_or_default();
        policy::check_alternate_servers(&servers, &self.listen, own)
    }

    /// The same, but with that of `running` which cannot change while it serves.
    pub fn keeping_what_is_fixed(self, running: &Config) -> Config {
        Config {
            interfaces: running.interfaces.clone(),
            datapath: running.datapath,
            xdp_mode: running.xdp_mode,
            bind_mode: running.bind_mode,
            queues: running.queues,
            cores: running.cores.clone(),
            busy_poll: running.busy_poll,
            xdp_log: running.xdp_log,
            control: running.control.clone(),
            ..self
        }
    }
}

/// `--take-over`, which needs `--control`. A switch has its default too, so clap alone cannot tell.
fn control_of(args: &ServeArgs) -> Result<bool> {
    if args.life.take_over && args.life.control.is_none() {
        return Err(Failure::usage("--take-over is of no use without the socket to ask over")
            .remedy("name it with --control, the same as of the server to take over from"));
    }
    Ok(args.life.take_over)
}

fn interfaces(given: &[String]) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    for name in given {
        if name.is_empty() {
            return Err(Failure::usage("--interface is empty").remedy("`ip link` lists what there is"));
        }
        if !seen.insert(name) {
            return Err(Failure::usage(format!("--interface {name} is given twice")));
        }
    }
    Ok(given.to_vec())
}

fn listen(given: &[SocketAddr]) -> Result<Listen> {
    if given.is_empty() {
        let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = wildcards.map(|ip| SocketAddr::new(ip, STUN_PORT)).to_vec();
        return Ok(Listen { addresses, flag: "--listen", by_default: true, alternate: Vec::new() });
    }
    let addresses = each_once("--listen", given, STUN_PORT)?;
    Ok(Listen { addresses, flag: "--listen", by_default: false, alternate: Vec::new() })
}

/// What is wrong with the way in which an address is written, if anything is.
fn ill_written(address: &SocketAddr) -> Option<&'static str> {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address in IPv6 clothing: write it as IPv4")
        }
        // RFC 4007 knows no scope there. The kernel forgets it, and the address of its socket is then another.
        SocketAddr::V6(v6) if v6.scope_id() != 0 && !v6.ip().is_unicast_link_local() => Some(
            "names an interface, which only a link-local address (fe80::/10) has: leave out what follows the %",
        ),
        _ => None,
    }
}

/// Checks the addresses that were given with `flag`, whose port is usually `usual`: each can be
/// listened on, and none covers another.
fn each_once(flag: &str, given: &[SocketAddr], usual: u16) -> Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in given {
        let wrong = |why: &str| Err(Failure::usage(format!("{flag} {address} {why}")));
        let ip = address.ip();
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if address.port() == 0 {
            return wrong(&format!("has port 0: name the port that clients ask, usually {usual}"));
        }
        if ip.is_multicast() || broadcast {
            return wrong("is a group address: name an address of this host");
        }
        if let Some(why) = ill_written(address) {
            return wrong(why);
        }
        if addresses.contains(address) {
            return wrong("is given twice");
        }
        addresses.push(*address);
    }
    for address in &addresses {
        let covers = |other: &&SocketAddr| {
            other.ip().is_unspecified()
                && other.port() == address.port()
                && other.is_ipv4() == address.is_ipv4()
                && *other != address
        };
        if let Some(wildcard) = addresses.iter().find(covers) {
            return Err(Failure::usage(format!("{flag} {address} is part of {flag} {wildcard} already"))
                .remedy("leave one of them out"));
        }
    }
    Ok(addresses)
}

/// Reads a list of `--cores` like `0-3,6`. Gives it ascending, each core once.
///
/// # Errors
/// Usage: it is no such list, or names a core that is not among `available`.
pub fn cores(list: &str, available: &[usize]) -> Result<Vec<usize>> {
    let unreadable =
        || Failure::usage(format!("--cores '{list}' is no list of cores")).remedy("write it like 0-3,6");
    let mut cores = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| unreadable())?;
        let last: usize = last.trim().parse().map_err(|_| unreadable())?;
        if last < first {
            return Err(unreadable());
        }
        for core in first..=last {
            if !available.contains(&core) {
                return Err(Failure::usage(format!(
                    "--cores names core {core}, which this process cannot use (it may use {})",
                    ranges(available)
                )));
            }
            cores.insert(core);
        }
    }
    Ok(cores.into_iter().collect())
}

/// Writes sorted numbers as `0-3,6`.
pub fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => parts.push((n, n)),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests;
