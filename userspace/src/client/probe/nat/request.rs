//! One transaction on a socket that accepts a reply from any address.

use super::super::retransmission::{NextAction, Retransmissions};
use super::super::{LONGEST_DATAGRAM, cannot};
use crate::client::message::{
    BindingResponse, ChangeFlags, TransactionId, change_request, is_request, parse_response,
};
use crate::error::Result;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// A Binding request: its destination, and its CHANGE-REQUEST.
pub(super) struct DiscoveryRequest {
    pub(super) to: SocketAddr,
    pub(super) change: ChangeFlags,
}

/// A reply and its source.
#[derive(Debug)]
pub(super) struct DiscoveryReply {
    pub(super) reply: BindingResponse,
    pub(super) from: SocketAddr,
}

impl DiscoveryRequest {
    /// Sends the request by `schedule`, and returns the first reply; `None` if there is none in time.
    ///
    /// # Errors
    /// System: the kernel refuses to receive, for another reason than an ICMP error.
    pub(super) fn send(
        &self,
        socket: &UdpSocket,
        schedule: &Retransmissions,
    ) -> Result<Option<DiscoveryReply>> {
        self.transact(socket, socket, schedule, |bytes, id, from| {
            parse_response(bytes, id).ok().map(|reply| DiscoveryReply { reply, from })
        })
    }

    /// Sends the request by `schedule`, and returns whether the request itself arrives at `receiver`.
    ///
    /// # Errors
    /// As [`DiscoveryRequest::send`].
    pub(super) fn arrives(
        &self,
        sender: &UdpSocket,
        receiver: &UdpSocket,
        schedule: &Retransmissions,
    ) -> Result<bool> {
        let arrived =
            self.transact(sender, receiver, schedule, |bytes, id, _| is_request(bytes, id).then_some(()))?;
        Ok(arrived.is_some())
    }

    fn transact<T>(
        &self,
        sender: &UdpSocket,
        receiver: &UdpSocket,
        schedule: &Retransmissions,
        parse: impl Fn(&[u8], &TransactionId, SocketAddr) -> Option<T>,
    ) -> Result<Option<T>> {
        let id = TransactionId::random(false)?;
        let request = change_request(&id, self.change);
        let mut buffer = vec![0; LONGEST_DATAGRAM];
        let (start, mut sent) = (Instant::now(), 0);
        loop {
            match schedule.next(sent, start.elapsed()) {
                NextAction::GiveUp => return Ok(None),
                NextAction::Send => {
                    sent += 1;
                    // The network supplied most destinations. One that cannot be sent to does not
                    // answer either, so the silence that follows reports it.
                    let _ = sender.send_to(&request, self.to);
                }
                NextAction::Wait(time) => {
                    receiver.set_read_timeout(Some(time)).map_err(cannot("wait for", self.to))?;
                    match receiver.recv_from(&mut buffer) {
                        Ok((length, from)) => {
                            if let Some(result) = parse(&buffer[..length], &id, from) {
                                return Ok(Some(result));
                            }
                        }
                        Err(error) if is_transient(error.kind()) => {}
                        Err(error) => return Err(cannot("receive from", self.to)(error)),
                    }
                }
            }
        }
    }
}

/// Whether the wait timed out, a signal arrived, or an ICMP error answered an earlier request.
fn is_transient(kind: ErrorKind) -> bool {
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
