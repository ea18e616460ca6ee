//! The clients that query the server, and how each prints its mapped address.

use super::network::{
    CLIENT_INTERFACE, CLIENT_PORT, CLIENT_V4, CLIENT_V6, DemoNetwork, SERVER_V4, SERVER_V6,
};
use crate::children::capture;
use crate::interrupt::Interrupt;
use crate::number::grouped;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest wait for one client. Some wait for a reply for ever.
const LIMIT: Duration = Duration::from_secs(20);

/// What came of one client's query.
pub(super) struct ClientResult {
    pub(super) client: String,
    pub(super) expected: ExpectedAddress,
    pub(super) mapped: Result<SocketAddr>,
}

/// The client's true address, and its port if that is known.
#[derive(Clone, Copy)]
pub(super) struct ExpectedAddress {
    address: IpAddr,
    port: Option<u16>,
}

impl ExpectedAddress {
    /// Whether this is the true address.
    pub(super) fn matches(&self, mapped: SocketAddr) -> bool {
        mapped.ip() == self.address && self.port.is_none_or(|port| port == mapped.port())
    }
}

impl fmt::Display for ExpectedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => write!(f, "{}, port unknown", self.address),
        }
    }
}

/// Runs every client over every version of IP that it speaks.
///
/// # Errors
/// The verb was interrupted. The failure of a client is in its [`ClientResult::mapped`].
pub(super) fn query_all(
    network: &DemoNetwork,
    xstun: &Path,
    interrupt: &Interrupt,
) -> Result<Vec<ClientResult>> {
    let pinned = network.pin_ports();
    let mut versions = vec![("IPv4", SERVER_V4, CLIENT_V4)];
    if network.ipv6 {
        versions.push(("IPv6", SERVER_V6, CLIENT_V6));
    }
    let mut results = Vec::new();
    for (version, server, client) in versions {
        let server = server.to_string();
        let source = SocketAddr::new(client, CLIENT_PORT);
        let chosen = ExpectedAddress { address: client, port: pinned.is_some().then_some(CLIENT_PORT) };
        let named = ExpectedAddress { address: client, port: Some(CLIENT_PORT) };

        let mut command = network.client.command("turnutils_stunclient");
        let mapped = query(command.arg(&server), "UDP reflexive addr: ", interrupt);
        results.push(ClientResult {
            client: format!("turnutils_stunclient, {version}"),
            expected: chosen,
            mapped,
        });

        if client.is_ipv4() {
            let mut command = network.client.command("stun");
            command.args([&server, "1", "-v", "-p", &CLIENT_PORT.to_string()]);
            let mapped = query(&mut command, "MappedAddress = ", interrupt);
            results.push(ClientResult {
                client: format!("stun, classic, {version}"),
                expected: named,
                mapped,
            });
        }

        let mut command = network.client.command(xstun);
        command.args(["probe", &server, "--json", "--source", &source.to_string()]);
        let mapped = probe(&mut command, interrupt);
        results.push(ClientResult { client: format!("xstun probe, {version}"), expected: named, mapped });
        interrupt.check()?;
    }
    Ok(results)
}

/// Runs a client that prints its mapped address after a label.
fn query(command: &mut Command, label: &str, interrupt: &Interrupt) -> Result<SocketAddr> {
    let captured = capture(command, LIMIT, interrupt)?;
    mapped(&captured.stdout, label)
        .or_else(|| mapped(&captured.stderr, label))
        .with_context(|| format!("exited with {} and printed: {}", captured.status, captured.printed()))
}

/// The first address after the label.
fn mapped(printed: &str, label: &str) -> Option<SocketAddr> {
    printed.lines().find_map(|line| {
        let (_, rest) = line.split_once(label)?;
        address(rest.trim())
    })
}

/// Parses an address and port. Some clients print an IPv6 address without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    })
}

fn probe(command: &mut Command, interrupt: &Interrupt) -> Result<SocketAddr> {
    let captured = capture(command, LIMIT, interrupt)?;
    if !captured.status.success() {
        bail!("exited with {} and printed: {}", captured.status, captured.printed());
    }
    let json: Value = serde_json::from_str(&captured.stdout).context("printed no JSON")?;
    let mapped = json["mapped"].as_str().with_context(|| format!("no address in {json}"))?;
    address(mapped).with_context(|| format!("'{mapped}' is no address"))
}

/// What a load gave.
pub(super) struct LoadResult {
    sent: f64,
    received: f64,
    /// Replies per second.
    rate: f64,
}

impl fmt::Display for LoadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadResult { sent, received, rate } = *self;
        write!(
            f,
            "{:>9} replies/s ({} requests sent, {} answered)",
            grouped(rate),
            grouped(sent),
            grouped(received)
        )
    }
}

/// Sends as many requests as it can for `seconds`, over AF_XDP: sockets would be slower than the server.
///
/// # Errors
/// `xstun load` failed, got no reply, or got a wrong one.
pub(super) fn load(
    network: &DemoNetwork,
    xstun: &Path,
    seconds: u32,
    interrupt: &Interrupt,
) -> Result<LoadResult> {
    let mut command = network.client.command(xstun);
    command.args(["load", &SERVER_V4.to_string(), "--json", "--duration", &seconds.to_string()]);
    command.args(["--interface", CLIENT_INTERFACE]);
    let captured = capture(&mut command, LIMIT + Duration::from_secs(seconds.into()), interrupt)?;
    if !captured.status.success() {
        bail!("exited with {} and printed: {}", captured.status, captured.printed());
    }
    let json: Value = serde_json::from_str(&captured.stdout).context("printed no JSON")?;
    let number = |key: &str| json[key].as_f64().with_context(|| format!("no number '{key}' in {json}"));
    let (sent, received, rate) = (number("sent")?, number("received")?, number("replies_per_second")?);
    if received < 1.0 || rate < 1.0 {
        bail!("no reply to {sent} requests");
    }
    Ok(LoadResult { sent, received, rate })
}

#[cfg(test)]
mod tests {
    use super::{ExpectedAddress, mapped};

    #[test]
    fn the_address_of_each_client_is_found() {
        let turnutils = "\n====\nRFC 5780 response 1\n0: : IPv6. UDP reflexive addr: fd77::2:40000\n";
        assert_eq!(mapped(turnutils, "UDP reflexive addr: "), "[fd77::2]:40000".parse().ok());
        let stun =
            "Received stun message: 84 bytes\nMappedAddress = 10.77.0.2:40000\n\t mappedAddr=10.77.0.2:1\n";
        assert_eq!(mapped(stun, "MappedAddress = "), "10.77.0.2:40000".parse().ok());
        assert_eq!(mapped("MappedAddress = nowhere", "MappedAddress = "), None);
    }

    #[test]
    fn the_port_counts_only_where_it_is_known() {
        let known = ExpectedAddress { address: "10.77.0.2".parse().unwrap(), port: Some(40_000) };
        let unknown = ExpectedAddress { port: None, ..known };
        for (address, with_port, without) in [
            ("10.77.0.2:40000", true, true),
            ("10.77.0.2:40001", false, true),
            ("10.77.0.3:40000", false, false),
        ] {
            assert_eq!(known.matches(address.parse().unwrap()), with_port, "{address}");
            assert_eq!(unknown.matches(address.parse().unwrap()), without, "{address}");
        }
    }
}
