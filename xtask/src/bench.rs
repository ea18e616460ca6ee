//! `cargo xtask bench`: measures.

mod instructions;

use crate::workspace::Workspace;
use anyhow::{Result, bail};
use clap::Args;

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Count instructions of the fast path with callgrind, and fail if a count grew
    #[arg(long)]
    instructions: bool,
    /// With --instructions: keep the new counts in the repository
    #[arg(long, requires = "instructions")]
    bless: bool,
}

/// Measures what was asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.instructions {
        return instructions::run(workspace, options.bless);
    }
    bail!("say what to measure: --instructions")
}
