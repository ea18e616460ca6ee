//! The bars that the measured ratios must reach, and whether they do.

use super::contenders::ContenderKind;
use super::metrics::{BenchRow, Metric};
use std::fmt;

/// One bar, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) what: &'static str,
    pub(super) bound: BarBound,
    /// `None` if a row that it needs was not measured.
    pub(super) measured: Option<f64>,
    /// How `measured` may be off because the generator could not send more.
    pub(super) uncertainty: Uncertainty,
}

/// The direction in which a measured value may be off because the generator reached its limit first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uncertainty {
    /// The true value may be higher.
    more: bool,
    /// The true value may be lower.
    less: bool,
}

/// On which side of its value the bar is met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BarBound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    pub(super) fn verdict(&self) -> &'static str {
        let Some(value) = self.measured else { return "not measured" };
        let (met, may_change) = match self.bound {
            BarBound::AtLeast(bound) if value >= bound => (true, self.uncertainty.less),
            BarBound::AtLeast(_) => (false, self.uncertainty.more),
            BarBound::AtMost(bound) if value <= bound => (true, self.uncertainty.more),
            BarBound::AtMost(_) => (false, self.uncertainty.less),
        };
        match (met, may_change) {
            (_, true) => "open: the generator reached its limit",
            (true, false) => "met",
            (false, false) => "missed",
        }
    }

    pub(super) fn value(&self) -> String {
        self.measured.map_or("-".to_owned(), |value| format!("{value:.2}"))
    }
}

impl fmt::Display for BarBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarBound::AtLeast(bound) => write!(f, "at least {bound}"),
            BarBound::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// Evaluates every bar for these rows.
pub(super) fn judge(rows: &[BenchRow]) -> Vec<Bar> {
    const MIB: f64 = 1024.0 * 1024.0;
    let find = |id: &str| rows.iter().find(|row| row.id == id);
    let get = |id: &str, metric| find(id).and_then(|row| row.get(metric));
    let ours = || rows.iter().filter(|row| row.kind == ContenderKind::Ours);
    let most = |values: Vec<f64>| values.into_iter().max_by(f64::total_cmp);
    let queue = || Some((get("af-xdp-2", Metric::Memory)? - get("af-xdp", Metric::Memory)?) / MIB);
    let growth = ours().filter_map(|row| row.get(Metric::MemoryGrowth)).map(|bytes| bytes / MIB).collect();
    let idle = ours()
        .filter(|row| row.id != "af-xdp-busy-poll")
        .filter_map(|row| row.get(Metric::Idle))
        .map(|cores| cores * 100.0)
        .collect();
    let steady = AF_XDP
        .iter()
        .filter_map(|id| ratio(value(find(id)?, Metric::Flood)?, value(find(id)?, Metric::Capacity)?))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let of = |metric, these: &[&str], those: &[&str]| {
        ratio(best(rows, these, metric)?, best(rows, those, metric)?)
    };
    let sure = |measured: Option<f64>| measured.map(|value| (value, Uncertainty::default()));
    let p99 = ratio_of(get("af-xdp", Metric::P99), get("socket", Metric::P99));
    let bar = |what, bound, measured: Option<Value>| {
        let (measured, uncertainty) = measured.unzip();
        Bar { what, bound, measured, uncertainty: uncertainty.unwrap_or_default() }
    };
    use BarBound::{AtLeast, AtMost};
    use Metric::{Capacity, Flood};
    vec![
        bar(
            "AF_XDP path / bare AF_XDP swap loop, each at its best",
            AtLeast(1.0),
            of(Capacity, &AF_XDP, &["limit", "limit-busy-poll"]),
        ),
        bar("AF_XDP path / coturn", AtLeast(15.0), of(Capacity, &AF_XDP, &["coturn"])),
        bar(
            "AF_XDP path / recvmmsg and sendmmsg, each at its best",
            AtLeast(3.5),
            of(Capacity, &AF_XDP, &["batch"]),
        ),
        bar("the same under the flood", AtLeast(10.0), of(Flood, &AF_XDP, &["batch"])),
        bar("socket path / recvmmsg and sendmmsg", AtLeast(1.0), of(Capacity, &["socket"], &["batch"])),
        bar("AF_XDP path under the flood / at capacity, the lesser of both modes", AtLeast(0.95), steady),
        bar("p99 at half capacity: AF_XDP with interrupts / socket path", AtMost(0.5), sure(p99)),
        bar("memory of one more queue, in MiB", AtMost(12.0), sure(queue())),
        bar(
            "growth of memory under load, in MiB, the most of all xstun rows",
            AtMost(1.0),
            sure(most(growth)),
        ),
        bar("idle cost without busy polling, in hundredths of a core", AtMost(1.0), sure(most(idle))),
    ]
}

/// A value and its uncertainty.
type Value = (f64, Uncertainty);

/// The rows of the AF_XDP path on one core in native mode.
const AF_XDP: [&str; 2] = ["af-xdp", "af-xdp-busy-poll"];
/// The share of [`FLOOD`](super::measure::FLOOD) capacities that a flood must send to count as one.
const FLOODED: f64 = 0.8;

/// A row's number, and whether a stronger generator might have measured another.
fn value(row: &BenchRow, metric: Metric) -> Option<Value> {
    let value = row.get(metric)?;
    let uncertainty = match metric {
        Metric::Capacity => Uncertainty { more: row.bound_by_generator, less: false },
        // A stronger flood may bring fewer replies, or more if the server was not saturated.
        Metric::Flood => {
            let full = super::measure::FLOOD * row.get(Metric::Capacity)? * FLOODED;
            let short = row.get(Metric::FloodSent).is_none_or(|sent| sent < full);
            Uncertainty { more: short, less: short }
        }
        _ => Uncertainty::default(),
    };
    Some((value, uncertainty))
}

