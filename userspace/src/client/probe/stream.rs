//! The question over TCP or TLS (RFC 8489 §6.2.2, §6.2.3): sent once, since the stream repeats what is
//! lost.

mod trust;

use super::ask::{Asked, End, is_icmp};
use super::{Transport, version};
use crate::cli::ProbeArgs;
use crate::client::message::{HEADER, Id, LONGEST_REQUEST, read_reply, write_request};
use crate::client::server::Server;
use crate::error::{Failure, Result};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// How long a reply is waited for, the connection's making included (RFC 8489 §6.2.2's Ti).
const TI: Duration = Duration::from_millis(39_500);
/// IANA's port for STUN over TLS (RFC 8489 §18.6).
const STUNS_PORT: u16 = 5349;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Connects to the first of the server's addresses that takes the connection, and asks.
///
/// # Errors
/// Bad usage, what the system refused, and a TLS handshake that fails.
pub(super) fn ask(args: &ProbeArgs, transport: Transport) -> Result<Asked> {
    let server = match transport {
        Transport::Tls => Server::parse_with(&args.server, STUNS_PORT)?,
        _ => Server::parse(&args.server)?,
    };
    let give_up = Instant::now() + args.timeout.unwrap_or(TI);
    let (address, tcp) = match connect(&server.resolve(version(args)?)?, give_up)? {
        Ok(connected) => connected,
        Err((address, error)) => {
            return Ok(unconnected(address, transport, error, args.timeout.unwrap_or(TI)));
        }
    };
    let failed = |what: &'static str| {
        move |error: io::Error| Failure::system(format!("cannot {what} {address}")).because(error)
    };
    let local = tcp.local_addr().map_err(failed("tell the local address towards"))?;
    tcp.set_nodelay(true).map_err(failed("speak to"))?;
    let mut clock = Clock { tcp: tcp.try_clone().map_err(failed("speak to"))?, give_up };
    let mut stream: Box<dyn Stream> = match transport {
        Transport::Tls => Box::new(shake_hands(args, &server.host, address, tcp, &clock)?),
        _ => Box::new(tcp),
    };
    let id = Id::random(args.classic)?;
    let mut request = [0; LONGEST_REQUEST];
    let length = write_request(&mut request, &id, args.fingerprint);
    let sent_at = Instant::now();
    let mut ignored = None;
    let end = loop {
        let sent = if ignored.is_none() {
            stream.write_all(&request[..length]).and_then(|()| stream.flush())
        } else {
            Ok(())
        };
        match sent.and_then(|()| clock.read_message(&mut stream)) {
            Ok(message) => match read_reply(&message, &id) {
                Ok(reply) => break End::Reply { reply, after: sent_at.elapsed() },
                Err(why) => ignored.get_or_insert((0, why)).0 += 1,
            },
            Err(error) if is_late(&error) => break End::Silence { waited: args.timeout.unwrap_or(TI) },
            Err(error) => break End::Unreachable(error),
        }
    };
    Ok(Asked { transport, server: address, local, requests_sent: 1, ignored, end })
}

type Connected = std::result::Result<(SocketAddr, TcpStream), (SocketAddr, io::Error)>;

/// Tries each address; gives the first that takes the connection, or why the last did not.
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
        Some((address, error)) if is_icmp(&error) || is_late(&error) => Ok(Err((address, error))),
        Some((address, error)) => Err(Failure::system(format!("cannot connect to {address}")).because(error)),
        None => Err(Failure::system("the server has no address")),
    }
}

/// How a question ends that could not be asked.
fn unconnected(server: SocketAddr, transport: Transport, error: io::Error, waited: Duration) -> Asked {
    let local = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let end = if is_late(&error) { End::Silence { waited } } else { End::Unreachable(error) };
    Asked { transport, server, local, requests_sent: 0, ignored: None, end }
}

fn shake_hands(
    args: &ProbeArgs,
    host: &str,
    address: SocketAddr,
    tcp: TcpStream,
    clock: &Clock,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = StreamOwned::new(trust::connection(args, host)?, tcp);
    while stream.conn.is_handshaking() {
        clock.wind().and_then(|()| stream.conn.complete_io(&mut stream.sock)).map_err(|error| {
            Failure::system(format!("cannot agree on TLS with {address} as {host}")).because(error).remedy(
                "--ca FILE trusts a certificate that the system does not know, --insecure asks without trust",
            )
        })?;
    }
    Ok(stream)
}

/// The one wait of a question, shared out among its reads.
struct Clock {
    tcp: TcpStream,
    give_up: Instant,
}

impl Clock {
    /// Lets the next read and write wait for as long as is left.
    fn wind(&self) -> io::Result<()> {
        let left = self.give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.tcp.set_read_timeout(Some(left))?;
        self.tcp.set_write_timeout(Some(left))
    }

    /// Reads one message, as long as its length field says.
    fn read_message(&mut self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut message = vec![0; HEADER];
        let mut filled = 0;
        loop {
            while filled < message.len() {
                self.wind()?;
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
    io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection without a reply")
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests;
