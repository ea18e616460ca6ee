//! Every metric, once: name, kind, labels, help, and where its value comes from. The exposition, the
//! table in `docs/metrics.md` and the checks of the dashboard all come from here.

mod connections;
mod datagrams;
mod interfaces;
mod process;

use crate::status::Status;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

/// A metric family.
pub(super) struct Family {
    /// By Prometheus's conventions.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// A sentence.
    pub(super) help: &'static str,
    /// Adds every sample.
    read: fn(&Status, &mut Samples),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from 0 at the start.
    Counter,
    /// A level.
    Gauge,
}

/// The samples of one family.
#[derive(Default)]
struct Samples(Vec<(Vec<String>, f64)>);

impl Samples {
    /// Adds one; `labels` are the values of [`Family::labels`], an empty one where the label says nothing.
    fn add(&mut self, labels: &[&str], value: f64) {
        self.0.push((labels.iter().map(|value| (*value).to_owned()).collect(), value));
    }

    /// Adds a count. Prometheus has 53 bits for it.
    fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value as f64);
    }
}

/// Every family, in the order of the exposition.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    [datagrams::FAMILIES, interfaces::FAMILIES, connections::FAMILIES, process::FAMILIES]
        .into_iter()
        .flatten()
}

/// The exposition in Prometheus's text format, version 0.0.4.
///
/// # Errors
/// A name that the format does not allow: a fault of this program.
pub(super) fn exposition(status: &Status) -> prometheus::Result<String> {
    // An empty family, as of connections where TCP is switched off, is nothing to tell.
    let families: Vec<_> = all()
        .map(|family| family.told(status))
        .filter(|family: &MetricFamily| !family.get_metric().is_empty())
        .collect();
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Content type of the [`exposition`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Family {
    fn told(&self, status: &Status) -> MetricFamily {
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
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(metrics.collect());
        family
    }

    fn metric(&self, labels: Vec<LabelPair>, value: f64) -> Metric {
        let mut metric = Metric::from_label(labels);
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
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