/// The best of several rows.
fn best(rows: &[BenchRow], ids: &[&str], metric: Metric) -> Option<Value> {
    let values: Vec<Value> =
        rows.iter().filter(|row| ids.contains(&row.id)).filter_map(|row| value(row, metric)).collect();
    let best = values.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
    // A row whose true value is higher may be the best.
    let more = values.iter().any(|(_, uncertainty)| uncertainty.more);
    Some((best.0, Uncertainty { more, ..best.1 }))
}

fn ratio(a: Value, b: Value) -> Option<Value> {
    let uncertainty = Uncertainty { more: a.1.more || b.1.less, less: a.1.less || b.1.more };
    ratio_of(Some(a.0), Some(b.0)).map(|value| (value, uncertainty))
}

fn ratio_of(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? / b?).filter(|ratio| ratio.is_finite())
}

#[cfg(test)]
mod tests {
    use super::{Bar, BarBound, Uncertainty, judge};
    use crate::bench::metrics::{BenchRow, Metric};
    use crate::bench::sample::{numbers, row};

    fn verdicts(rows: &[BenchRow]) -> Vec<(String, &'static str)> {
        judge(rows).iter().map(|bar| (bar.value(), bar.verdict())).collect()
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(verdicts(&[]).iter().all(|(value, verdict)| value == "-" && *verdict == "not measured"));
    }

    #[test]
    fn ratios_compare_the_best_of_each() {
        let rows = [
            row("limit", &numbers(&[(Metric::Capacity, 900.0)])),
            row("limit-busy-poll", &numbers(&[(Metric::Capacity, 1000.0)])),
            row(
                "af-xdp",
                &numbers(&[(Metric::Capacity, 800.0), (Metric::Flood, 800.0), (Metric::P99, 40.0)]),
            ),
            row("af-xdp-busy-poll", &numbers(&[(Metric::Capacity, 990.0), (Metric::Flood, 900.0)])),
            row("socket", &numbers(&[(Metric::Capacity, 300.0), (Metric::P99, 80.0)])),
            row("batch", &numbers(&[(Metric::Capacity, 250.0), (Metric::Flood, 60.0)])),
        ]
        .map(|mut row| {
            row.medians.set(Metric::FloodSent, 5_000.0);
            row
        });
        let verdicts = verdicts(&rows);
        let expected = [
            ("0.99", "missed"),
            ("-", "not measured"),
            ("3.96", "met"),
            ("15.00", "met"),
            ("1.20", "met"),
            ("0.91", "missed"),
            ("0.50", "met"),
        ];
        assert_eq!(&verdicts[..7], expected.map(|(value, verdict)| (value.to_owned(), verdict)));
    }

    #[test]
    fn a_verdict_that_a_stronger_generator_could_change_is_open() {
        let bounded = |id, bounded: bool, capacity| {
            let mut row = row(id, &numbers(&[(Metric::Capacity, capacity)]));
            row.bound_by_generator = bounded;
            row
        };
        let verdict = |ours: bool, theirs: bool, capacity| {
            judge(&[bounded("af-xdp", ours, capacity), bounded("batch", theirs, 100.0)])[2].verdict()
        };
        assert_eq!(verdict(true, false, 400.0), "met");
        assert_eq!(verdict(false, true, 300.0), "missed");
        assert!(verdict(false, true, 400.0).starts_with("open"));
        assert!(verdict(true, false, 300.0).starts_with("open"));
    }

    #[test]
    fn a_flood_that_was_too_weak_decides_nothing() {
        let mut row = row(
            "af-xdp",
            &numbers(&[(Metric::Capacity, 100.0), (Metric::Flood, 99.0), (Metric::FloodSent, 399.0)]),
        );
        assert!(judge(std::slice::from_ref(&row))[5].verdict().starts_with("open"));
        row.medians.set(Metric::FloodSent, 400.0);
        assert_eq!(judge(&[row])[5].verdict(), "met");
    }

    #[test]
    fn a_queue_costs_what_a_second_one_adds() {
        const MIB: f64 = 1024.0 * 1024.0;
        let rows = [
            row("af-xdp", &numbers(&[(Metric::Memory, 20.0 * MIB), (Metric::Idle, 0.004)])),
            row("af-xdp-2", &numbers(&[(Metric::Memory, 29.5 * MIB), (Metric::MemoryGrowth, 2.0 * MIB)])),
            row("af-xdp-busy-poll", &numbers(&[(Metric::Idle, 1.0)])),
        ];
        let bars = judge(&rows);
        let last: Vec<_> = bars[7..].iter().map(|bar| (bar.value(), bar.verdict())).collect();
        assert_eq!(
            last,
            [("9.50".to_owned(), "met"), ("2.00".to_owned(), "missed"), ("0.40".to_owned(), "met")]
        );
    }

    #[test]
    fn a_bar_is_met_at_its_exact_value() {
        let bar = |bound, measured| {
            Bar { what: "", bound, measured: Some(measured), uncertainty: Uncertainty::default() }.verdict()
        };
        assert_eq!(bar(BarBound::AtLeast(1.0), 1.0), "met");
        assert_eq!(bar(BarBound::AtMost(12.0), 12.01), "missed");
        assert_eq!(BarBound::AtMost(0.5).to_string(), "at most 0.5");
    }
}
