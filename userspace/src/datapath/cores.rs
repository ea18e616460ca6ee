//! Threads on cores.

use crate::error::{Failure, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may run on, ascending.
///
/// # Errors
/// sched_getaffinity(2) failed.
pub fn available() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)
        .map_err(|error| Failure::system("cannot tell which cores may be used").because(error))?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Keeps the calling thread on `core`.
///
/// # Errors
/// The core is gone, or a cpuset forbids it.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| {
        Failure::system(format!("cannot run a worker on core {core} (--cores)")).of("--cores").because(error)
    })
}
