//! `xstun probe --nat`: the mapping and filtering behaviour of a NAT in the path, by the tests of RFC
//! 5780 §4.

mod report;
mod request;

use super::retransmission::Retransmissions;
use super::{ClientExit, bind, cannot, connect, print_message};
use crate::cli::ProbeArgs;
use crate::client::is_same_endpoint;
use crate::client::message::{BindingResponse, ChangeFlags};
use crate::error::Result;
use crate::output::print_to;
use request::{DiscoveryReply, DiscoveryRequest};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a test waits whose reply the NAT may filter: three requests, and after the last the doubled
/// wait.
const FILTERED_WAIT: Duration = Duration::from_millis(3500);

/// What a behaviour depends on (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dependence {
    /// Endpoint-independent.
    None,
    /// The peer's address.
    Address,
    /// The peer's address and port.
    AddressAndPort,
}

/// One behaviour of the NAT, or why it is unknown.
type Behaviour = Result<Dependence, String>;

/// What the tests found.
#[derive(Debug)]
struct NatFindings {
    server: SocketAddr,
    other: SocketAddr,
    local: SocketAddr,
    mapped: SocketAddr,
    mapping: Behaviour,
    filtering: Behaviour,
    /// Whether the NAT returns datagrams that the client sends to its own mapped address. Not tested
    /// without a NAT.
    hairpinning: Option<bool>,
}

impl NatFindings {
    fn behind_nat(&self) -> bool {
        !is_same_endpoint(&self.local, &self.mapped)
    }
}

/// Why the first test ended the discovery.
#[derive(Debug)]
struct NoDiscovery {
    server: SocketAddr,
    exit: ClientExit,
    kind: &'static str,
    message: String,
}

