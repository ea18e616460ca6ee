//! The configuration of `serve`: its options, checked against each other and against the cores of the
//! host. Nothing changes a [`Config`] once it is made; a reload makes another one and adopts its
//! [`LiveConfig`].

mod cores;
mod credentials;
mod listen;
mod metrics;
mod policy;
mod stream;

pub(crate) use crate::cli::{BindModeArg, DatapathArg, KernelAnswersArg, LogLevel, XdpModeArg};
pub(crate) use cores::{cores, ranges};
pub(crate) use credentials::CredentialsConfig;
pub use listen::Listen;
pub(crate) use listen::collide;
pub(crate) use stream::{StreamConfig, TlsConfig};

use crate::cli::{FixedArgs, LiveArgs, PathArgs, ServeArgs};
use crate::error::{Failure, Result};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use xstun_core::stun::Policy;

/// IANA's port for STUN over UDP and TCP (RFC 8489 §18.6).
pub(crate) const STUN_PORT: u16 = 3478;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What needs a restart.
    pub(crate) fixed: FixedConfig,
    /// What a reload may change.
    pub(crate) live: LiveConfig,
}

/// The part of the configuration that stays as it was at the start: a change needs a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedConfig {
    /// Interfaces to serve over AF_XDP, each once.
    pub(crate) interfaces: Vec<String>,
    /// Path that serves the interfaces.
    pub(crate) datapath: DatapathArg,
    /// Where the XDP program runs.
    pub(crate) xdp_mode: XdpModeArg,
    /// How frames reach the workers.
    pub(crate) bind_mode: BindModeArg,
    /// Receive queues to serve on each interface; all if `None`.
    pub(crate) queues: Option<u32>,
    /// Cores for the workers, ascending, at least one.
    pub(crate) cores: Vec<usize>,
    /// Whether the workers poll the NIC.
    pub(crate) busy_poll: bool,
    /// Whether the XDP program logs each frame.
    pub(crate) xdp_log: bool,
    /// Where metrics, health checks and the status page are served over HTTP, if anywhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// Path of the control socket, if there is to be one.
    pub(crate) control: Option<PathBuf>,
    /// Whether to take over from the server that listens at `control`.
    pub(crate) take_over: bool,
}

/// The part of the configuration that a reload may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveConfig {
    /// Where to listen.
    pub(crate) listen: Listen,
    /// TCP and TLS.
    pub(crate) stream: StreamConfig,
    /// The only users that are answered; everybody is if `None`.
    pub(crate) credentials: Option<CredentialsConfig>,
    /// How long health checks fail before a server that drains exits.
    pub(crate) drain: Duration,
    /// Whether the XDP programs answer plain requests by themselves.
    pub(crate) kernel_answers: KernelAnswersArg,
    /// Least severe level that is logged.
    pub(crate) log_level: LogLevel,
    /// All of the policy but the credentials, which stand in a file: see [`LiveConfig::policy`].
    open_policy: Policy,
}

impl Config {
    /// Checks the options of `serve`. `available` are the cores that this process may run on.
    ///
    /// # Errors
    /// Usage: a sentence that names the flag and the value.
    pub(crate) fn from_args(args: &ServeArgs, available: &[usize]) -> Result<Self> {
        let ServeArgs { config: _, fixed, live } = args;
        check_path(fixed, live.kernel_answers)?;
        let live = LiveConfig::from_args(live)?;
        let fixed = FixedConfig::from_args(fixed, available)?;
        if let Some(address) = &fixed.metrics {
            metrics::check(address, &live)?;
        }
        Ok(Config { fixed, live })
    }
}

