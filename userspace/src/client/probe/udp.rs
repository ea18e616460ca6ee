//! One transaction over UDP, repeated if the server challenges the client.

use super::result::{ProbeEnd, ProbeResult};
use super::retransmission::{NextAction, Retransmissions};
use super::{LONGEST_DATAGRAM, ProbeTransport, cannot};
use crate::cli::ProbeArgs;
use crate::client::login::{AuthChallenge, Login, ProbeRequest};
use crate::client::message::{BindingResponse, TransactionId, parse_response};
use crate::client::print_message;
use crate::error::Result;
use crate::output::counted;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// Unanswered requests after which the client prints that it still waits.
const REQUESTS_BEFORE_NOTICE: u32 = 3;

/// The errnos by which Linux reports an ICMP error on a connected socket.
const ICMP_ERRORS: [i32; 7] = [
    libc::ECONNREFUSED,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::ENONET,
    libc::EACCES,
];

/// Sends a request over `socket`, which is connected to `server`; and another for each challenge that
/// `login` can answer. Prints to `notice` when the server takes long.
///
/// # Errors
/// System: the kernel refuses to send or to receive, for another reason than an ICMP error.
pub(super) fn probe(
    args: &ProbeArgs,
    login: Option<&Login>,
    socket: &UdpSocket,
    server: SocketAddr,
    mut notice: Option<&mut dyn Write>,
) -> Result<ProbeResult> {
    let id = TransactionId::random(args.classic)?;
    let mut request = match login {
        Some(login) => login.first_request(id, args.fingerprint),
        None => ProbeRequest::unauthenticated(id, args.fingerprint),
    };
    let mut was_stale = false;
    loop {
        let (mut result, reply) = transact(args, &request, socket, server, &mut notice)?;
        let Some(login) = login else { return Ok(result) };
        match AuthChallenge::parse(&reply) {
            // A refused password is not sent again, and a stale nonce is replaced once.
            Ok(Some(challenge)) if !request.is_authenticated() || challenge.code == 438 && !was_stale => {
                was_stale |= challenge.code == 438;
                let id = TransactionId::random(false)?;
                request = login.authenticated_request(&challenge, id, args.fingerprint);
            }
            Ok(_) => return Ok(result),
            Err(reason) => {
                result.ignored.get_or_insert((0, reason)).0 += 1;
                return Ok(result);
            }
        }
    }
}

/// Runs one transaction. Returns the bytes of the reply too; empty if there is none.
fn transact(
    args: &ProbeArgs,
    request: &ProbeRequest,
    socket: &UdpSocket,
    server: SocketAddr,
    notice: &mut Option<&mut dyn Write>,
) -> Result<(ProbeResult, Vec<u8>)> {
    let local = socket.local_addr().map_err(cannot("get the local address towards", server))?;
    let schedule = Retransmissions::new(args.timeout);
    let (mut requests_sent, mut ignored) = (0, None);
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    let mut reply_length = 0;

    let start = Instant::now();
    let mut sent_at = start;
    let end = loop {
        let elapsed = start.elapsed();
        match schedule.next(requests_sent, elapsed) {
            NextAction::GiveUp => break ProbeEnd::Silence { waited: schedule.give_up },
            NextAction::Send => {
                sent_at = Instant::now();
                match socket.send(&request.bytes) {
                    Err(error) if is_icmp(&error) => break ProbeEnd::Unreachable(error),
                    Err(error) if !is_transient(&error) => return Err(cannot("send to", server)(error)),
                    _ => requests_sent += 1,
                }
                if let Some(err) = notice.as_mut().filter(|_| requests_sent == REQUESTS_BEFORE_NOTICE + 1) {
                    let left = counted((schedule.give_up - elapsed).as_secs(), "second");
                    print_message(*err, &format!("no answer from {server} yet; waiting up to {left} more"));
                }
            }
            NextAction::Wait(time) => {
                socket.set_read_timeout(Some(time)).map_err(cannot("wait for", server))?;
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        let after = sent_at.elapsed();
                        match parse(request, &buffer[..length]) {
                            Ok(reply) => {
                                reply_length = length;
                                break ProbeEnd::Reply { reply, after };
                            }
                            Err(reason) => ignored.get_or_insert((0, reason)).0 += 1,
                        }
                    }
                    Err(error) if is_icmp(&error) => break ProbeEnd::Unreachable(error),
                    Err(error) if is_transient(&error) => {}
                    Err(error) => return Err(cannot("receive from", server)(error)),
                }
            }
        }
    };
    buffer.truncate(reply_length);
    let transport = ProbeTransport::Udp;
    Ok((ProbeResult { transport, server, local, requests_sent, ignored, end }, buffer))
}

/// Parses a reply. A success response to an authenticated request must be authenticated too (RFC 8489
/// §9.1.4, §9.2.5). Error responses are accepted in any case: the operator wants to see them.
fn parse(request: &ProbeRequest, bytes: &[u8]) -> Result<BindingResponse, &'static str> {
    let reply = parse_response(bytes, &request.id)?;
    match reply {
        BindingResponse::Success { .. } if !request.authenticates(bytes) => {
            Err("not authenticated with the password, so any host may have sent it")
        }
        reply => Ok(reply),
    }
}

/// Whether the errno reports an ICMP error.
pub(super) fn is_icmp(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| ICMP_ERRORS.contains(&errno))
}

/// Whether the wait timed out, a signal arrived, or the interface's queue is full. The next request tries
/// again.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS))
}
