//! The sockets of one worker, which the control loop changes while the worker runs.

use super::BoundSocket;
use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

/// A list of sockets, and a file descriptor that becomes readable when the list changed.
#[derive(Debug)]
pub(super) struct WorkerSockets {
    sockets: ArcSwap<Vec<Arc<BoundSocket>>>,
    changed: OwnedFd,
}

impl WorkerSockets {
    /// # Errors
    /// No file descriptor is available.
    pub(super) fn new(sockets: Vec<Arc<BoundSocket>>) -> io::Result<Self> {
        let changed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(WorkerSockets { sockets: ArcSwap::from_pointee(sockets), changed })
    }

    /// Returns the current list, for the worker. A later change makes the file descriptor readable again.
    pub(super) fn read(&self) -> Arc<Vec<Arc<BoundSocket>>> {
        // Nothing to read means that nothing changed.
        let _ = rustix::io::read(&self.changed, &mut [0; 8]);
        self.sockets.load_full()
    }

    /// Returns the current list, for every other thread.
    pub(super) fn peek(&self) -> Vec<Arc<BoundSocket>> {
        self.sockets.load().to_vec()
    }

    /// Adds sockets. Only one thread may change a list.
    pub(super) fn add(&self, sockets: impl IntoIterator<Item = Arc<BoundSocket>>) {
        let now = self.sockets.load().iter().cloned().chain(sockets).collect();
        self.change(now);
    }

    /// Removes the sockets for which `stays` is false, and returns them. The worker answers what they have
    /// received already, and then drops them.
    pub(super) fn retain(&self, stays: impl Fn(&BoundSocket) -> bool) -> Vec<Weak<BoundSocket>> {
        let (now, removed): (Vec<_>, Vec<_>) =
            self.sockets.load().iter().cloned().partition(|socket| stays(socket));
        self.change(now);
        removed.iter().map(Arc::downgrade).collect()
    }

    fn change(&self, now: Vec<Arc<BoundSocket>>) {
        self.sockets.store(Arc::new(now));
        // Fails only when the counter is near 2^64, and then it is readable already.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }
}

impl AsFd for WorkerSockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}
