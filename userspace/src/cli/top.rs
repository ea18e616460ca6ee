//! Flags of `xstun top`.

use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;

/// Flags of `xstun top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Keys: q, Esc or Ctrl-C ends; Up, Down, PageUp, PageDown and Home scroll; Space holds the picture.

Exit codes: 0 ended, 1 no such server or a system error, 2 bad usage.")]
pub struct TopArgs {
    /// Where the server tells its metrics: what `serve` was given with --metrics-listen
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:9478")]
    pub server: SocketAddr,

    /// Seconds between two looks, which rates are reckoned from
    #[arg(short = 'n', long, value_name = "SECONDS", value_parser = super::seconds, default_value = "1")]
    pub interval: Duration,

    /// Look twice, print, and end
    #[arg(long)]
    pub once: bool,

    /// Print one JSON object
    #[arg(long, requires = "once")]
    pub json: bool,
}
