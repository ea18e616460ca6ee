//! Options of `xstun doctor`.

use clap::Args;

/// Options of `xstun doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Interface to examine (repeatable) [default: every interface that is up, except loopback]
    #[arg(short, long = "interface", value_name = "IF")]
    pub(crate) interfaces: Vec<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
