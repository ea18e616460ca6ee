//! How workers are told to end, whether they spin or sleep.

use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// One order to stop for any number of workers: a flag for those that spin, and a file descriptor
/// that turns readable, and stays so, for those that wait in `poll`.
#[derive(Debug)]
pub struct Stop {
    ordered: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    /// Nothing ordered yet.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { ordered: AtomicBool::new(false), event })
    }

    /// Orders every worker to stop.
    pub fn order(&self) {
        self.ordered.store(true, Ordering::Release);
        // Fails only when the counter is near 2^64, and then it is readable already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether to stop.
    #[inline]
    pub fn is_ordered(&self) -> bool {
        self.ordered.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
