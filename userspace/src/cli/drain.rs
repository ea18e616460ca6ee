//! Options of `xstun drain`.

use clap::Args;
use std::path::PathBuf;

/// Options of `xstun drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// Control socket of the server (its --control)
    #[arg(long, value_name = "PATH", env = "XSTUN_CONTROL")]
    pub control: PathBuf,
}
