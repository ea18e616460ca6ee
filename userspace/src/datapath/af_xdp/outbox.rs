//! Frames that the control thread leaves for a worker to send, beside the replies.

use std::sync::{Mutex, PoisonError};

/// Frames to be sent by one worker, as soon as it has nothing else to do.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Vec<Vec<u8>>>);

impl Outbox {
    /// Leaves frames, instead of those that wait already.
    pub(super) fn put(&self, frames: Vec<Vec<u8>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = frames;
    }

    /// Takes the frames that wait.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
