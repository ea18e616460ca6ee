//! The order to stop for workers, whether they spin or sleep.

use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// An order to stop for any number of workers: a flag for those that spin, and a file descriptor that becomes and
/// stays readable for those that wait in `poll`.
#[derive(Debug)]
pub struct Stop {
    ordered: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    /// Returns an order that has not been given.
    ///
    /// # Errors
    /// eventfd(2) failed.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { ordered: AtomicBool::new(false), event })
    }

    /// Orders every worker to stop.
    pub fn order(&self) {
        self.ordered.store(true, Ordering::Release);
        // Fails only if the counter is near 2^64, and then it is readable already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether the order has been given.
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
