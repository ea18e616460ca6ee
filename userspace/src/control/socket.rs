//! The control socket of a server, which serves one connection after the other on its own thread, and its
//! clients but for a successor: `xstun drain`, and a server that checks whether another is there.

use super::handover::hand_over;
use super::request::{ControlRequest, ask};
use super::wire::{ControlConnection, ControlListener, ControlMessage, VERSION, broken};
use crate::error::{Failure, Result};
use crate::privileges;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// The control socket of a running server; removed from the file system when dropped.
pub(super) struct ControlSocket {
    requests: mpsc::Receiver<ControlRequest>,
    _open: mpsc::Sender<ControlRequest>,
    /// Its path, and the inode there that is its own.
    own: Option<(PathBuf, InodeId)>,
}

/// Device and inode number. While the socket is open, no other file gets the same.
type InodeId = (u64, u64);

fn inode(path: &Path) -> io::Result<InodeId> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl ControlSocket {
    /// Listens at `path`, if there is one, on a thread of its own.
    ///
    /// # Errors
    /// System: the path cannot be bound, or no thread be started.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let (open, requests) = mpsc::channel(1);
        let mut own = None;
        if let Some(path) = path {
            let listener = ControlListener::listen(path)?;
            own = inode(path).ok().map(|inode| (path.to_owned(), inode));
            let requests = open.clone();
            thread::Builder::new()
                .name("control".into())
                .spawn(move || accept(&listener, &requests))
                .map_err(|error| {
                    Failure::system("cannot start a thread for --control").of("--control").because(error)
                })?;
        }
        Ok(ControlSocket { requests, _open: open, own })
    }

    /// Waits for the next request. Cancel safe.
    pub(super) async fn request(&mut self) -> ControlRequest {
        match self.requests.recv().await {
            Some(request) => request,
            None => unreachable!("`_open` is a sender of this channel"),
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A successor may have bound its own socket there. A failure to remove is harmless: the next server
        // removes a socket that nobody listens on.
        if let Some((path, own)) = &self.own
            && inode(path).is_ok_and(|found| found == *own)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Serves one connection after the other, until the process ends.
fn accept(listener: &ControlListener, requests: &mpsc::Sender<ControlRequest>) {
    if let Err(failure) = privileges::drop_all() {
        tracing::warn!("cannot listen on --control: {failure}");
        return;
    }
    loop {
        let served = listener.accept().and_then(|connection| serve(&connection, requests));
        if let Err(error) = served {
            tracing::warn!("a connection to --control failed: {error}");
            // Lack of memory or descriptors, reported again at once, must not make the thread spin.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn serve(connection: &ControlConnection, requests: &mpsc::Sender<ControlRequest>) -> io::Result<()> {
    match connection.receive()? {
        Some((ControlMessage::TakeOver { version: VERSION }, _)) => hand_over(connection, requests),
        Some((ControlMessage::TakeOver { version }, _)) => {
            let why = format!("it speaks version {VERSION} of the hand-over, and the new server {version}");
            connection.send(&ControlMessage::Refused { why }, &[])
        }
        Some((ControlMessage::Drain, _)) => {
            let time = ask(requests, ControlRequest::Drain)?;
            connection.send(&ControlMessage::Draining { seconds: time.as_secs_f64() }, &[])
        }
        _ => Ok(()),
    }
}

/// Checks that no server listens at `path`.
///
/// # Errors
/// System: one does, or the path cannot be connected to.
pub(super) fn check_free(path: &Path) -> Result<()> {
    match ControlConnection::connect(path)? {
        None => Ok(()),
        Some(_) => Err(Failure::system(format!("another server listens at {} (--control)", path.display()))
            .of_value("--control", path.display())
            .remedy("take over from it with --take-over, or stop it first")),
    }
}

/// `xstun drain`: makes the server that listens at `path` drain. Returns the time until it exits.
///
/// # Errors
/// System: no server listens there, or the connection broke.
pub fn drain(path: &Path) -> Result<Duration> {
    let nobody = || {
        Failure::system(format!("no server listens at {} (--control)", path.display()))
            .of_value("--control", path.display())
            .remedy("start `serve` with the same --control, or send it SIGUSR1 to drain it without")
    };
    let connection = ControlConnection::connect(path)?.ok_or_else(nobody)?;
    let answer = connection.send(&ControlMessage::Drain, &[]).and_then(|()| connection.receive());
    match answer.map_err(|error| broken(path, error))? {
        Some((ControlMessage::Draining { seconds }, _)) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Failure::system(format!("the server at {} did not answer", path.display()))),
    }
}

#[cfg(test)]
mod tests;
