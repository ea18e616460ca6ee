//! One connection: reads messages and writes replies, in order, until it ends.

use super::admission::ConnectionSlot;
use super::framing::{LONGEST, MessageBuffer, ReceiveBuffer};
use super::stats::CloseReason;
use super::stopping::StopSignal;
use super::transport::ConnectionContext;
use rustix::net::sockopt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, REPLY_ROOM, respond};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a peer has to read what was sent when the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// A connection, apart from its byte stream.
struct Conversation<'a> {
    source: SocketAddr,
    /// Our address, which the client connected to.
    destination: SocketAddr,
    context: &'a ConnectionContext,
    slot: &'a ConnectionSlot,
    stop: StopSignal,
}

/// Serves one connection from `source` to its end.
pub(super) async fn serve(
    mut stream: TcpStream,
    source: SocketAddr,
    context: &ConnectionContext,
    slot: &ConnectionSlot,
    mut stop: StopSignal,
) -> CloseReason {
    let Ok(destination) = stream.local_addr() else { return CloseReason::ByPeer };
    let Some(identity) = &context.identity else {
        let reason = Conversation { source, destination, context, slot, stop }.run(&mut stream).await;
        close(&mut stream, slot, reason).await;
        return reset_if_abrupt(&stream, reason);
    };
    let handshake = timeout(HANDSHAKE, identity.acceptor().accept(stream));
    let mut stream = tokio::select! {
        result = handshake => match result {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return CloseReason::HandshakeFailed,
            Err(_) => return CloseReason::HandshakeLate,
        },
        () = slot.evicted() => return CloseReason::Evicted,
        () = stop.ordered() => return CloseReason::Stopped,
    };
    let reason = Conversation { source, destination, context, slot, stop }.run(&mut stream).await;
    close(&mut stream, slot, reason).await;
    reset_if_abrupt(stream.get_ref().0, reason)
}

impl Conversation<'_> {
    /// Answers every message in order. Complete messages are answered before more is read, so a peer that does
    /// not read its replies is not read from either, and costs two small buffers.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> CloseReason {
        let mut received = ReceiveBuffer::new();
        let mut message: MessageBuffer = [0; LONGEST + REPLY_ROOM];
        // Only a complete message extends it: bytes that drip in do not.
        let mut deadline = Instant::now() + self.context.idle();
        loop {
            while let Some(next) = received.take(&mut message) {
                self.context.stats.messages.received.add(1);
                self.slot.touch();
                deadline = Instant::now() + self.context.idle();
                if let Err(reason) = self.answer(stream, &mut message, next, deadline).await {
                    return reason;
                }
            }
            if self.stop.is_over() {
                return CloseReason::Stopped;
            }
            // Biased: what was received comes before the order to stop.
            let read = tokio::select! {
                biased;
                read = stream.read(received.room()) => read,
                () = sleep_until(deadline) => return CloseReason::Idle,
                () = self.slot.evicted() => return CloseReason::Evicted,
                () = self.stop.last_call() => return CloseReason::Stopped,
            };
            match read {
                Ok(0) => return CloseReason::ByPeer,
                Ok(count) => received.fill(count),
                // Not a TLS record.
                Err(error) if error.kind() == ErrorKind::InvalidData => return CloseReason::Malformed,
                Err(_) => return CloseReason::ByPeer,
            }
        }
    }

    /// Answers and counts the message of this length, or counts why there is none.
    ///
    /// # Errors
    /// The connection must be closed.
    async fn answer<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        message: &mut MessageBuffer,
        length: Result<usize, Outcome>,
        deadline: Instant,
    ) -> Result<(), CloseReason> {
        let stats = &self.context.stats.messages;
        let length = length.map_err(|outcome| {
            stats.count(outcome);
            CloseReason::Malformed
        })?;
        let destination = || self.destination;
        let exchange = match self.context.identity {
            Some(_) => Exchange::tls(&self.source, destination),
            None => Exchange::stream(&self.source, destination),
        };
        let answer = respond(message, length, exchange, &self.context.settings.policy.load());
        if answer.length == 0 {
            stats.count(answer.outcome);
            return if leaves_open(answer.outcome) { Ok(()) } else { Err(CloseReason::Malformed) };
        }
        let sent = tokio::select! {
            biased;
            sent = send(stream, &message[..answer.length]) => sent.map_err(|_| CloseReason::ByPeer),
            () = sleep_until(deadline) => Err(CloseReason::Stalled),
            () = self.slot.evicted() => Err(CloseReason::Evicted),
            () = self.stop.over() => Err(CloseReason::Stalled),
        };
        stats.count(match sent {
            Ok(()) => answer.outcome,
            Err(CloseReason::ByPeer) => Outcome::TransmitFailed,
            Err(_) => Outcome::TransmitFull,
        });
        sent
    }
}

/// Whether a connection stays open after a message without a reply: the message is valid and needs none.
/// After anything else the peer is no STUN client, or out of sync.
fn leaves_open(silence: Outcome) -> bool {
    matches!(silence, Outcome::Indication | Outcome::Response | Outcome::OtherMethod)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, reply: &[u8]) -> io::Result<()> {
    stream.write_all(reply).await?;
    stream.flush().await
}

/// Shuts down the sending side, unless the close is abrupt. The kernel resets a connection that is closed with
/// unread bytes, and the reset overtakes replies in flight. So after a malformed message the rest is read and
/// discarded until the peer closes, at most for [`LINGER`].
async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    slot: &ConnectionSlot,
    reason: CloseReason,
) {
    if is_abrupt(reason) {
        return;
    }
    let shutdown = async {
        let closed = stream.shutdown().await;
        let mut rest = [0; 512];
        while reason == CloseReason::Malformed && closed.is_ok() {
            match stream.read(&mut rest).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    tokio::select! {
        _ = timeout(LINGER, shutdown) => {}
        () = slot.evicted() => {}
    }
}

/// Whether the connection is closed without waiting for the peer: it reads nothing, or its slot is another
/// connection's now.
fn is_abrupt(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Stalled | CloseReason::Evicted)
}

/// Resets an abruptly closed connection, so that the kernel does not retransmit unread replies for minutes.
fn reset_if_abrupt(stream: &TcpStream, reason: CloseReason) -> CloseReason {
    if is_abrupt(reason) {
        reset(stream);
    }
    reason
}

/// Makes the kernel reset the connection when it is dropped, and keep nothing of it.
pub(super) fn reset(stream: impl AsFd) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
