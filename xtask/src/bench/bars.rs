//! The bars that the measured ratios must reach, judged.

use super::contenders::Kind;
use super::metrics::{Metric, Row};
use std::fmt;

/// One bar, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) what: &'static str,
    pub(super) bound: Bound,
    /// Nothing where a row that it needs was not measured.
    pub(super) measured: Option<f64>,
}

/// Which side is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    pub(super) fn verdict(&self) -> &'static str {
        match (self.measured, self.bound) {
            (None, _) => "not measured",
            (Some(value), Bound::AtLeast(bound)) if value >= bound => "met",
            (Some(value), Bound::AtMost(bound)) if value <= bound => "met",
            _ => "missed",
        }
    }

    pub(super) fn value(&self) -> String {
        self.measured.map_or("-".to_owned(), |value| format!("{value:.2}"))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, "at least {bound}"),
            Bound::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// Every bar, for these rows.
pub(super) fn judge(rows: &[Row]) -> Vec<Bar> {
    const MIB: f64 = 1024.0 * 1024.0;
    let get = |id: &str, metric| rows.iter().find(|row| row.id == id).and_then(|row| row.get(metric));
    let best = |ids: &[&str], metric| ids.iter().filter_map(|id| get(id, metric)).max_by(f64::total_cmp);
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?).filter(|ratio| ratio.is_finite());
    let af_xdp = |metric| best(&["af-xdp", "af-xdp-busy-poll"], metric);
    let capacity = af_xdp(Metric::Capacity);
    let ours = || rows.iter().filter(|row| row.kind == Kind::Ours);
    let least = |values: Vec<f64>| values.into_iter().min_by(f64::total_cmp);
    let most = |values: Vec<f64>| values.into_iter().max_by(f64::total_cmp);
    let steady: Vec<f64> = ["af-xdp", "af-xdp-busy-poll"]
        .iter()
        .filter_map(|id| ratio(get(id, Metric::Flood), get(id, Metric::Capacity)))
        .collect();
    let queue = || Some((get("af-xdp-2", Metric::Memory)? - get("af-xdp", Metric::Memory)?) / MIB);
    let growth: Vec<f64> =
        ours().filter_map(|row| row.get(Metric::MemoryGrowth)).map(|bytes| bytes / MIB).collect();
    let idle: Vec<f64> = ours()
        .filter(|row| row.id != "af-xdp-busy-poll")
        .filter_map(|row| row.get(Metric::Idle))
        .map(|cores| cores * 100.0)
        .collect();
    let bar = |what, bound, measured| Bar { what, bound, measured };
    vec![
        bar(
            "AF_XDP path / bare AF_XDP swap loop, each at its best",
            Bound::AtLeast(1.0),
            ratio(capacity, best(&["limit", "limit-busy-poll"], Metric::Capacity)),
        ),
        bar("AF_XDP path / coturn", Bound::AtLeast(15.0), ratio(capacity, get("coturn", Metric::Capacity))),
        bar(
            "AF_XDP path / recvmmsg and sendmmsg, each at its best",
            Bound::AtLeast(3.5),
            ratio(capacity, get("batch", Metric::Capacity)),
        ),
        bar(
            "the same under the flood",
            Bound::AtLeast(10.0),
            ratio(af_xdp(Metric::Flood), get("batch", Metric::Flood)),
        ),
        bar(
            "socket path / recvmmsg and sendmmsg",
            Bound::AtLeast(1.0),
            ratio(get("socket", Metric::Capacity), get("batch", Metric::Capacity)),
        ),
        bar(
            "AF_XDP path under the flood / at capacity, the lesser of both modes",
            Bound::AtLeast(0.95),
            least(steady),
        ),
        bar(
            "p99 at half capacity: AF_XDP with interrupts / socket path",
            Bound::AtMost(0.5),
            ratio(get("af-xdp", Metric::P99), get("socket", Metric::P99)),
        ),
        bar("memory of one more queue, in MiB", Bound::AtMost(12.0), queue()),
        bar(
            "growth of memory under load, in MiB, the most of all our rows",
            Bound::AtMost(1.0),
            most(growth),
        ),
        bar("idle cost without busy polling, in hundredths of a core", Bound::AtMost(1.0), most(idle)),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Bar, Bound, judge};
    use crate::bench::metrics::{Metric, Row};
    use crate::bench::sample::{numbers, row};

    fn verdicts(rows: &[Row]) -> Vec<(String, &'static str)> {
        judge(rows).iter().map(|bar| (bar.value(), bar.verdict())).collect()
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(verdicts(&[]).iter().all(|(value, verdict)| value == "-" && *verdict == "not measured"));
    }

    #[test]
    fn ratios_come_from_each_ones_best() {
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
        ];
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
    fn a_bar_holds_at_its_very_edge() {
        let bar = |bound, measured| Bar { what: "", bound, measured: Some(measured) }.verdict();
        assert_eq!(bar(Bound::AtLeast(1.0), 1.0), "met");
        assert_eq!(bar(Bound::AtMost(12.0), 12.01), "missed");
        assert_eq!(Bound::AtMost(0.5).to_string(), "at most 0.5");
    }
}
