//! What a load found, for a person and for a program.

use super::sender::Tally;
use serde_json::json;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// Lines for a person.
pub(super) fn text(server: SocketAddr, tally: &Tally, sending: Duration) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}{value}");
    };
    line("server", server.to_string());
    line("sent", format!("{} in {:.3} s", tally.sent, sending.as_secs_f64()));
    line("replies", format!("{}, {:.0} a second", tally.received, per_second(tally, sending)));
    line("lost", format!("{} ({:.4} %)", tally.lost(), 100.0 * loss(tally)));
    line("wrong", tally.wrong.to_string());
    if tally.received > 0 {
        let times = latencies(tally).map(|(name, time)| format!("{name} {time:.1}"));
        line("latency", format!("{} µs", times.collect::<Vec<_>>().join(", ")));
    }
    text
}

/// One object on one line.
pub(super) fn json(server: SocketAddr, tally: &Tally, sending: Duration) -> String {
    let latency: serde_json::Map<_, _> = latencies(tally)
        .map(|(name, time)| (name.to_owned(), if tally.received > 0 { json!(time) } else { json!(null) }))
        .collect();
    let object = json!({
        "server": server.to_string(),
        "sent": tally.sent,
        "received": tally.received,
        "wrong": tally.wrong,
        "lost": tally.lost(),
        "loss": loss(tally),
        "duration_s": sending.as_secs_f64(),
        "replies_per_second": per_second(tally, sending),
        "latency_us": latency,
    });
    format!("{object}\n")
}

/// Microseconds by quantile, and the greatest.
fn latencies(tally: &Tally) -> impl Iterator<Item = (&'static str, f64)> {
    let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1_000.0;
    QUANTILES
        .into_iter()
        .map(move |(name, quantile)| (name, microseconds(tally.latency.value_at_quantile(quantile))))
        .chain([("max", microseconds(tally.latency.max()))])
}

fn per_second(tally: &Tally, sending: Duration) -> f64 {
    tally.received_while_sending as f64 / sending.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn loss(tally: &Tally) -> f64 {
    tally.lost() as f64 / tally.sent.max(1) as f64
}
