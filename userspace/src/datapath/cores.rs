//! CPU affinity of threads.

use crate::error::{Failure, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Returns the cores that this process may run on, ascending.
///
/// # Errors
/// sched_getaffinity(2) failed.
pub fn available() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)
        .map_err(|error| Failure::system("cannot read which cores may be used").because(error))?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Pins the calling thread to `core`.
///
/// # Errors
/// The core is offline, or a cpuset forbids it.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| {
        Failure::system(format!("cannot run a worker on core {core} (--cores)")).of("--cores").because(error)
    })
}
