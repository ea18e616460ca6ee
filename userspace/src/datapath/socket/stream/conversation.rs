//! One connection: messages in, replies out, in order, until it ends.

use super::Door;
use super::admission::Place;
use super::framing::{Desk, Inbox, LONGEST};
use super::stats::Ending;
use super::stopping::Stopping;
use crate::outcome::Outcome;
use crate::stun::{Exchange, REPLY_ROOM, respond};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a peer has to take what is still on its way to it when the connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// The two ends of a connection.
struct Ends {
    source: SocketAddr,
    /// Ours, which the client asked.
    asked: SocketAddr,
}

/// Serves one connection from `source` to its end.
pub(super) async fn serve(
    mut stream: TcpStream,
    source: SocketAddr,
    door: &Door,
    place: &Place,
    mut stopping: Stopping,
) -> Ending {
    let Ok(asked) = stream.local_addr() else { return Ending::ByPeer };
    let ends = Ends { source, asked };
    let Some(identity) = &door.identity else {
        let ending = converse(&mut stream, &ends, door, place, &mut stopping).await;
        close(&mut stream, place, ending).await;
        return reset_if_abrupt(&stream, ending);
    };
    let handshake = timeout(HANDSHAKE, identity.acceptor().accept(stream));
    let mut stream = tokio::select! {
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Ending::HandshakeFailed,
            Err(_) => return Ending::HandshakeLate,
        },
        () = place.evicted() => return Ending::Evicted,
        () = stopping.ordered() => return Ending::Stopped,
    };
    let ending = converse(&mut stream, &ends, door, place, &mut stopping).await;
    close(&mut stream, place, ending).await;
    reset_if_abrupt(stream.get_ref().0, ending)
}

/// Answers every message in order. Whole messages that are here are answered before more is read, so
/// a peer that takes no replies is not listened to either, and costs two small buffers.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ends: &Ends,
    door: &Door,
    place: &Place,
    stopping: &mut Stopping,
) -> Ending {
    let mut inbox = Inbox::new();
    let mut desk: Desk = [0; LONGEST + REPLY_ROOM];
    let stats = &door.stats.messages;
    // Only a whole message puts it off: bytes that drip in do not.
    let mut deadline = Instant::now() + door.idle();
    loop {
        while let Some(next) = inbox.take(&mut desk) {
            stats.received.add(1);
            place.speak();
            deadline = Instant::now() + door.idle();
            let length = match next {
                Ok(length) => length,
                Err(outcome) => {
                    stats.count(outcome);
                    return Ending::Malformed;
                }
            };
            let asked = || ends.asked;
            let exchange = match door.identity {
                Some(_) => Exchange::tls(&ends.source, asked),
                None => Exchange::stream(&ends.source, asked),
            };
            let answer = respond(&mut desk, length, exchange, &door.shared.policy.load());
            if answer.length == 0 {
                stats.count(answer.outcome);
                if !leaves_open(answer.outcome) {
                    return Ending::Malformed;
                }
                continue;
            }
            let sent = tokio::select! {
                biased;
                sent = send(stream, &desk[..answer.length]) => sent.map_err(|_| Ending::ByPeer),
                () = sleep_until(deadline) => Err(Ending::Stalled),
                () = place.evicted() => Err(Ending::Evicted),
                () = stopping.over() => Err(Ending::Stalled),
            };
            stats.count(match sent {
                Ok(()) => answer.outcome,
                Err(Ending::ByPeer) => Outcome::TransmitFailed,
                Err(_) => Outcome::TransmitFull,
            });
            if let Err(ending) = sent {
                return ending;
            }
        }
        if stopping.is_over() {
            return Ending::Stopped;
        }
        // What has been received goes before the order to stop.
        let read = tokio::select! {
            biased;
            read = stream.read(inbox.room()) => read,
            () = sleep_until(deadline) => return Ending::Idle,
            () = place.evicted() => return Ending::Evicted,
            () = stopping.last_call() => return Ending::Stopped,
        };
        match read {
            Ok(0) => return Ending::ByPeer,
            Ok(count) => inbox.received(count),
            // TLS records that are none.
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ending::Malformed,
            Err(_) => return Ending::ByPeer,
        }
    }
}

/// Whether a connection goes on after a message that gets no reply: one that is sound but owes none.
/// After anything else its peer is no STUN client, or out of step.
fn leaves_open(silence: Outcome) -> bool {
    matches!(silence, Outcome::Indication | Outcome::Response | Outcome::OtherMethod)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, reply: &[u8]) -> io::Result<()> {
    stream.write_all(reply).await?;
    stream.flush().await
}

/// Closes the sending side, in good order where the peer may still be reading. A connection that is
/// dropped with bytes unread is reset by the kernel, and the reset overtakes replies on their way: so
/// after a malformed message the rest is read and thrown away until the peer closes, or for a moment.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, place: &Place, ending: Ending) {
    if is_abrupt(ending) {
        return;
    }
    let farewell = async {
        let closed = stream.shutdown().await;
        let mut rest = [0; 512];
        while ending == Ending::Malformed && closed.is_ok() {
            match stream.read(&mut rest).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    tokio::select! {
        _ = timeout(FAREWELL, farewell) => {}
        () = place.evicted() => {}
    }
}

/// Whether nothing more is offered to the peer: it takes nothing, or what it held is another's now and
/// must not be held on to.
fn is_abrupt(ending: Ending) -> bool {
    matches!(ending, Ending::Stalled | Ending::Evicted)
}

/// Lets the kernel forget at once what a peer does not take, instead of offering it for minutes.
fn reset_if_abrupt(stream: &TcpStream, ending: Ending) -> Ending {
    if is_abrupt(ending) {
        super::listen::reset(stream);
    }
    ending
}
