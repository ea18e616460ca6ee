//! Requests from the thread of the control socket to the control loop.

use crate::datapath::Inheritance;
use crate::error::Result;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;

/// A request to the control loop, and where its answer goes.
pub(super) enum ControlRequest {
    /// A successor wants to take over: duplicate everything that serves.
    TakeOver(SyncSender<Result<Inheritance>>),
    /// Close the queues of the interface of this index.
    Release(u32, SyncSender<()>),
    /// The successor serves.
    Complete,
    /// The successor is gone and does not serve.
    Abandon,
    /// Drain; the answer is the time that is left.
    Drain(SyncSender<Duration>),
}

/// Sends a request to the control loop and waits for the answer.
///
/// # Errors
/// The control loop has ended, or refuses.
pub(super) fn ask<T>(
    requests: &mpsc::Sender<ControlRequest>,
    request: impl FnOnce(SyncSender<T>) -> ControlRequest,
) -> io::Result<T> {
    let ended = || io::Error::other("this server is stopping");
    let (reply, answer) = sync_channel(1);
    requests.blocking_send(request(reply)).map_err(|_| ended())?;
    answer.recv().map_err(|_| ended())
}
