//! The numbers of a row, their medians over the rounds, and their JSON.

use serde_json::{Map, Value, json};

/// One number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Replies per second with no more loss than [`LOSS`](super::search::LOSS).
    Capacity,
    /// Replies per second under the flood.
    Flood,
    /// Requests per second of the flood.
    FloodSent,
    /// Median latency at half the capacity, in microseconds.
    P50,
    /// Its 99th percentile.
    P99,
    /// Its 99.9th percentile.
    P999,
    /// Nanoseconds that the server's threads and its NAPI threads run per reply, at half the capacity.
    ProcessTime,
    /// The same at [`FIXED`](super::measure::FIXED) requests per second.
    FixedTime,
    /// Share of a core that the server's own threads take at that rate.
    OwnThreads,
    /// Nanoseconds that the server's cores are busy per reply, under the flood.
    CoreTime,
    /// Bytes resident before the load.
    Memory,
    /// Bytes that the load added.
    MemoryGrowth,
    /// Share of a core that the server takes without load.
    Idle,
}

impl Metric {
    pub(super) const ALL: [Metric; 13] = [
        Metric::Capacity,
        Metric::Flood,
        Metric::FloodSent,
        Metric::P50,
        Metric::P99,
        Metric::P999,
        Metric::ProcessTime,
        Metric::FixedTime,
        Metric::OwnThreads,
        Metric::CoreTime,
        Metric::Memory,
        Metric::MemoryGrowth,
        Metric::Idle,
    ];

    const fn key(self) -> &'static str {
        match self {
            Metric::Capacity => "capacity_replies_per_second",
            Metric::Flood => "flood_replies_per_second",
            Metric::FloodSent => "flood_requests_per_second",
            Metric::P50 => "half_capacity_p50_us",
            Metric::P99 => "half_capacity_p99_us",
            Metric::P999 => "half_capacity_p999_us",
            Metric::ProcessTime => "process_ns_per_reply",
            Metric::FixedTime => "fixed_rate_process_ns_per_reply",
            Metric::OwnThreads => "fixed_rate_own_threads_cores",
            Metric::CoreTime => "flood_core_ns_per_reply",
            Metric::Memory => "resident_bytes",
            Metric::MemoryGrowth => "resident_growth_bytes",
            Metric::Idle => "idle_cores",
        }
    }
}

/// The numbers of one round, or their medians; `None` for what was not measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Numbers([Option<f64>; Metric::ALL.len()]);

impl Numbers {
    pub(super) fn set(&mut self, metric: Metric, value: f64) {
        self.0[metric as usize] = value.is_finite().then_some(value);
    }

    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.0[metric as usize]
    }

    /// The median of each number over the rounds that have it.
    pub(super) fn medians(rounds: &[Numbers]) -> Self {
        let mut medians = Numbers::default();
        for metric in Metric::ALL {
            let values = rounds.iter().filter_map(|round| round.get(metric)).collect();
            medians.0[metric as usize] = median(values);
        }
        medians
    }

    pub(super) fn json(&self) -> Value {
        let numbers: Map<String, Value> =
            Metric::ALL.iter().map(|metric| (metric.key().to_owned(), json!(self.get(*metric)))).collect();
        Value::Object(numbers)
    }
}

/// The median; of an even number of values the lower of the two in the middle, which was measured.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The results of a row.
#[derive(Clone, Debug)]
pub(super) struct BenchRow {
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) kind: super::contenders::ContenderKind,
    /// The setting of the pair with the highest capacity.
    pub(super) setting: &'static str,
    /// Whether the server and the generator shared a core.
    pub(super) shared_core: bool,
    /// Whether in any round the generator could not send more than the server's capacity.
    pub(super) bound_by_generator: bool,
    pub(super) rounds: Vec<Numbers>,
    pub(super) medians: Numbers,
}

impl BenchRow {
    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.medians.get(metric)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "label": self.label,
            "setting": self.setting,
            "shared_core": self.shared_core,
            "bound_by_generator": self.bound_by_generator,
            "median": self.medians.json(),
            "rounds": self.rounds.iter().map(Numbers::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, Numbers, median};

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn each_number_has_its_place_and_its_median() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place);
        }
        let round = |capacity: f64, p99: Option<f64>| {
            let mut numbers = Numbers::default();
            numbers.set(Metric::Capacity, capacity);
            numbers.set(Metric::P99, p99.unwrap_or(f64::NAN));
            numbers
        };
        let medians = Numbers::medians(&[round(5.0, None), round(9.0, Some(1.0)), round(7.0, None)]);
        assert_eq!(medians.get(Metric::Capacity), Some(7.0));
        assert_eq!(medians.get(Metric::P99), Some(1.0));
        assert_eq!(medians.get(Metric::Idle), None);
        assert_eq!(medians.json()["capacity_replies_per_second"], 7.0);
        assert!(medians.json()["idle_cores"].is_null());
    }
}
