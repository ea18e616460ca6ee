//! `xstun probe --nat`: how a NAT on the way maps and filters, by the tests of RFC 5780 §4.

mod question;
mod report;

use super::ask::timetable;
use super::{Ending, connect, print, say};
use crate::cli::ProbeArgs;
use crate::client::message::{Change, Reply};
use crate::error::{Failure, Result};
use question::{Answered, Question};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a reply is waited for where there may rightly be none: three requests, the last with
/// twice the wait of the one before.
const PATIENCE: Duration = Duration::from_millis(3500);

/// How far something depends on the peer (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dependence {
    /// Not at all.
    Endpoint,
    /// On the peer's address.
    Address,
    /// On the peer's address and port.
    AddressAndPort,
}

/// What one of the behaviours turned out to be, or why that could not be told.
type Behaviour = Result<Dependence, String>;

/// What was found out.
#[derive(Debug)]
struct Findings {
    server: SocketAddr,
    other: SocketAddr,
    local: SocketAddr,
    mapped: SocketAddr,
    mapping: Behaviour,
    filtering: Behaviour,
    /// Whether the NAT gives the client its own datagrams back that go to its mapped address; not asked
    /// where there is no NAT.
    hairpinning: Option<bool>,
}

impl Findings {
    fn behind_nat(&self) -> bool {
        !same(&self.local, &self.mapped)
    }
}

/// Why nothing was found out.
#[derive(Debug)]
struct Obstacle {
    server: SocketAddr,
    ending: Ending,
    kind: &'static str,
    sentence: String,
}

