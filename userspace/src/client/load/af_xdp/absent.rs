//! The AF_XDP generator in a build without AF_XDP: it cannot be started.

use super::plan::LoadPlan;
use super::pool::WorkerPool;
use super::shape::ShapeMix;
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use std::net::SocketAddr;
use std::sync::Arc;

/// Never exists in this build.
pub(super) enum LoadAttachment {}

/// Fails.
///
/// # Errors
/// System: always.
pub(super) fn start(
    _args: &LoadArgs,
    name: &str,
    _server: SocketAddr,
    _mix: ShapeMix,
) -> Result<Option<(Arc<LoadPlan>, LoadAttachment, WorkerPool)>> {
    Err(Failure::system(format!("--interface {name} requires AF_XDP, which this build does not contain"))
        .remedy("build xstun with the feature `af-xdp`, or omit --interface to load over sockets"))
}
