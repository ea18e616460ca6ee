//! `xstun probe`: one question, asked as RFC 8489 §6.2.1 says.

mod ask;
mod nat;
mod report;
mod stream;

use super::login::Login;
use super::message::Reply;
use super::server::{Server, Version};
use super::{Ending, count, print, say};
use crate::cli::ProbeArgs;
use crate::error::{Failure, Kind, Result};
use ask::{Asked, End};
use std::io::{self, IsTerminal as _, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

/// What carries the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    fn of(args: &ProbeArgs) -> Self {
        match (args.tcp, args.tls) {
            (_, true) => Transport::Tls,
            (true, _) => Transport::Tcp,
            _ => Transport::Udp,
        }
    }

    /// As JSON has it; in capitals for a person.
    fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// Asks the server once and prints what it said. Gives exit code 0 for an answer, 3 for none and 4
/// for a refusal.
///
/// # Errors
/// Bad usage, and what the system refused: no such name, no route, no such source address.
pub fn run(args: &ProbeArgs) -> Result<ExitCode> {
    let terminal = io::stderr().is_terminal();
    probe(args, &mut io::stdout().lock(), &mut io::stderr(), terminal).map(ExitCode::from)
}

fn probe(args: &ProbeArgs, out: &mut dyn Write, err: &mut dyn Write, terminal: bool) -> Result<Ending> {
    let ended = match Transport::of(args) {
        Transport::Udp if args.nat => nat::run(args, out, err),
        Transport::Udp => question(args, out, err, terminal),
        transport => stream::ask(args, transport).and_then(|asked| tell(args, &asked, out, err)),
    };
    match ended {
        Ok(ending) => Ok(ending),
        Err(failure) => {
            if args.json {
                let kind = if failure.kind() == Kind::Usage { "usage" } else { "system" };
                print(out, &report::json_failure(&args.server, kind, &failure.to_string()))?;
            }
            Err(failure)
        }
    }
}

/// Asks once, as who the flags say.
fn question(args: &ProbeArgs, out: &mut dyn Write, err: &mut dyn Write, terminal: bool) -> Result<Ending> {
    let login = Login::from_args(&args.login)?;
    let (socket, server) = connect(args)?;
    let asked = ask::ask(args, login.as_ref(), &socket, server, terminal.then_some(&mut *err))?;
    tell(args, &asked, out, err)
}

/// The version of IP that the flags leave, if only one.
fn version(args: &ProbeArgs) -> Result<Option<Version>> {
    let version = match args.source {
        _ if args.ipv4 => Some(Version::V4),
        _ if args.ipv6 => Some(Version::V6),
        Some(source) => Some(Version::of(&source)),
        None => None,
    };
    if let Some(source) = args.source
        && version != Some(Version::of(&source))
    {
        return Err(Failure::usage(format!(
            "--source {source} and --{} exclude each other",
            if args.ipv4 { "ipv4" } else { "ipv6" }
        )));
    }
    Ok(version)
}

/// A socket towards the first of the server's addresses that this host has a route to.
fn connect(args: &ProbeArgs) -> Result<(UdpSocket, SocketAddr)> {
    let addresses = Server::parse(&args.server)?.resolve(version(args)?)?;
    let mut refusal = None;
    for server in addresses {
        let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let source = args.source.unwrap_or(any);
        let socket = UdpSocket::bind(source).map_err(|error| {
            Failure::system(format!("cannot bind UDP {source} (--source)"))
                .because(error)
                .remedy("ask from an address that `ip address` lists and a port that is free, or 0 for any")
        })?;
        match socket.connect(server) {
            Ok(()) => return Ok((socket, server)),
            Err(error) => refusal = Some((server, error)),
        }
    }
    let (server, error) =
        refusal.ok_or_else(|| Failure::system(format!("'{}' has no address", args.server)))?;
    Err(Failure::system(format!("cannot ask {server}"))
        .because(error)
        .remedy("check the route to it (`ip route get`), or ask over the other version of IP (-4, -6)"))
}

/// Prints what came of it.
fn tell(args: &ProbeArgs, asked: &Asked, out: &mut dyn Write, err: &mut dyn Write) -> Result<Ending> {
    let Asked { server, ignored, .. } = asked;
    if let Some((number, why)) = ignored {
        say(err, &format!("ignored {} from {server}: {why}", count(*number, "message")));
    }
    let (ending, sentence) = match &asked.end {
        End::Reply { reply: Reply::Success { .. }, .. } => (Ending::Answered, String::new()),
        End::Reply { reply: Reply::Error { code, reason, unknown }, .. } => {
            let reason = if reason.is_empty() { meaning(*code) } else { reason };
            let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            let names: Vec<_> = unknown.iter().map(|name| format!("{name:#06x}")).collect();
            let listed = if names.is_empty() {
                String::new()
            } else {
                format!("; it does not know {}", names.join(", "))
            };
            (Ending::Refused, format!("{server} answered with error {code}{reason}{listed}"))
        }
        End::Silence { waited } => (
            Ending::NoAnswer,
            format!(
                "{server} did not answer {} in {} s: no STUN server may listen there, or a firewall drops {}",
                count(asked.requests_sent.into(), "request"),
                waited.as_secs_f64(),
                asked.transport.name().to_uppercase()
            ),
        ),
        End::Unreachable(error) if asked.requests_sent > 0 && asked.transport != Transport::Udp => {
            (Ending::Refused, format!("{server} took the connection and gave no answer: {error}"))
        }
        End::Unreachable(error) => (
            Ending::Refused,
            format!("{server} is unreachable: {error}; nothing listens there, or a firewall says so"),
        ),
    };
    let text = if args.json { report::json(asked, &sentence) } else { report::text(asked) };
    print(out, &text)?;
    if !sentence.is_empty() {
        say(err, &sentence);
    }
    Ok(ending)
}

/// What an error means whose server saved itself the words (RFC 8489 §14.8).
fn meaning(code: u16) -> &'static str {
    match code {
        300 => "Try Alternate",
        400 => "Bad Request",
        401 => "Unauthenticated",
        420 => "Unknown Attribute",
        438 => "Stale Nonce",
        500 => "Server Error",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
