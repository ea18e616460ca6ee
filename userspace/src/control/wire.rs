//! The protocol of the control socket: messages of one JSON object each, with file descriptors attached
//! (SCM_RIGHTS).

use crate::error::{Failure, Result};
use crate::interface::NapiSettings;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, sendmsg, socket_with,
};
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

/// Version of the protocol; another one is refused.
pub(super) const VERSION: u32 = 2;
/// Most descriptors in one message; the kernel takes 253.
pub(super) const MOST_DESCRIPTORS: usize = 128;
/// Longest message, in bytes.
const LONGEST: usize = 4096;
/// How long the peer may take to answer: it may have threads to join and queues to wait for. See
/// [`ControlConnection::wait_without_limit`].
const TIMEOUT: Duration = Duration::from_secs(30);

/// A message; the names are those on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum ControlMessage {
    /// Successor to predecessor: hand over everything that you serve with.
    TakeOver { version: u32 },
    /// Predecessor to successor: no.
    Refused { why: String },
    /// Predecessor to successor, with descriptors: UDP sockets of one address; more may follow.
    Udp { address: SocketAddr },
    /// Predecessor to successor, with one descriptor: a TCP listener.
    Listener { name: String, address: SocketAddr },
    /// Predecessor to successor, with one descriptor: the attachment of an XDP program.
    Link { interface: String, index: u32, native: bool, napi: Option<NapiSettings> },
    /// Predecessor to successor: that was everything.
    Complete,
    /// Successor to predecessor: my program runs on this interface; close its queues.
    Release { index: u32 },
    /// Predecessor to successor: the queues are closed.
    Released,
    /// Successor to predecessor: I serve; end.
    Done,
    /// Predecessor to successor: I end.
    Ending,
    /// `xstun drain` to a server.
    Drain,
    /// The server to `xstun drain`.
    Draining { seconds: f64 },
}

/// One connection over the control socket.
#[derive(Debug)]
pub(super) struct ControlConnection(OwnedFd);

impl ControlConnection {
    /// Connects to the server that listens at `path`; `None` if none does.
    ///
    /// # Errors
    /// System: the path is not such a socket, or this user may not connect.
    pub(super) fn connect(path: &Path) -> Result<Option<Self>> {
        let failed = |error: io::Error| {
            let failure = Failure::system(format!("cannot connect to {} (--control)", path.display()))
                .of_value("--control", path.display());
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            let failure = failure.because(error);
            if denied { failure.remedy("run this as the user that the server runs as") } else { failure }
        };
        let socket = socket().map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        match connect(&socket, &address) {
            Ok(()) => Ok(Some(ControlConnection::over(socket).map_err(failed)?)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn over(socket: OwnedFd) -> io::Result<Self> {
        for direction in [Timeout::Recv, Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, Some(TIMEOUT))?;
        }
        Ok(ControlConnection(socket))
    }

    /// Waits for the peer's messages without a limit from here on: its death closes the connection.
    ///
    /// # Errors
    /// setsockopt(2) failed.
    pub(super) fn wait_without_limit(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.0, Timeout::Recv, None)?)
    }

    /// Returns how long the peer may take to answer.
    #[cfg(test)]
    pub(super) fn limit(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_timeout(&self.0, Timeout::Recv)?)
    }

    /// Sends one message with these descriptors, at most [`MOST_DESCRIPTORS`].
    ///
    /// # Errors
    /// The peer is gone, or does not read in time.
    pub(super) fn send(&self, message: &ControlMessage, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message and its descriptors. `None` at the end of the connection.
    ///
    /// # Errors
    /// The peer does not answer in time, or the message is malformed.
    pub(super) fn receive(&self) -> io::Result<Option<(ControlMessage, Vec<OwnedFd>)>> {
        let mut bytes = [0; LONGEST];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
                _ => Vec::new(),
            })
            .collect();
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::other(
                "a message was truncated: raise the limit on open files (`ulimit -n`)",
            ));
        }
        let message = serde_json::from_slice(bytes.get(..received.bytes).unwrap_or_default())?;
        Ok(Some((message, descriptors)))
    }
}

/// A control socket that listens.
#[derive(Debug)]
pub(super) struct ControlListener(OwnedFd);

impl ControlListener {
    /// Listens at `path`, for this user only. A socket that an earlier server left there is removed.
    ///
    /// # Errors
    /// System: the path cannot be bound.
    pub(super) fn listen(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            Failure::system(format!("cannot listen at {} (--control)", path.display()))
                .of_value("--control", path.display())
                .because(error)
        };
        // Only a socket is removed: the path may be a mistake.
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let socket = socket().map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        bind(&socket, &address).map_err(|errno| {
            failed(errno.into()).remedy("its directory must exist and belong to this user")
        })?;
        // Before listen(2), so that nobody can connect meanwhile.
        let private = Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(failed)?;
        listen(&socket, 4).map_err(|errno| failed(errno.into()))?;
        Ok(ControlListener(socket))
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// accept(2) failed.
    pub(super) fn accept(&self) -> io::Result<ControlConnection> {
        ControlConnection::over(accept_with(&self.0, SocketFlags::CLOEXEC)?)
    }
}

/// Returns the failure of a connection to the server at `path`.
pub(super) fn broken(path: &Path, error: io::Error) -> Failure {
    Failure::system(format!("the connection to the server at {} (--control) failed", path.display()))
        .of_value("--control", path.display())
        .because(error)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use super::{ControlConnection, ControlListener, ControlMessage, VERSION};
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn messages_and_descriptors_cross_the_socket_which_is_this_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        assert!(ControlConnection::connect(&path).unwrap().is_none(), "nobody listens");
        std::fs::write(&path, "of another program").unwrap();
        assert!(ControlListener::listen(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        drop(ControlListener::listen(&path).unwrap());
        let control = ControlListener::listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let new = ControlConnection::connect(&path).unwrap().unwrap();
        let old = control.accept().unwrap();
        new.send(&ControlMessage::TakeOver { version: VERSION }, &[]).unwrap();
        assert_eq!(old.receive().unwrap().unwrap().0, ControlMessage::TakeOver { version: VERSION });

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let message = ControlMessage::Listener { name: "tcp".into(), address };
        old.send(&message, &[listener.as_fd(), listener.as_fd()]).unwrap();
        drop((old, listener));
        let (received, mut descriptors) = new.receive().unwrap().unwrap();
        assert_eq!((received, descriptors.len()), (message, 2));
        let listener = TcpListener::from(descriptors.pop().unwrap());
        TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        assert_eq!(listener.accept().unwrap().0.read(&mut [0; 9]).unwrap(), 1);
        assert!(new.receive().unwrap().is_none(), "the end");

        drop(control);
        assert!(ControlConnection::connect(&path).unwrap().is_none(), "a server that is gone");
    }
}