/// Runs the tests and prints what they found.
///
/// # Errors
/// Usage: invalid flags. System: the sockets cannot be opened or used.
pub(super) fn run(args: &ProbeArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<ClientExit> {
    let result = discover(args)?;
    let text = if args.json { report::json(&result) } else { report::text(&result) };
    print_to(out, &text)?;
    Ok(match result {
        Err(reason) => {
            print_message(err, &reason.message);
            reason.exit
        }
        Ok(findings) if findings.mapping.is_err() || findings.filtering.is_err() => ClientExit::NoAnswer,
        Ok(_) => ClientExit::Answered,
    })
}

fn discover(args: &ProbeArgs) -> Result<Result<NatFindings, NoDiscovery>> {
    let (routed, server) = connect(args)?;
    let local = routed.local_addr().map_err(cannot("get the local address towards", server))?;
    drop(routed);
    let port = args.source.map_or(0, |source| source.port());
    let tests = DiscoveryTests { server, timeout: args.timeout };
    // The mapping tests and the filtering tests use a port each, so that a mapping or permission made by
    // one of them does not change the result of the other (RFC 5780 §4.1).
    let mapping_socket = bind(SocketAddr::new(local.ip(), port))?;
    let filtering_socket = bind(SocketAddr::new(local.ip(), 0))?;
    let local = mapping_socket.local_addr().map_err(cannot("get the local address towards", server))?;

    let first = tests.request(&mapping_socket, server)?;
    let (mapped, other) = match first {
        Some(DiscoveryReply {
            reply: BindingResponse::Success { mapped, other_address: Some(other), .. },
            ..
        }) => (mapped, other),
        first => return Ok(Err(no_discovery(server, first))),
    };
    let no_nat = is_same_endpoint(&local, &mapped);
    let mapping = tests.mapping(&mapping_socket, mapped, other, no_nat)?;
    let filtering = tests.filtering(&filtering_socket)?;
    let hairpinning = match no_nat {
        true => None,
        false => Some(tests.hairpinning(&filtering_socket, &mapping_socket, mapped)?),
    };
    Ok(Ok(NatFindings { server, other, local, mapped, mapping, filtering, hairpinning }))
}

/// Returns why the first test ends the discovery.
fn no_discovery(server: SocketAddr, first: Option<DiscoveryReply>) -> NoDiscovery {
    let (exit, kind, message) = match first.map(|first| first.reply) {
        None => (ClientExit::NoAnswer, "no_answer", format!("{server} did not answer")),
        Some(BindingResponse::Error { code, .. }) => {
            (ClientExit::Refused, "stun_error", format!("{server} answered with error {code}"))
        }
        Some(BindingResponse::Success { mapped, .. }) => (
            ClientExit::Refused,
            "no_other_address",
            format!(
                "{server} returns the mapped address {mapped}, but no OTHER-ADDRESS: it does not support NAT \
                 behaviour discovery (RFC 5780); use a server with two addresses"
            ),
        ),
    };
    NoDiscovery { server, exit, kind, message }
}

/// The tests, and what they share.
struct DiscoveryTests {
    server: SocketAddr,
    timeout: Option<Duration>,
}

impl DiscoveryTests {
    /// Finds the mapping behaviour (RFC 5780 §4.3, tests II and III). `first` is the address that the
    /// server mapped, `other` the server's OTHER-ADDRESS.
    fn mapping(
        &self,
        socket: &UdpSocket,
        first: SocketAddr,
        other: SocketAddr,
        no_nat: bool,
    ) -> Result<Behaviour> {
        if no_nat {
            return Ok(Ok(Dependence::None));
        }
        let second = match self.mapped(socket, SocketAddr::new(other.ip(), self.server.port()))? {
            Ok(second) if second == first => return Ok(Ok(Dependence::None)),
            Ok(second) => second,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(self.mapped(socket, other)?.map(|third| match third == second {
            true => Dependence::Address,
            false => Dependence::AddressAndPort,
        }))
    }

    /// Returns the mapped address that `to`, an endpoint with the server's other address, reports.
    fn mapped(&self, socket: &UdpSocket, to: SocketAddr) -> Result<Result<SocketAddr, String>> {
        Ok(match self.request(socket, to)? {
            Some(DiscoveryReply { reply: BindingResponse::Success { mapped, .. }, .. }) => Ok(mapped),
            Some(DiscoveryReply { reply: BindingResponse::Error { code, .. }, .. }) => {
                Err(format!("{to} answered with error {code}"))
            }
            None => Err(format!("{to}, the server's other address, did not answer")),
        })
    }

    /// Finds the filtering behaviour (RFC 5780 §4.4, tests I to III).
    fn filtering(&self, socket: &UdpSocket) -> Result<Behaviour> {
        let Some(_) = self.request(socket, self.server)? else {
            return Ok(Err(format!("{} did not answer a second time", self.server)));
        };
        let tests = [
            (ChangeFlags { address: true, port: true }, Dependence::None),
            (ChangeFlags { address: false, port: true }, Dependence::Address),
        ];
        for (change, dependence) in tests {
            let request = DiscoveryRequest { to: self.server, change };
            match request.send(socket, &self.filtered_schedule())? {
                None => {}
                Some(DiscoveryReply { reply: BindingResponse::Error { code, .. }, .. }) => {
                    return Ok(Err(format!("{} refused CHANGE-REQUEST with error {code}", self.server)));
                }
                Some(DiscoveryReply { from, .. }) if change.are_obeyed(&self.server, &from) => {
                    return Ok(Ok(dependence));
                }
                Some(DiscoveryReply { from, .. }) => {
                    return Ok(Err(format!(
                        "{} did not obey CHANGE-REQUEST: the reply came from {from}",
                        self.server
                    )));
                }
            }
        }
        Ok(Ok(Dependence::AddressAndPort))
    }

    /// Whether the NAT hairpins (RFC 4787 §6): whether what `sender` sends to `mapped`, the mapped
    /// address of `receiver`, arrives there.
    fn hairpinning(&self, sender: &UdpSocket, receiver: &UdpSocket, mapped: SocketAddr) -> Result<bool> {
        let request = DiscoveryRequest { to: mapped, change: ChangeFlags::default() };
        request.arrives(sender, receiver, &self.filtered_schedule())
    }

    /// Sends a request and returns its reply, if that comes from `to`.
    fn request(&self, socket: &UdpSocket, to: SocketAddr) -> Result<Option<DiscoveryReply>> {
        let request = DiscoveryRequest { to, change: ChangeFlags::default() };
        let reply = request.send(socket, &Retransmissions::new(self.timeout))?;
        Ok(reply.filter(|reply| is_same_endpoint(&reply.from, &to)))
    }

    /// The schedule of a test whose reply the NAT may filter.
    fn filtered_schedule(&self) -> Retransmissions {
        Retransmissions::new(Some(self.timeout.unwrap_or(FILTERED_WAIT)))
    }
}

#[cfg(test)]
mod tests;