/// Runs the tests and prints what they tell.
///
/// # Errors
/// Bad usage, and what the system refused.
pub(super) fn run(args: &ProbeArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<Ending> {
    let found = find_out(args)?;
    let text = if args.json { report::json(&found) } else { report::text(&found) };
    print(out, &text)?;
    Ok(match found {
        Err(obstacle) => {
            say(err, &obstacle.sentence);
            obstacle.ending
        }
        Ok(findings) if findings.mapping.is_err() || findings.filtering.is_err() => Ending::NoAnswer,
        Ok(_) => Ending::Answered,
    })
}

fn find_out(args: &ProbeArgs) -> Result<Result<Findings, Obstacle>> {
    let (routed, server) = connect(args)?;
    let local = routed.local_addr().map_err(failed("tell the local address towards", server))?;
    drop(routed);
    let port = args.source.map_or(0, |source| source.port());
    let asking = Asking { server, timeout: args.timeout };
    // The tests of mapping and those of filtering have a port each: what one of them lets in or out
    // must not be what the other finds (RFC 5780 §4.1).
    let mapping_socket = bind(SocketAddr::new(local.ip(), port))?;
    let filtering_socket = bind(SocketAddr::new(local.ip(), 0))?;
    let local = mapping_socket.local_addr().map_err(failed("tell the local address towards", server))?;

    let first = asking.patiently(&mapping_socket, server)?;
    let (mapped, other) = match first {
        Some(Answered { reply: Reply::Success { mapped, other_address: Some(other), .. }, .. }) => {
            (mapped, other)
        }
        first => return Ok(Err(obstacle(server, first))),
    };
    let mapping = asking.mapping(&mapping_socket, mapped, other, same(&local, &mapped))?;
    let filtering = asking.filtering(&filtering_socket)?;
    let hairpinning = match same(&local, &mapped) {
        true => None,
        false => Some(asking.hairpinning(&filtering_socket, &mapping_socket, mapped)?),
    };
    Ok(Ok(Findings { server, other, local, mapped, mapping, filtering, hairpinning }))
}

/// Why the first test leaves nothing to go on with.
fn obstacle(server: SocketAddr, first: Option<Answered>) -> Obstacle {
    let (ending, kind, sentence) = match first.map(|answered| answered.reply) {
        None => (Ending::NoAnswer, "no_answer", format!("{server} did not answer")),
        Some(Reply::Error { code, .. }) => {
            (Ending::Refused, "stun_error", format!("{server} answered with error {code}"))
        }
        Some(Reply::Success { mapped, .. }) => (
            Ending::Refused,
            "no_other_address",
            format!(
                "{server} tells the mapped address {mapped}, but no OTHER-ADDRESS: it does not offer NAT behaviour \
                 discovery (RFC 5780), which takes a server with two addresses"
            ),
        ),
    };
    Obstacle { server, ending, kind, sentence }
}

/// The tests, and what they have in common.
struct Asking {
    server: SocketAddr,
    timeout: Option<Duration>,
}

impl Asking {
    /// RFC 5780 §4.3, tests II and III.
    fn mapping(
        &self,
        socket: &UdpSocket,
        first: SocketAddr,
        other: SocketAddr,
        no_nat: bool,
    ) -> Result<Behaviour> {
        if no_nat {
            return Ok(Ok(Dependence::Endpoint));
        }
        let second = match self.mapped(socket, SocketAddr::new(other.ip(), self.server.port()))? {
            Ok(second) if second == first => return Ok(Ok(Dependence::Endpoint)),
            Ok(second) => second,
            Err(why) => return Ok(Err(why)),
        };
        Ok(self.mapped(socket, other)?.map(|third| match third == second {
            true => Dependence::Address,
            false => Dependence::AddressAndPort,
        }))
    }

    fn mapped(&self, socket: &UdpSocket, to: SocketAddr) -> Result<Result<SocketAddr, String>> {
        Ok(match self.patiently(socket, to)? {
            Some(Answered { reply: Reply::Success { mapped, .. }, .. }) => Ok(mapped),
            Some(Answered { reply: Reply::Error { code, .. }, .. }) => {
                Err(format!("{to} answered with error {code}"))
            }
            None => Err(format!("{to}, the server's other address, did not answer")),
        })
    }

    /// RFC 5780 §4.4, tests I to III.
    fn filtering(&self, socket: &UdpSocket) -> Result<Behaviour> {
        let Some(_) = self.patiently(socket, self.server)? else {
            return Ok(Err(format!("{} did not answer once more", self.server)));
        };
        let tests = [
            (Change { address: true, port: true }, Dependence::Endpoint),
            (Change { address: false, port: true }, Dependence::Address),
        ];
        for (change, dependence) in tests {
            let question = Question { to: self.server, change };
            let (due, give_up) = timetable(Some(self.timeout.unwrap_or(PATIENCE)));
            match question.ask(socket, &due, give_up)? {
                None => {}
                Some(Answered { reply: Reply::Error { code, .. }, .. }) => {
                    return Ok(Err(format!(
                        "{} refused to answer from elsewhere, with error {code}",
                        self.server
                    )));
                }
                Some(Answered { from, .. }) if change.is_between(&self.server, &from) => {
                    return Ok(Ok(dependence));
                }
                Some(Answered { from, .. }) => {
                    return Ok(Err(format!(
                        "{} was to answer from elsewhere, and {from} answered",
                        self.server
                    )));
                }
            }
        }
        Ok(Ok(Dependence::AddressAndPort))
    }

    /// RFC 4787 §6: whether what `sender` sends to the mapped address of `receiver` arrives there.
    fn hairpinning(&self, sender: &UdpSocket, receiver: &UdpSocket, mapped: SocketAddr) -> Result<bool> {
        let (due, give_up) = timetable(Some(self.timeout.unwrap_or(PATIENCE)));
        let question = Question { to: mapped, change: Change::default() };
        question.arrives(sender, receiver, &due, give_up)
    }

    fn patiently(&self, socket: &UdpSocket, to: SocketAddr) -> Result<Option<Answered>> {
        let (due, give_up) = timetable(self.timeout);
        let question = Question { to, change: Change::default() };
        Ok(question.ask(socket, &due, give_up)?.filter(|answered| same(&answered.from, &to)))
    }
}

fn bind(source: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(source).map_err(|error| {
        Failure::system(format!("cannot bind UDP {source} (--source)"))
            .because(error)
            .remedy("choose a port that is free")
    })
}

fn failed(what: &str, whom: SocketAddr) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("cannot {what} {whom}");
    move |error| Failure::system(what).because(error)
}

/// Whether two addresses are the same but for flow label and scope.
fn same(one: &SocketAddr, other: &SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

#[cfg(test)]
mod tests;