impl FixedConfig {
    fn from_args(args: &FixedArgs, available: &[usize]) -> Result<Self> {
        // Destructured, so that an option that is not taken over does not compile.
        let FixedArgs { interfaces, path, metrics_listen, xdp_log, log_format: _, control, take_over } = args;
        let PathArgs { datapath, xdp_mode, bind_mode, queues, cores, busy_poll } = path;
        if *take_over && control.is_none() {
            return Err(Failure::usage("--take-over requires --control")
                .of("--take-over")
                .remedy("name the control socket of the server to take over from"));
        }
        Ok(FixedConfig {
            interfaces: each_interface_once(interfaces)?,
            datapath: *datapath,
            xdp_mode: *xdp_mode,
            bind_mode: *bind_mode,
            queues: queues.map(|n| n.get()),
            cores: match cores {
                None => available.to_vec(),
                Some(list) => self::cores(list, available)?,
            },
            busy_poll: *busy_poll,
            xdp_log: *xdp_log,
            metrics: *metrics_listen,
            control: control.clone(),
            take_over: *take_over,
        })
    }
}

impl LiveConfig {
    fn from_args(args: &LiveArgs) -> Result<Self> {
        let LiveArgs { listen, kernel_answers, reply, credentials, log_level, stream, drain_seconds } = args;
        let (open_policy, listen) = policy::policy(reply, Listen::new(listen)?, credentials)?;
        Ok(LiveConfig {
            stream: StreamConfig::from_args(stream, &listen)?,
            listen,
            credentials: CredentialsConfig::from_args(credentials)?,
            drain: *drain_seconds,
            kernel_answers: *kernel_answers,
            log_level: *log_level,
            open_policy,
        })
    }
}

/// Checks that the options about interfaces have an interface and go together.
fn check_path(args: &FixedArgs, kernel_answers: KernelAnswersArg) -> Result<()> {
    // Destructured, so that an option that is not considered here does not compile.
    let FixedArgs { interfaces, path, xdp_log, metrics_listen: _, log_format: _, control: _, take_over: _ } =
        args;
    let PathArgs { datapath, xdp_mode, bind_mode, queues, cores: _, busy_poll } = path;
    if interfaces.is_empty() {
        let needs_interface = [
            (*datapath == DatapathArg::AfXdp, "--datapath", " af-xdp"),
            (*xdp_mode != XdpModeArg::Auto, "--xdp-mode", ""),
            (*bind_mode != BindModeArg::Auto, "--bind-mode", ""),
            (queues.is_some(), "--queues", ""),
            (*busy_poll, "--busy-poll", ""),
            (*xdp_log, "--xdp-log", ""),
            (kernel_answers == KernelAnswersArg::On, "--kernel-answers", " on"),
        ];
        if let Some((_, flag, value)) = needs_interface.into_iter().find(|(given, ..)| *given) {
            return Err(Failure::usage(format!("{flag}{value} requires an interface"))
                .of(flag)
                .remedy("name one with --interface"));
        }
    }
    if *xdp_mode == XdpModeArg::Generic && *bind_mode == BindModeArg::ZeroCopy {
        return Err(Failure::usage(
            "--bind-mode zero-copy is not available with --xdp-mode generic: only a driver can do it",
        )
        .of_value("--bind-mode", "zero-copy")
        .of_value("--xdp-mode", "generic"));
    }
    if *datapath == DatapathArg::Socket && kernel_answers == KernelAnswersArg::On {
        return Err(Failure::usage(
            "--kernel-answers on is not available with --datapath socket: no XDP program is attached",
        )
        .of_value("--kernel-answers", "on")
        .of_value("--datapath", "socket")
        .remedy("use --kernel-answers auto, or --datapath auto"));
    }
    Ok(())
}

fn each_interface_once(given: &[String]) -> Result<Vec<String>> {
    const FLAG: &str = "--interface";
    let mut seen = BTreeSet::new();
    for name in given {
        if name.is_empty() {
            return Err(Failure::usage("--interface is empty")
                .of_value(FLAG, name)
                .remedy("`ip link` lists the interfaces of this host"));
        }
        if !seen.insert(name) {
            return Err(Failure::invalid(FLAG, name, "is given twice"));
        }
    }
    Ok(given.to_vec())
}

#[cfg(test)]
mod tests;
