//! The question and the wait for its answer.

use super::Transport;
use crate::cli::ProbeArgs;
use crate::client::login::{Challenge, Login, Question};
use crate::client::message::{Id, Reply, read_reply};
use crate::client::{count, say};
use crate::error::{Failure, Result};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Retransmission timeout (RFC 8489 §6.2.1): the wait after the first request, doubled after each.
const RTO: Duration = Duration::from_millis(500);
/// Requests sent in all.
const RC: u32 = 7;
/// The wait after the last request, in RTOs.
const RM: u32 = 16;
/// Requests without answer after which a person is told.
const PATIENCE: u32 = 3;

/// The errnos in which Linux gives an ICMP error to a connected socket.
const ICMP_ERRORS: [i32; 7] = [
    libc::ECONNREFUSED,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::ENONET,
    libc::EACCES,
];

/// A question, and how it ended.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) transport: Transport,
    pub(super) server: SocketAddr,
    /// Unspecified where no connection came about.
    pub(super) local: SocketAddr,
    pub(super) requests_sent: u32,
    /// How many messages were no reply to it, and what was wrong with the first.
    pub(super) ignored: Option<(u64, &'static str)>,
    pub(super) end: End,
}

/// How a question ends.
#[derive(Debug)]
pub(super) enum End {
    /// With a reply, this long after the latest request.
    Reply { reply: Reply, after: Duration },
    /// Without.
    Silence { waited: Duration },
    /// With an ICMP error.
    Unreachable(io::Error),
}

/// Asks `server` over the connected `socket`, and once more for each challenge that `login` can meet.
/// `notice` is told when it takes long.
///
/// # Errors
/// What the system refused, other than what came from the network.
pub(super) fn ask(
    args: &ProbeArgs,
    login: Option<&Login>,
    socket: &UdpSocket,
    server: SocketAddr,
    mut notice: Option<&mut dyn Write>,
) -> Result<Asked> {
    let id = Id::random(args.classic)?;
    let mut question = match login {
        Some(login) => login.first(id, args.fingerprint),
        None => Question::plain(id, args.fingerprint),
    };
    let mut stale = false;
    loop {
        let (mut asked, reply) = transact(args, &question, socket, server, &mut notice)?;
        let Some(login) = login else { return Ok(asked) };
        match Challenge::read(&reply) {
            // A password that was refused is not tried again, and a second new nonce is one too many.
            Ok(Some(challenge)) if !question.is_signed() || challenge.code == 438 && !stale => {
                stale |= challenge.code == 438;
                question = login.meet(&challenge, Id::random(false)?, args.fingerprint);
            }
            Ok(_) => return Ok(asked),
            Err(why) => {
                asked.ignored.get_or_insert((0, why)).0 += 1;
                return Ok(asked);
            }
        }
    }
}

/// Asks one question, and gives the bytes of the reply too: none where there is no reply.
fn transact(
    args: &ProbeArgs,
    question: &Question,
    socket: &UdpSocket,
    server: SocketAddr,
    notice: &mut Option<&mut dyn Write>,
) -> Result<(Asked, Vec<u8>)> {
    let failed = |what: &str| {
        let what = format!("cannot {what} {server}");
        move |error: io::Error| Failure::system(what).because(error)
    };
    let local = socket.local_addr().map_err(failed("tell the local address towards"))?;
    let (due, give_up) = timetable(args.timeout);
    let (mut requests_sent, mut ignored) = (0, None);
    let mut buffer = vec![0; 65_536];

    let start = Instant::now();
    let mut sent_at = start;
    let end = loop {
        let now = start.elapsed();
        if now >= give_up {
            break End::Silence { waited: give_up };
        }
        let next = due.get(requests_sent as usize).copied().unwrap_or(give_up);
        if now >= next {
            sent_at = Instant::now();
            match socket.send(&question.bytes) {
                Ok(_) => {}
                Err(error) if is_icmp(&error) => break End::Unreachable(error),
                Err(error) if may_pass(&error) => {}
                Err(error) => return Err(failed("send to")(error)),
            }
            requests_sent += 1;
            if let Some(err) = notice.as_mut().filter(|_| requests_sent == PATIENCE + 1) {
                let left = count((give_up - now).as_secs(), "second");
                say(*err, &format!("no answer from {server} yet; asking for up to {left} more"));
            }
            continue;
        }
        socket.set_read_timeout(Some(next.min(give_up) - now)).map_err(failed("wait for"))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let after = sent_at.elapsed();
                match read(question, &buffer[..length]) {
                    Ok(reply) => {
                        buffer.truncate(length);
                        break End::Reply { reply, after };
                    }
                    Err(why) => ignored.get_or_insert((0, why)).0 += 1,
                }
            }
            Err(error) if is_icmp(&error) => break End::Unreachable(error),
            Err(error) if may_pass(&error) => {}
            Err(error) => return Err(failed("receive from")(error)),
        }
    };
    if !matches!(end, End::Reply { .. }) {
        buffer.clear();
    }
    Ok((Asked { transport: Transport::Udp, server, local, requests_sent, ignored, end }, buffer))
}

/// Reads a reply. A success response to a signed question must be signed too (RFC 8489 §9.1.4, §9.2.5); an
/// error response is taken as it is, since this is a tool to see what a server says.
fn read(question: &Question, bytes: &[u8]) -> Result<Reply, &'static str> {
    let reply = read_reply(bytes, &question.id)?;
    match reply {
        Reply::Success { .. } if !question.is_answered_by(bytes) => {
            Err("it is not signed with the password, so anybody may have sent it")
        }
        reply => Ok(reply),
    }
}

/// When each request is due and when to give up, from the start on (RFC 8489 §6.2.1).
pub(super) fn timetable(timeout: Option<Duration>) -> (Vec<Duration>, Duration) {
    let mut due: Vec<_> = (0..RC).map(|doublings| RTO * ((1 << doublings) - 1)).collect();
    let give_up = timeout.unwrap_or(due[due.len() - 1] + RTO * RM);
    due.retain(|due| *due < give_up);
    (due, give_up)
}

pub(super) fn is_icmp(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| ICMP_ERRORS.contains(&errno))
}

/// The wait is over, a signal came, or the interface's queue is full: the next request tries again.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS))
}
