//! One transaction over TCP or TLS (RFC 8489 §6.2.2, §6.2.3). The request is sent once, because the
//! stream retransmits.

mod trust;

use super::result::{ProbeEnd, ProbeResult};
use super::udp::is_icmp;
use super::{ProbeTransport, cannot, family};
use crate::cli::ProbeArgs;
use crate::client::host_port::HostPort;
use crate::client::message::{HEADER, TransactionId, binding_request, parse_response};
use crate::client::unspecified;
use crate::error::{Failure, Result};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// How long the client waits for connection and reply together (Ti, RFC 8489 §6.2.2).
const TI: Duration = Duration::from_millis(39_500);
/// Port of STUN over TLS (RFC 8489 §18.6).
const STUNS_PORT: u16 = 5349;

trait ByteStream: Read + Write {}
impl<T: Read + Write> ByteStream for T {}

/// Connects to the first of the server's addresses that accepts the connection, and sends one request.
///
/// # Errors
/// Usage: invalid flags. System: no connection for another reason than an ICMP error or the timeout, or
/// the TLS handshake fails.
pub(super) fn probe(args: &ProbeArgs, transport: ProbeTransport) -> Result<ProbeResult> {
    let server = match transport {
        ProbeTransport::Tls => HostPort::parse_with(&args.server, STUNS_PORT)?,
        _ => HostPort::parse(&args.server)?,
    };
    let timeout = args.timeout.unwrap_or(TI);
    let give_up = Instant::now() + timeout;
    let (address, tcp) = match connect(&server.resolve(family(args)?)?, give_up)? {
        Ok(connected) => connected,
        Err((address, error)) => return Ok(unconnected(address, transport, error, timeout)),
    };
    let local = tcp.local_addr().map_err(cannot("get the local address towards", address))?;
    tcp.set_nodelay(true).map_err(cannot("set TCP_NODELAY towards", address))?;
    let deadline =
        Deadline { tcp: tcp.try_clone().map_err(cannot("duplicate the socket towards", address))?, give_up };
    let mut stream: Box<dyn ByteStream> = match transport {
        ProbeTransport::Tls => Box::new(shake_hands(args, &server.host, address, tcp, &deadline)?),
        _ => Box::new(tcp),
    };
    let id = TransactionId::random(args.classic)?;
    let request = binding_request(&id, args.fingerprint);
    let sent_at = Instant::now();
    let mut sent = stream.write_all(&request).and_then(|()| stream.flush());
    let mut ignored = None;
    let end = loop {
        match sent.and_then(|()| deadline.read_message(&mut stream)) {
            Ok(message) => match parse_response(&message, &id) {
                Ok(reply) => break ProbeEnd::Reply { reply, after: sent_at.elapsed() },
                Err(reason) => ignored.get_or_insert((0, reason)).0 += 1,
            },
            Err(error) if is_timeout(&error) => break ProbeEnd::Silence { waited: timeout },
            Err(error) => break ProbeEnd::Unreachable(error),
        }
        sent = Ok(());
    };
    Ok(ProbeResult { transport, server: address, local, requests_sent: 1, ignored, end })
}

type Connected = std::result::Result<(SocketAddr, TcpStream), (SocketAddr, io::Error)>;

/// Tries the addresses in turn. Returns the first connection, or why the last address has none.
fn connect(addresses: &[SocketAddr], give_up: Instant) -> Result<Connected> {
    let mut refusal = None;
    for &address in addresses {
        let left = give_up.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(Ok((address, stream))),
            Err(error) => refusal = Some((address, error)),
        }
    }
    match refusal {
        Some((address, error)) if is_icmp(&error) || is_timeout(&error) => Ok(Err((address, error))),
        Some((address, error)) => Err(cannot("connect to", address)(error)),
        None => Err(Failure::system("the server has no address")),
    }
}

/// The result if no connection was established.
fn unconnected(
    server: SocketAddr,
    transport: ProbeTransport,
    error: io::Error,
    waited: Duration,
) -> ProbeResult {
    let end = if is_timeout(&error) { ProbeEnd::Silence { waited } } else { ProbeEnd::Unreachable(error) };
    ProbeResult { transport, server, local: unspecified(&server), requests_sent: 0, ignored: None, end }
}

fn shake_hands(
    args: &ProbeArgs,
    host: &str,
    address: SocketAddr,
    tcp: TcpStream,
    deadline: &Deadline,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = StreamOwned::new(trust::connection(args, host)?, tcp);
    while stream.conn.is_handshaking() {
        deadline.apply().and_then(|()| stream.conn.complete_io(&mut stream.sock)).map_err(|error| {
            Failure::system(format!("cannot complete the TLS handshake with {address} as {host}")).because(error).remedy(
                "trust the server's certificate with --ca FILE, or accept any certificate with --insecure",
            )
        })?;
    }
    Ok(stream)
}

/// The time at which the client gives up, shared by all reads of a connection.
struct Deadline {
    tcp: TcpStream,
    give_up: Instant,
}

impl Deadline {
    /// Limits the next read and write to the time left.
    fn apply(&self) -> io::Result<()> {
        let left = self.give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.tcp.set_read_timeout(Some(left))?;
        self.tcp.set_write_timeout(Some(left))
    }

    /// Reads one message, as long as its length field says.
    fn read_message(&self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut message = vec![0; HEADER];
        let mut filled = 0;
        loop {
            while filled < message.len() {
                self.apply()?;
                match stream.read(&mut message[filled..]) {
                    Ok(0) => return Err(closed()),
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(closed()),
                    Err(error) => return Err(error),
                }
            }
            let length = HEADER + usize::from(u16::from_be_bytes([message[2], message[3]]));
            if message.len() == length {
                return Ok(message);
            }
            message.resize(length, 0);
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection without a reply")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests;
