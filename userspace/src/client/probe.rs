//! `xstun probe`: one request, sent as RFC 8489 §6.2 says, and its reply shown.

mod nat;
mod report;
mod result;
mod retransmission;
mod stream;
mod udp;

use super::host_port::{AddressFamily, HostPort};
use super::login::Login;
use super::message::BindingResponse;
use super::{ClientExit, print_message, unspecified};
use crate::cli::ProbeArgs;
use crate::error::{Failure, FailureKind, Result};
use crate::output::{counted, print_to};
use result::{ProbeEnd, ProbeResult};
use std::io::{self, IsTerminal as _, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

/// Longest datagram that can be received, in bytes.
const LONGEST_DATAGRAM: usize = 65_535;

/// The protocol that carries the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeTransport {
    Udp,
    Tcp,
    Tls,
}

impl ProbeTransport {
    fn of(args: &ProbeArgs) -> Self {
        match (args.tcp, args.tls) {
            (_, true) => ProbeTransport::Tls,
            (true, _) => ProbeTransport::Tcp,
            _ => ProbeTransport::Udp,
        }
    }

    /// Returns the name in JSON; text has it in capitals.
    fn name(self) -> &'static str {
        match self {
            ProbeTransport::Udp => "udp",
            ProbeTransport::Tcp => "tcp",
            ProbeTransport::Tls => "tls",
        }
    }
}

/// Sends one request to the server and prints the reply. Returns exit code 0 for a success response, 3
/// for no reply and 4 for an error response or an ICMP error.
///
/// # Errors
/// Usage: invalid flags. System: the name does not resolve, there is no route, or the source cannot be
/// bound.
pub fn run(args: &ProbeArgs) -> Result<ExitCode> {
    let terminal = io::stderr().is_terminal();
    probe(args, &mut io::stdout().lock(), &mut io::stderr(), terminal).map(ExitCode::from)
}

fn probe(args: &ProbeArgs, out: &mut dyn Write, err: &mut dyn Write, terminal: bool) -> Result<ClientExit> {
    let result = match ProbeTransport::of(args) {
        ProbeTransport::Udp if args.nat => nat::run(args, out, err),
        ProbeTransport::Udp => probe_udp(args, out, err, terminal),
        transport => stream::probe(args, transport).and_then(|result| conclude(args, &result, out, err)),
    };
    if let Err(failure) = &result
        && args.json
    {
        let kind = if failure.kind() == FailureKind::Usage { "usage" } else { "system" };
        print_to(out, &report::json_failure(&args.server, kind, &failure.to_string()))?;
    }
    result
}

/// Sends the request over UDP, with the credentials that the flags name.
fn probe_udp(
    args: &ProbeArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    terminal: bool,
) -> Result<ClientExit> {
    let login = Login::from_args(&args.credentials)?;
    let (socket, server) = connect(args)?;
    let result = udp::probe(args, login.as_ref(), &socket, server, terminal.then_some(&mut *err))?;
    conclude(args, &result, out, err)
}

/// Returns the address family that the flags ask for, if any.
fn family(args: &ProbeArgs) -> Result<Option<AddressFamily>> {
    let family = match args.source {
        _ if args.ipv4 => Some(AddressFamily::Ipv4),
        _ if args.ipv6 => Some(AddressFamily::Ipv6),
        Some(source) => Some(AddressFamily::of(&source)),
        None => None,
    };
    if let Some(source) = args.source
        && family != Some(AddressFamily::of(&source))
    {
        return Err(Failure::usage(format!(
            "--source {source} and --{} exclude each other",
            if args.ipv4 { "ipv4" } else { "ipv6" }
        )));
    }
    Ok(family)
}

/// Returns a socket connected to the first of the server's addresses that this host has a route to.
fn connect(args: &ProbeArgs) -> Result<(UdpSocket, SocketAddr)> {
    let addresses = HostPort::parse(&args.server)?.resolve(family(args)?)?;
    let mut refusal = None;
    for server in addresses {
        let socket = bind(args.source.unwrap_or(unspecified(&server)))?;
        match socket.connect(server) {
            Ok(()) => return Ok((socket, server)),
            Err(error) => refusal = Some((server, error)),
        }
    }
    let (server, error) =
        refusal.ok_or_else(|| Failure::system(format!("'{}' has no address", args.server)))?;
    Err(Failure::system(format!("cannot connect to {server}"))
        .because(error)
        .remedy("check the route to it (`ip route get`), or use the other address family (-4, -6)"))
}

fn bind(source: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(source).map_err(|error| {
        Failure::system(format!("cannot bind UDP {source} (--source)"))
            .because(error)
            .remedy("choose an address that `ip address` lists and a free port, or 0 for any")
    })
}

/// Returns the failure `cannot {what} {peer}`.
fn cannot(what: &str, peer: SocketAddr) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("cannot {what} {peer}");
    move |error| Failure::system(what).because(error)
}

/// Prints the result, and returns what it means.
fn conclude(
    args: &ProbeArgs,
    result: &ProbeResult,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ClientExit> {
    let ProbeResult { server, ignored, .. } = result;
    if let Some((number, reason)) = ignored {
        print_message(err, &format!("ignored {} from {server}: {reason}", counted(*number, "message")));
    }
    let (exit, message) = meaning(result);
    let text = if args.json { report::json(result, &message) } else { report::text(result) };
    print_to(out, &text)?;
    if !message.is_empty() {
        print_message(err, &message);
    }
    Ok(exit)
}

/// What the result means, and the message for the operator; empty if the server answered.
fn meaning(result: &ProbeResult) -> (ClientExit, String) {
    let ProbeResult { server, transport, requests_sent, .. } = result;
    match &result.end {
        ProbeEnd::Reply { reply: BindingResponse::Success { .. }, .. } => {
            (ClientExit::Answered, String::new())
        }
        ProbeEnd::Reply { reply: BindingResponse::Error { code, reason, unknown }, .. } => {
            let reason = if reason.is_empty() { default_reason(*code) } else { reason };
            let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            let kinds: Vec<_> = unknown.iter().map(|kind| format!("{kind:#06x}")).collect();
            let unknown = if kinds.is_empty() {
                String::new()
            } else {
                format!("; unknown attributes: {}", kinds.join(", "))
            };
            (ClientExit::Refused, format!("{server} answered with error {code}{reason}{unknown}"))
        }
        ProbeEnd::Silence { waited } => (
            ClientExit::NoAnswer,
            format!(
                "{server} did not answer {} in {} s: no STUN server may listen there, or a firewall drops {}",
                counted((*requests_sent).into(), "request"),
                waited.as_secs_f64(),
                transport.name().to_uppercase()
            ),
        ),
        ProbeEnd::Unreachable(error) if *requests_sent > 0 && *transport != ProbeTransport::Udp => {
            (ClientExit::Refused, format!("{server} accepted the connection but did not answer: {error}"))
        }
        ProbeEnd::Unreachable(error) => (
            ClientExit::Refused,
            format!(
                "{server} is unreachable: {error}; nothing listens there, or a firewall rejects the request"
            ),
        ),
    }
}

/// Returns the default reason phrase of an error code (RFC 8489 §14.8); empty if there is none.
fn default_reason(code: u16) -> &'static str {
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
