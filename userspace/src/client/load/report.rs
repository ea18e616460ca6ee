//! The result of a load, as text and as JSON.

use super::search::SearchResult;
use super::tally::Tally;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// A finished load.
pub(super) struct LoadReport {
    pub(super) server: SocketAddr,
    /// `af-xdp` or `sockets`.
    pub(super) path: &'static str,
    /// The tally of the whole load, or of the best step of a search.
    pub(super) tally: Tally,
    /// Wrong datagrams in all steps together.
    pub(super) wrong: u64,
    /// How long requests were sent.
    pub(super) sending: Duration,
    /// The result of `--find-max`.
    pub(super) found: Option<SearchResult>,
}

impl LoadReport {
    /// Returns lines of text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<10}{value}");
        };
        let Tally { sent, received, wrong, .. } = &self.tally;
        if let Some(found) = &self.found {
            line("steps", format!("{:>12}{:>12}{:>12}{:>11}", "rate/s", "sent/s", "replies/s", "loss"));
            for step in &found.steps {
                let rates = [step.rate, step.requests_per_second, step.replies_per_second];
                let rates: String = rates.iter().map(|rate| format!("{rate:>12.0}")).collect();
                line("", format!("{rates}{:>9.4} %", 100.0 * step.loss));
            }
            line("highest", self.highest(found));
        }
        line("server", self.server.to_string());
        line("path", self.path.to_owned());
        let seconds = self.sending.as_secs_f64();
        line("sent", format!("{sent} in {seconds:.3} s, {:.0} per second", self.per_second(*sent)));
        line("replies", format!("{received}, {:.0} per second", self.replies_per_second()));
        line("lost", format!("{} ({:.4} %)", self.tally.lost(), 100.0 * self.tally.loss()));
        line("wrong", wrong.to_string());
        if *received > 0 {
            let times = self.latencies().map(|(name, time)| format!("{name} {time:.1}"));
            line("latency", format!("{} µs", times.collect::<Vec<_>>().join(", ")));
        }
        text
    }

    fn highest(&self, found: &SearchResult) -> String {
        match found.best.map(|best| found.steps[best].rate) {
            None => "no rate was sustained".to_owned(),
            Some(rate) if found.generator_limited => {
                format!("{rate:.0} requests per second; limited by the generator, not by the server")
            }
            Some(rate) => format!("{rate:.0} requests per second"),
        }
    }

    /// Returns one JSON object on one line.
    pub(super) fn json(&self) -> String {
        let latency: serde_json::Map<_, _> = self
            .latencies()
            .map(|(name, time)| {
                (name.to_owned(), if self.tally.received > 0 { json!(time) } else { Value::Null })
            })
            .collect();
        let mut object = json!({
            "server": self.server.to_string(),
            "path": self.path,
            "sent": self.tally.sent,
            "received": self.tally.received,
            "wrong": self.tally.wrong,
            "lost": self.tally.lost(),
            "loss": self.tally.loss(),
            "duration_s": self.sending.as_secs_f64(),
            "requests_per_second": self.per_second(self.tally.sent),
            "replies_per_second": self.replies_per_second(),
            "latency_us": latency,
        });
        if let Some(found) = &self.found {
            let steps = found.steps.iter().map(|step| {
                json!({
                    "rate": step.rate,
                    "requests_per_second": step.requests_per_second,
                    "replies_per_second": step.replies_per_second,
                    "loss": step.loss,
                })
            });
            object["steps"] = steps.collect();
            object["max_rate"] = found.best.map_or(Value::Null, |best| json!(found.steps[best].rate));
            object["generator_limited"] = json!(found.generator_limited);
        }
        format!("{object}\n")
    }

    /// Returns the latency at each quantile and the maximum, in microseconds.
    fn latencies(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let latency = &self.tally.latency;
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1_000.0;
        QUANTILES
            .into_iter()
            .map(move |(name, quantile)| (name, microseconds(latency.value_at_quantile(quantile))))
            .chain([("max", microseconds(latency.max()))])
    }

    fn replies_per_second(&self) -> f64 {
        self.per_second(self.tally.received_while_sending)
    }

    fn per_second(&self, count: u64) -> f64 {
        per_second(count, self.sending)
    }
}

/// Returns `count` divided by seconds.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}
