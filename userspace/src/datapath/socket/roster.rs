//! The sockets of one worker, which the control loop changes under it.

use super::BoundSocket;
use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

/// A list of sockets, and a file descriptor that turns readable when it changed.
#[derive(Debug)]
pub(super) struct Roster {
    sockets: ArcSwap<Vec<Arc<BoundSocket>>>,
    changed: OwnedFd,
}

impl Roster {
    /// # Errors
    /// No file descriptor was to be had.
    pub(super) fn new(sockets: Vec<Arc<BoundSocket>>) -> io::Result<Self> {
        let changed = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Roster { sockets: ArcSwap::from_pointee(sockets), changed })
    }

    /// The list of this moment. A later change makes the file descriptor readable again.
    pub(super) fn read(&self) -> Arc<Vec<Arc<BoundSocket>>> {
        // Nothing to read means that nothing changed.
        let _ = rustix::io::read(&self.changed, &mut [0; 8]);
        self.sockets.load_full()
    }

    /// The list of this moment, for others than the worker.
    pub(super) fn read_all(&self) -> Vec<Arc<BoundSocket>> {
        self.sockets.load().to_vec()
    }

    /// Puts sockets in. Only one thread may change a roster.
    pub(super) fn add(&self, sockets: impl IntoIterator<Item = Arc<BoundSocket>>) {
        let now = self.sockets.load().iter().cloned().chain(sockets).collect();
        self.change(now);
    }

    /// Takes out those that `stays` says no to, and gives them. The worker answers what they have
    /// received already, and then lets go of them.
    pub(super) fn retain(&self, stays: impl Fn(&BoundSocket) -> bool) -> Vec<Weak<BoundSocket>> {
        let (now, gone): (Vec<_>, Vec<_>) =
            self.sockets.load().iter().cloned().partition(|socket| stays(socket));
        self.change(now);
        gone.iter().map(Arc::downgrade).collect()
    }

    fn change(&self, now: Vec<Arc<BoundSocket>>) {
        self.sockets.store(Arc::new(now));
        // Fails only when the counter is near 2^64, and then it is readable already.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }
}

impl AsFd for Roster {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}
