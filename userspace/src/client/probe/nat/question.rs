//! One question on a socket that takes a reply from anywhere.

use super::failed;
use crate::client::message::{
    Change, Id, LONGEST_REQUEST, Reply, is_request, read_reply, write_change_request,
};
use crate::error::Result;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A Binding request, to whom, and what it asks for beside the mapped address.
pub(super) struct Question {
    pub(super) to: SocketAddr,
    pub(super) change: Change,
}

/// A reply and where it came from.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) from: SocketAddr,
}

impl Question {
    /// Asks at the times `due`, from the start on, and gives the first reply; `None` if there is none
    /// until `give_up`.
    ///
    /// # Errors
    /// What the system refused, other than what came from the network.
    pub(super) fn ask(
        &self,
        socket: &UdpSocket,
        due: &[Duration],
        give_up: Duration,
    ) -> Result<Option<Answered>> {
        self.wait(socket, socket, due, give_up, |bytes, id, from| {
            read_reply(bytes, id).ok().map(|reply| Answered { reply, from })
        })
    }

    /// Whether the request itself arrives at `receiver`.
    ///
    /// # Errors
    /// As [`Question::ask`].
    pub(super) fn arrives(
        &self,
        sender: &UdpSocket,
        receiver: &UdpSocket,
        due: &[Duration],
        give_up: Duration,
    ) -> Result<bool> {
        let arrived =
            self.wait(sender, receiver, due, give_up, |bytes, id, _| is_request(bytes, id).then_some(()))?;
        Ok(arrived.is_some())
    }

    fn wait<T>(
        &self,
        sender: &UdpSocket,
        receiver: &UdpSocket,
        due: &[Duration],
        give_up: Duration,
        read: impl Fn(&[u8], &Id, SocketAddr) -> Option<T>,
    ) -> Result<Option<T>> {
        let id = Id::random(false)?;
        let mut request = [0; LONGEST_REQUEST];
        let length = write_change_request(&mut request, &id, self.change);
        let mut buffer = vec![0; 65_536];
        let (start, mut sent) = (Instant::now(), 0);
        loop {
            let now = start.elapsed();
            if now >= give_up {
                return Ok(None);
            }
            let next = due.get(sent).copied().unwrap_or(give_up);
            if now >= next {
                sent += 1;
                // Where it goes to is mostly what the network told: that it cannot be sent there is an
                // answer, and the silence that follows says it.
                let _ = sender.send_to(&request[..length], self.to);
                continue;
            }
            let wait = next.min(give_up) - now;
            receiver.set_read_timeout(Some(wait)).map_err(failed("wait for", self.to))?;
            match receiver.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    if let Some(result) = read(&buffer[..length], &id, from) {
                        return Ok(Some(result));
                    }
                }
                Err(error) if may_pass(error.kind()) => {}
                Err(error) => return Err(failed("receive from", self.to)(error)),
            }
        }
    }
}

/// The wait is over, a signal came, or the network said no to an earlier request.
fn may_pass(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}
