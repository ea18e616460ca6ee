//! The clients that ask, and how each tells the address that it got.

use super::stage::{CLIENT_PORT, CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, Stage};
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

/// Longest wait for one client: those of others wait for an answer for ever.
const LIMIT: Duration = Duration::from_secs(20);

/// One client's question and its answer.
pub(super) struct Asked {
    pub(super) client: String,
    pub(super) expected: Expected,
    pub(super) mapped: Result<SocketAddr>,
}

/// The client's true address, and its port where that can be known.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    address: IpAddr,
    port: Option<u16>,
}

impl Expected {
    /// Whether this is the true address.
    pub(super) fn is(&self, mapped: SocketAddr) -> bool {
        mapped.ip() == self.address && self.port.is_none_or(|port| port == mapped.port())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => write!(f, "{}, port unknown", self.address),
        }
    }
}

/// Asks with every client over every version of IP that it speaks.
///
/// # Errors
/// Somebody interrupted. What a client failed at stands in its [`Asked::mapped`].
pub(super) fn ask_all(stage: &Stage, xstun: &Path, interrupt: &Interrupt) -> Result<Vec<Asked>> {
    let pinned = stage.pin_ports();
    let mut versions = vec![("IPv4", SERVER_V4, CLIENT_V4)];
    if stage.ipv6 {
        versions.push(("IPv6", SERVER_V6, CLIENT_V6));
    }
    let mut asked = Vec::new();
    for (version, server, client) in versions {
        let server = server.to_string();
        let source = SocketAddr::new(client, CLIENT_PORT);
        let chosen = Expected { address: client, port: pinned.is_some().then_some(CLIENT_PORT) };
        let named = Expected { address: client, port: Some(CLIENT_PORT) };

        let mut command = stage.client.command("turnutils_stunclient");
        let mapped = ask(command.arg(&server), "UDP reflexive addr: ", interrupt);
        asked.push(Asked { client: format!("turnutils_stunclient, {version}"), expected: chosen, mapped });

        if client.is_ipv4() {
            let mut command = stage.client.command("stun");
            command.args([&server, "1", "-v", "-p", &CLIENT_PORT.to_string()]);
            let mapped = ask(&mut command, "MappedAddress = ", interrupt);
            asked.push(Asked { client: format!("stun, classic, {version}"), expected: named, mapped });
        }

        let mut command = stage.client.command(xstun);
        command.args(["probe", &server, "--json", "--source", &source.to_string()]);
        let mapped = probe(&mut command, interrupt);
        asked.push(Asked { client: format!("xstun probe, {version}"), expected: named, mapped });
        interrupt.check()?;
    }
    Ok(asked)
}

/// Runs a client that prints its mapped address behind a label.
fn ask(command: &mut Command, label: &str, interrupt: &Interrupt) -> Result<SocketAddr> {
    let captured = capture(command, LIMIT, interrupt)?;
    mapped(&captured.stdout, label)
        .or_else(|| mapped(&captured.stderr, label))
        .with_context(|| format!("it ended with {} and printed: {}", captured.status, captured.told()))
}

/// The first address behind the label.
fn mapped(printed: &str, label: &str) -> Option<SocketAddr> {
    printed.lines().find_map(|line| {
        let (_, told) = line.split_once(label)?;
        address(told.trim())
    })
}

/// Some clients print an IPv6 address and its port without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    })
}

fn probe(command: &mut Command, interrupt: &Interrupt) -> Result<SocketAddr> {
    let captured = capture(command, LIMIT, interrupt)?;
    if !captured.status.success() {
        bail!("it ended with {} and printed: {}", captured.status, captured.told());
    }
    let json: Value = serde_json::from_str(&captured.stdout).context("it printed no JSON")?;
    let mapped = json["mapped"].as_str().with_context(|| format!("no address in {json}"))?;
    address(mapped).with_context(|| format!("'{mapped}' is no address"))
}

/// Asks as fast as the server bears for some seconds, and tells the rate.
///
/// # Errors
/// The generator failed, got no reply, or got a wrong one.
pub(super) fn load(stage: &Stage, xstun: &Path, seconds: u32, interrupt: &Interrupt) -> Result<String> {
    let mut command = stage.client.command(xstun);
    command.args(["load", &SERVER_V4.to_string(), "--json", "--duration", &seconds.to_string()]);
    let captured = capture(&mut command, LIMIT + Duration::from_secs(seconds.into()), interrupt)?;
    if !captured.status.success() {
        bail!("it ended with {} and printed: {}", captured.status, captured.told());
    }
    let json: Value = serde_json::from_str(&captured.stdout).context("it printed no JSON")?;
    let number = |key: &str| json[key].as_f64().with_context(|| format!("no number '{key}' in {json}"));
    let (sent, received, rate) = (number("sent")?, number("received")?, number("replies_per_second")?);
    if received < 1.0 || rate < 1.0 {
        bail!("no reply to {sent} requests");
    }
    Ok(format!(
        "{} replies/s ({} requests sent, {} answered)",
        grouped(rate),
        grouped(sent),
        grouped(received)
    ))
}

#[cfg(test)]
mod tests {
    use super::{Expected, mapped};

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
        let known = Expected { address: "10.77.0.2".parse().unwrap(), port: Some(40_000) };
        let unknown = Expected { port: None, ..known };
        for (address, with_port, without) in [
            ("10.77.0.2:40000", true, true),
            ("10.77.0.2:40001", false, true),
            ("10.77.0.3:40000", false, false),
        ] {
            assert_eq!(known.is(address.parse().unwrap()), with_port, "{address}");
            assert_eq!(unknown.is(address.parse().unwrap()), without, "{address}");
        }
    }
}
