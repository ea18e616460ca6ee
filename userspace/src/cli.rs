//! The command line: only its options, parsed; `config` decides what they mean.

mod configure;
mod credentials;
mod doctor;
mod drain;
mod load;
mod probe;
mod serve;
mod top;

pub use configure::{CheckArgs, ConfigCommand, command};
pub(crate) use credentials::{CredentialsArgs, Mechanism, ProbeCredentialsArgs};
pub use doctor::DoctorArgs;
pub use drain::DrainArgs;
pub use load::LoadArgs;
pub use probe::ProbeArgs;
pub(crate) use serve::{
    Advertise, BindModeArg, DatapathArg, KernelAnswersArg, PathArgs, ReplyArgs, StreamArgs, XdpModeArg,
};
pub use serve::{FixedArgs, LiveArgs, LogFormat, LogLevel, ServeArgs, live_keys};
pub use top::TopArgs;

use clap::{Parser, Subcommand};
use std::time::Duration;

/// A STUN server that answers over AF_XDP, falling back to sockets.
#[derive(Debug, Parser)]
#[command(name = "xstun", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands of `xstun`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer Binding requests until SIGINT or SIGTERM
    Serve(Box<ServeArgs>),
    /// Ask a server for this host's public address, as a client does
    Probe(ProbeArgs),
    /// Send requests to a server at a given or the highest rate, and check every reply
    Load(LoadArgs),
    /// Drain a server: health checks fail, requests are still answered, then it exits
    Drain(DrainArgs),
    /// Check a configuration file of `serve`, show the values in force, or print an example
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show what a running server does, live
    Top(TopArgs),
    /// Report what this host and its interfaces support, and what to fix before production use
    Doctor(DoctorArgs),
}

/// Parses a positive number of seconds, at most a day; fractions are allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return Err(format!("{text} seconds is not between 0 and a day"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
