//! The table of all metrics: name, kind, labels, help, and how to read the samples. The exposition, the table
//! in `docs/metrics.md` and the checks of the dashboard are made from it.

mod connections;
mod datagrams;
mod interfaces;
mod process;

use crate::status::ServerStatus;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

/// A metric family.
pub(super) struct MetricDefinition {
    /// Follows the conventions of Prometheus.
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) labels: &'static [&'static str],
    /// One sentence or more.
    pub(super) help: &'static str,
    /// Adds every sample.
    read: fn(&ServerStatus, &mut Samples),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// Only grows, from 0 at the start of the server.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The samples of one family.
#[derive(Default)]
struct Samples(Vec<(Vec<String>, f64)>);

impl Samples {
    /// Adds one. `labels` are the values of [`MetricDefinition::labels`]; an empty one leaves the label out.
    fn add(&mut self, labels: &[&str], value: f64) {
        self.0.push((labels.iter().map(|value| (*value).to_owned()).collect(), value));
    }

    /// Adds a count. Prometheus keeps 53 bits of it.
    fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value as f64);
    }
}

/// Returns every metric, in the order of the exposition.
pub(super) fn all() -> impl Iterator<Item = &'static MetricDefinition> {
    [datagrams::FAMILIES, interfaces::FAMILIES, connections::FAMILIES, process::FAMILIES]
        .into_iter()
        .flatten()
}

/// Returns the exposition in the text format of Prometheus, version 0.0.4.
///
/// # Errors
/// The format does not allow a name: a fault of this program.
pub(super) fn exposition(status: &ServerStatus) -> prometheus::Result<String> {
    // A metric without samples, as of connections if TCP is switched off, is left out.
    let families: Vec<_> = all()
        .map(|family| family.collect(status))
        .filter(|family: &MetricFamily| !family.get_metric().is_empty())
        .collect();
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Content type of the [`exposition`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl MetricDefinition {
    fn collect(&self, status: &ServerStatus) -> MetricFamily {
        let mut samples = Samples::default();
        (self.read)(status, &mut samples);
        let metrics = samples.0.into_iter().map(|(values, value)| {
            debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
            let labels = self.labels.iter().zip(values).filter(|(_, value)| !value.is_empty());
            self.metric(labels.map(|(name, value)| label(name, value)).collect(), value)
        });
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.kind {
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(metrics.collect());
        family
    }

    fn metric(&self, labels: Vec<LabelPair>, value: f64) -> Metric {
        let mut metric = Metric::from_label(labels);
        match self.kind {
            MetricKind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            MetricKind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        metric
    }
}

fn label(name: &str, value: String) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

#[cfg(test)]
mod tests;
