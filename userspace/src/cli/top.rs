//! Options of `xstun top`.

use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;

/// Options of `xstun top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Keys: q, Esc or Ctrl-C quits; Up, Down, PageUp, PageDown and Home scroll; Space pauses the display.

Exit codes: 0 ended, 1 no such server or a system error, 2 bad usage.")]
pub struct TopArgs {
    /// Address and port of the server's metrics (its --metrics-listen)
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:9478")]
    pub(crate) server: SocketAddr,

    /// Seconds between two readings, from which rates are computed
    #[arg(short = 'n', long, value_name = "SECONDS", value_parser = super::seconds, default_value = "1")]
    pub(crate) interval: Duration,

    /// Take two readings, print, and exit
    #[arg(long)]
    pub(crate) once: bool,

    /// Print one JSON object
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}
