//! What a probe found, for a person and for a program.

use super::Transport;
use super::ask::{Asked, End};
use crate::client::message::{MappedFrom, Reply};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Lines for a person; none unless the server answered with an address.
pub(super) fn text(asked: &Asked) -> String {
    let Some((mapped, from, after)) = success(asked) else { return String::new() };
    let End::Reply { reply: Reply::Success { software, other_address, .. }, .. } = &asked.end else {
        return String::new();
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    line("mapped address", format!("{mapped} ({})", from.name()));
    let which = match asked.requests_sent {
        1 => String::new(),
        sent => format!(" after request {sent}; an earlier one may have drawn the reply"),
    };
    line("round trip", format!("{:.3} ms{which}", milliseconds(after)));
    let over = match asked.transport {
        Transport::Udp => "",
        Transport::Tcp => " over TCP",
        Transport::Tls => " over TLS",
    };
    line("server", format!("{}{over}", asked.server));
    line("local address", asked.local.to_string());
    line(
        "NAT",
        match behind_nat(asked, mapped) {
            true => "yes: the mapped address is not the local one".into(),
            false => "no: the mapped address is the local one".into(),
        },
    );
    if let Some(software) = software {
        // Only what cannot steer a terminal.
        line("software", software.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect());
    }
    if let Some(other) = other_address {
        line("other address", other.to_string());
    }
    text
}

/// One object on one line. `sentence` tells what went wrong, empty if nothing did.
pub(super) fn json(asked: &Asked, sentence: &str) -> String {
    let success = success(asked);
    let (software, other_address) = match &asked.end {
        End::Reply { reply: Reply::Success { software, other_address, .. }, .. } => {
            (software.clone(), *other_address)
        }
        _ => (None, None),
    };
    let after = match asked.end {
        End::Reply { after, .. } => Some(after),
        _ => None,
    };
    let error = match &asked.end {
        End::Reply { reply: Reply::Success { .. }, .. } => Value::Null,
        End::Reply { reply: Reply::Error { code, reason, unknown }, .. } => json!({
            "kind": "stun_error", "message": sentence, "code": code, "reason": reason, "unknown_attributes": unknown,
        }),
        End::Silence { .. } => json!({ "kind": "no_answer", "message": sentence }),
        End::Unreachable(_) => json!({ "kind": "unreachable", "message": sentence }),
    };
    let object = json!({
        "transport": asked.transport.name(),
        "server": asked.server.to_string(),
        "local": (!asked.local.ip().is_unspecified()).then(|| asked.local.to_string()),
        "mapped": success.map(|(mapped, ..)| mapped.to_string()),
        "mapped_from": success.map(|(_, from, _)| from.name()),
        "rtt_ms": after.map(milliseconds),
        "requests_sent": asked.requests_sent,
        "software": software,
        "other_address": other_address.map(|address| address.to_string()),
        "behind_nat": success.map(|(mapped, ..)| behind_nat(asked, mapped)),
        "ignored": asked.ignored.map_or(0, |(number, _)| number),
        "error": error,
    });
    format!("{object}\n")
}

/// One object for what failed before anything was asked.
pub(super) fn json_failure(server: &str, kind: &str, sentence: &str) -> String {
    format!("{}\n", json!({ "server": server, "error": { "kind": kind, "message": sentence } }))
}

fn success(asked: &Asked) -> Option<(SocketAddr, MappedFrom, Duration)> {
    match &asked.end {
        End::Reply { reply: Reply::Success { mapped, from, .. }, after } => Some((*mapped, *from, *after)),
        _ => None,
    }
}

/// An IPv6 zone is this host's own affair, so only address and port count.
fn behind_nat(asked: &Asked, mapped: SocketAddr) -> bool {
    (mapped.ip(), mapped.port()) != (asked.local.ip(), asked.local.port())
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
