//! Flags of `xstun serve` for how it begins and ends.

use clap::Args;
use std::time::Duration;

/// How the server begins and ends.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Begin and end")]
pub struct LifeArgs {
    /// How long SIGUSR1 lets health checks fail, while requests are still answered, before the server ends
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, default_value = "15")]
    pub drain_seconds: Duration,
}
