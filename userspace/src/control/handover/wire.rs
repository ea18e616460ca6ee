//! The control socket: packets of one JSON object each, with descriptors beside it.

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

/// Another than this is refused: its packets mean something else.
pub(super) const VERSION: u32 = 2;
/// Descriptors in one packet; the kernel takes 253.
pub(super) const MOST_DESCRIPTORS: usize = 128;
/// Longest packet, in bytes.
const LONGEST: usize = 4096;
/// How long the other side may be silent, unless it is waited for; see [`Wire::be_patient`]. It may have
/// threads to join and queues to wait for.
const SILENCE: Duration = Duration::from_secs(30);

/// What the two sides say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Message {
    /// New to old: hand over all that you serve with.
    TakeOver { version: u32 },
    /// Old to new: no.
    Refused { why: String },
    /// Old to new, with descriptors: UDP sockets of one address; there may be more.
    Udp { address: SocketAddr },
    /// Old to new, with one descriptor.
    Listener { name: String, address: SocketAddr },
    /// Old to new, with one descriptor.
    Link { interface: String, index: u32, native: bool, napi: Option<NapiSettings> },
    /// Old to new: that is all.
    Complete,
    /// New to old: my program runs on this interface; let go of its queues.
    Release { index: u32 },
    /// Old to new: done.
    Released,
    /// New to old: I serve; end.
    Done,
    /// Old to new: so I do.
    Ending,
    /// `xstun drain` to a server.
    Drain,
    /// The server to `xstun drain`.
    Draining { seconds: f64 },
}

/// One connection over the control socket.
#[derive(Debug)]
pub(super) struct Wire(OwnedFd);

impl Wire {
    /// Connects to the server that listens at `path`; `None` if nobody does.
    ///
    /// # Errors
    /// The path is no such socket, or not for this user.
    pub(super) fn connect(path: &Path) -> Result<Option<Self>> {
        let failed = |error: io::Error| {
            let failure = Failure::system(format!("cannot connect to {} (--control)", path.display()));
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            let failure = failure.because(error);
            if denied { failure.remedy("run it as the user that the server runs as") } else { failure }
        };
        let socket = socket().map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        match connect(&socket, &address) {
            Ok(()) => Ok(Some(Wire::over(socket).map_err(failed)?)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn over(socket: OwnedFd) -> io::Result<Self> {
        for direction in [Timeout::Recv, Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, Some(SILENCE))?;
        }
        Ok(Wire(socket))
    }

    /// Lets the other side be silent for as long as it lives: its death closes the connection.
    ///
    /// # Errors
    /// setsockopt(2) failed.
    pub(super) fn be_patient(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.0, Timeout::Recv, None)?)
    }

    /// How long the other side may be silent.
    #[cfg(test)]
    pub(super) fn silence(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_timeout(&self.0, Timeout::Recv)?)
    }

    /// Sends one message with these descriptors, at most [`MOST_DESCRIPTORS`].
    ///
    /// # Errors
    /// The other side is gone, or silent for too long.
    pub(super) fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one packet"));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message and its descriptors. `None` at the end of the connection.
    ///
    /// # Errors
    /// The other side is silent for too long, or says what cannot be understood.
    pub(super) fn receive(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
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
                "a packet was cut: this process may open too few files (`ulimit -n`)",
            ));
        }
        let message = serde_json::from_slice(bytes.get(..received.bytes).unwrap_or_default())?;
        Ok(Some((message, descriptors)))
    }
}

/// A control socket that is listened on.
#[derive(Debug)]
pub(super) struct Post(OwnedFd);

impl Post {
    /// Listens at `path`, for this user only. What a server left there that is gone is removed.
    ///
    /// # Errors
    /// The path cannot be bound.
    pub(super) fn listen(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            Failure::system(format!("cannot listen at {} (--control)", path.display())).because(error)
        };
        // Nothing but a socket is removed: the path may be a slip of the hand.
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let socket = socket().map_err(failed)?;
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        bind(&socket, &address).map_err(|errno| {
            failed(errno.into()).remedy("its directory must be there, and be this user's")
        })?;
        // Before anybody can connect: that takes a listener.
        let private = Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(failed)?;
        listen(&socket, 4).map_err(|errno| failed(errno.into()))?;
        Ok(Post(socket))
    }

    /// Waits for the next who connects.
    ///
    /// # Errors
    /// accept(2) failed.
    pub(super) fn accept(&self) -> io::Result<Wire> {
        Wire::over(accept_with(&self.0, SocketFlags::CLOEXEC)?)
    }
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use super::{Message, Post, VERSION, Wire};
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn messages_and_descriptors_cross_the_socket_which_is_this_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        assert!(Wire::connect(&path).unwrap().is_none(), "nobody listens");
        std::fs::write(&path, "of another program").unwrap();
        assert!(Post::listen(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        drop(Post::listen(&path).unwrap());
        let post = Post::listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let new = Wire::connect(&path).unwrap().unwrap();
        let old = post.accept().unwrap();
        new.send(&Message::TakeOver { version: VERSION }, &[]).unwrap();
        assert_eq!(old.receive().unwrap().unwrap().0, Message::TakeOver { version: VERSION });

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let message = Message::Listener { name: "tcp".into(), address };
        old.send(&message, &[listener.as_fd(), listener.as_fd()]).unwrap();
        drop((old, listener));
        let (received, mut descriptors) = new.receive().unwrap().unwrap();
        assert_eq!((received, descriptors.len()), (message, 2));
        let listener = TcpListener::from(descriptors.pop().unwrap());
        TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        assert_eq!(listener.accept().unwrap().0.read(&mut [0; 9]).unwrap(), 1);
        assert!(new.receive().unwrap().is_none(), "the end");

        drop(post);
        assert!(Wire::connect(&path).unwrap().is_none(), "a server that is gone");
    }
}
