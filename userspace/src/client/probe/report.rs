//! The result of a probe, as text and as JSON.

use super::ProbeTransport;
use super::result::{ProbeEnd, ProbeResult};
use crate::client::is_same_endpoint;
use crate::client::message::{BindingResponse, MappedAttribute};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Returns lines of text; none unless the server replied with a mapped address.
pub(super) fn text(result: &ProbeResult) -> String {
    let Some((mapped, from, after)) = success(result) else { return String::new() };
    let ProbeEnd::Reply { reply: BindingResponse::Success { software, other_address, .. }, .. } = &result.end
    else {
        return String::new();
    };
    let mut text = String::new();
    push_line(&mut text, "mapped address", &format!("{mapped} ({})", from.name()));
    let which = match result.requests_sent {
        1 => String::new(),
        sent => format!(" after request {sent}; the reply may be to an earlier one"),
    };
    push_line(&mut text, "round trip", &format!("{:.3} ms{which}", milliseconds(after)));
    let over = match result.transport {
        ProbeTransport::Udp => "",
        ProbeTransport::Tcp => " over TCP",
        ProbeTransport::Tls => " over TLS",
    };
    push_line(&mut text, "server", &format!("{}{over}", result.server));
    push_line(&mut text, "local address", &result.local.to_string());
    push_line(&mut text, "NAT", nat(behind_nat(result, mapped)));
    if let Some(software) = software {
        // Control characters could steer the terminal.
        let printable = software.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        push_line(&mut text, "software", &printable.collect::<String>());
    }
    if let Some(other) = other_address {
        push_line(&mut text, "other address", &other.to_string());
    }
    text
}

/// Appends a line with a name and a value.
pub(super) fn push_line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<16}{value}");
}

/// Whether the client is behind a NAT, in words.
pub(super) fn nat(behind_nat: bool) -> &'static str {
    match behind_nat {
        true => "yes: the mapped address is not the local one",
        false => "no: the mapped address is the local one",
    }
}

/// Returns one JSON object on one line. `message` says what went wrong; empty if nothing did.
pub(super) fn json(result: &ProbeResult, message: &str) -> String {
    let success = success(result);
    let (software, other_address) = match &result.end {
        ProbeEnd::Reply { reply: BindingResponse::Success { software, other_address, .. }, .. } => {
            (software.clone(), *other_address)
        }
        _ => (None, None),
    };
    let after = match result.end {
        ProbeEnd::Reply { after, .. } => Some(after),
        _ => None,
    };
    let error = match &result.end {
        ProbeEnd::Reply { reply: BindingResponse::Success { .. }, .. } => Value::Null,
        ProbeEnd::Reply { reply: BindingResponse::Error { code, reason, unknown }, .. } => json!({
            "kind": "stun_error", "message": message, "code": code, "reason": reason, "unknown_attributes": unknown,
        }),
        ProbeEnd::Silence { .. } => json!({ "kind": "no_answer", "message": message }),
        ProbeEnd::Unreachable(_) => json!({ "kind": "unreachable", "message": message }),
    };
    let object = json!({
        "transport": result.transport.name(),
        "server": result.server.to_string(),
        "local": (!result.local.ip().is_unspecified()).then(|| result.local.to_string()),
        "mapped": success.map(|(mapped, ..)| mapped.to_string()),
        "mapped_from": success.map(|(_, from, _)| from.name()),
        "rtt_ms": after.map(milliseconds),
        "requests_sent": result.requests_sent,
        "software": software,
        "other_address": other_address.map(|address| address.to_string()),
        "behind_nat": success.map(|(mapped, ..)| behind_nat(result, mapped)),
        "ignored": result.ignored.map_or(0, |(number, _)| number),
        "error": error,
    });
    format!("{object}\n")
}

/// Returns one JSON object for a failure.
pub(super) fn json_failure(server: &str, kind: &str, message: &str) -> String {
    format!("{}\n", json!({ "server": server, "error": { "kind": kind, "message": message } }))
}

fn success(result: &ProbeResult) -> Option<(SocketAddr, MappedAttribute, Duration)> {
    match &result.end {
        ProbeEnd::Reply { reply: BindingResponse::Success { mapped, from, .. }, after } => {
            Some((*mapped, *from, *after))
        }
        _ => None,
    }
}

fn behind_nat(result: &ProbeResult, mapped: SocketAddr) -> bool {
    !is_same_endpoint(&mapped, &result.local)
}

/// Returns milliseconds, to the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
