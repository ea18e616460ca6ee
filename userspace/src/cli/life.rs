//! Flags of `xstun serve` for how it begins and ends.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How the server begins and ends.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Begin and end")]
pub struct LifeArgs {
    /// How long SIGUSR1 lets health checks fail, while requests are still answered, before the server ends
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, default_value = "15")]
    pub drain_seconds: Duration,

    /// Unix socket to be told over what to do: by `xstun drain`, and by a server that takes over
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Take over from the server that listens at --control, if there is one: its sockets, connections to
    /// come and XDP programs; it ends when this one serves
    #[arg(long)]
    pub take_over: bool,
}

/// Flags of `xstun drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// The socket that the server listens at (its --control)
    #[arg(long, value_name = "PATH", env = "XSTUN_CONTROL")]
    pub control: PathBuf,
}
