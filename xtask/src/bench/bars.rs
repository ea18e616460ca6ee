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
    let measured = Measured(rows);
    let mut bars = measured.of_af_xdp();
    bars.extend(measured.of_kernel_answers());
    bars.extend(measured.of_cost());
    bars
}

/// The rows of the AF_XDP path on one core in native mode.
const AF_XDP: [&str; 2] = ["af-xdp", "af-xdp-busy-poll"];
/// The rows of kernel answers.
const KERNEL: [&str; 2] = ["kernel", "kernel-generic"];

/// The rows, to be compared.
struct Measured<'a>(&'a [BenchRow]);

impl Measured<'_> {
    fn of_af_xdp(&self) -> Vec<Bar> {
        use BarBound::{AtLeast, AtMost};
        use Metric::{Capacity, Flood, P99};
        vec![
            bar(
                "AF_XDP path / bare AF_XDP swap loop, each at its best",
                AtLeast(1.0),
                self.ratio(Capacity, &AF_XDP, &["limit", "limit-busy-poll"]),
            ),
            bar("AF_XDP path / coturn", AtLeast(15.0), self.ratio(Capacity, &AF_XDP, &["coturn"])),
            bar(
                "AF_XDP path / recvmmsg and sendmmsg, each at its best",
                AtLeast(3.5),
                self.ratio(Capacity, &AF_XDP, &["batch"]),
            ),
            bar("the same under the flood", AtLeast(10.0), self.ratio(Flood, &AF_XDP, &["batch"])),
            bar(
                "socket path / recvmmsg and sendmmsg",
                AtLeast(1.0),
                self.ratio(Capacity, &["socket"], &["batch"]),
            ),
            bar(
                "AF_XDP path under the flood / at capacity, the lesser of both modes",
                AtLeast(0.95),
                self.steadiness(&AF_XDP),
            ),
            bar(
                "p99 at half capacity: AF_XDP with interrupts / socket path",
                AtMost(0.5),
                self.ratio(P99, &["af-xdp"], &["socket"]),
            ),
        ]
    }

    fn of_kernel_answers(&self) -> Vec<Bar> {
        use BarBound::{AtLeast, AtMost};
        use Metric::{Capacity, FixedTime, Flood, OwnThreads, P99};
        let generic = self.ratio(Flood, &["kernel-generic"], &["af-xdp-generic"]);
        let own_threads = self.most(&KERNEL, OwnThreads).map(|cores| cores * 100.0);
        vec![
            bar(
                "kernel answers / bare XDP_TX swap, under the flood",
                AtLeast(0.8),
                self.ratio(Flood, &["kernel"], &["limit-kernel"]),
            ),
            bar(
                "kernel answers / AF_XDP path, under the flood",
                AtLeast(4.0),
                self.ratio(Flood, &["kernel"], &AF_XDP),
            ),
            bar(
                "processor time per reply at 300,000/s: kernel answers / AF_XDP with interrupts",
                AtMost(0.3),
                self.ratio(FixedTime, &["kernel"], &["af-xdp"]),
            ),
            bar("kernel answers / AF_XDP path, both generic, under the flood", AtLeast(2.0), generic),
            bar(
                "kernel answers / coturn, each at its best",
                AtLeast(15.0),
                self.ratio(Capacity, &["kernel"], &["coturn"]),
            ),
            bar(
                "kernel answers / recvmmsg and sendmmsg, under the flood",
                AtLeast(10.0),
                self.ratio(Flood, &["kernel"], &["batch"]),
            ),
            bar(
                "kernel answers under the flood / at capacity, the lesser of native and generic",
                AtLeast(0.95),
                self.steadiness(&KERNEL),
            ),
            bar(
                "p99 at half capacity: kernel answers / socket path",
                AtMost(0.3),
                self.ratio(P99, &["kernel"], &["socket"]),
            ),
            bar(
                "xstun's own threads while the kernel answers 300,000/s, in hundredths of a core",
                AtMost(1.0),
                sure(own_threads),
            ),
        ]
    }

    fn of_cost(&self) -> Vec<Bar> {
        use BarBound::AtMost;
        const MIB: f64 = 1024.0 * 1024.0;
        let ours = |but: &[&str]| -> Vec<&str> {
            let ours = self.0.iter().filter(|row| row.kind == ContenderKind::Ours).map(|row| row.id);
            ours.filter(|id| !but.contains(id)).collect()
        };
        let memory = |id| self.most(&[id], Metric::Memory);
        let queue = || Some((memory("af-xdp-2")? - memory("af-xdp")?) / MIB);
        let growth = self.most(&ours(&[]), Metric::MemoryGrowth).map(|bytes| bytes / MIB);
        let idle = self.most(&ours(&["af-xdp-busy-poll"]), Metric::Idle).map(|cores| cores * 100.0);
        vec![
            bar("memory of one more queue, in MiB", AtMost(12.0), sure(queue())),
            bar("growth of memory under load, in MiB, the most of all xstun rows", AtMost(1.0), sure(growth)),
            bar("idle cost without busy polling, in hundredths of a core", AtMost(1.0), sure(idle)),
        ]
    }

    fn rows(&self, ids: &[&str]) -> impl Iterator<Item = &BenchRow> {
        self.0.iter().filter(|row| ids.contains(&row.id))
    }

    /// The greatest of these rows' numbers.
    fn most(&self, ids: &[&str], metric: Metric) -> Option<f64> {
        self.rows(ids).filter_map(|row| row.get(metric)).max_by(f64::total_cmp)
    }

    /// The ratio of the best of these rows to the best of those.
    fn ratio(&self, metric: Metric, these: &[&str], those: &[&str]) -> Option<Value> {
        ratio(self.best(these, metric)?, self.best(those, metric)?)
    }

    /// Replies under the flood to replies at capacity, the least of these rows.
    fn steadiness(&self, ids: &[&str]) -> Option<Value> {
        self.rows(ids)
            .filter_map(|row| ratio(value(row, Metric::Flood)?, value(row, Metric::Capacity)?))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// The best of several rows.
    fn best(&self, ids: &[&str], metric: Metric) -> Option<Value> {
        let values: Vec<Value> = self.rows(ids).filter_map(|row| value(row, metric)).collect();
        let best = values.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
        // A row whose true value is higher may be the best.
        let more = values.iter().any(|(_, uncertainty)| uncertainty.more);
        Some((best.0, Uncertainty { more, ..best.1 }))
    }
}

/// A value and its uncertainty.
type Value = (f64, Uncertainty);

fn bar(what: &'static str, bound: BarBound, measured: Option<Value>) -> Bar {
    let (measured, uncertainty) = measured.unzip();
    Bar { what, bound, measured, uncertainty: uncertainty.unwrap_or_default() }
}

fn sure(measured: Option<f64>) -> Option<Value> {
    measured.map(|value| (value, Uncertainty::default()))
}

/// The share of [`FLOOD`](super::measure::FLOOD) capacities that a flood must send to count as one.
const FLOODED: f64 = 0.8;
/// The requests that a flood must send for each reply to show that a row whose answers the kernel gives is
/// saturated. What exceeds that never gets beyond the receive ring, so more would change nothing.
const SATURATED: f64 = 1.1;

/// A row's number, and whether a stronger generator might have measured another.
fn value(row: &BenchRow, metric: Metric) -> Option<Value> {
    let value = row.get(metric)?;
    let uncertainty = match metric {
        Metric::Capacity => Uncertainty { more: row.bound_by_generator, less: false },
        Metric::Flood => {
            let reaches = |rate| row.get(Metric::FloodSent).is_some_and(|sent| sent >= rate);
            if answered_by_kernel(row) {
                Uncertainty { more: !reaches(SATURATED * value), less: false }
            } else {
                // A stronger flood may bring fewer replies, or more if the server was not saturated.
                let short = !reaches(super::measure::FLOOD * row.get(Metric::Capacity)? * FLOODED);
                Uncertainty { more: short, less: short }
            }
        }
        _ => Uncertainty::default(),
    };
    Some((value, uncertainty))
}

/// Whether its replies, or what it sends back, are made in the kernel.
fn answered_by_kernel(row: &BenchRow) -> bool {
    row.id.trim_start_matches("limit-").starts_with("kernel")
}

fn ratio(a: Value, b: Value) -> Option<Value> {
    let uncertainty = Uncertainty { more: a.1.more || b.1.less, less: a.1.less || b.1.more };
    let ratio = a.0 / b.0;
    ratio.is_finite().then_some((ratio, uncertainty))
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
    fn kernel_answers_are_compared_with_their_limit_and_with_the_other_paths() {
        use Metric::{Capacity, FixedTime, Flood, FloodSent, OwnThreads, P99};
        let flooded = |id, flood: f64, more: &[(Metric, f64)]| {
            let mut row = row(id, &numbers(more));
            row.medians.set(Flood, flood);
            row.medians.set(FloodSent, 5_000.0);
            row
        };
        let rows = [
            flooded("limit-kernel", 1_000.0, &[]),
            flooded(
                "kernel",
                850.0,
                &[(Capacity, 900.0), (FixedTime, 70.0), (P99, 20.0), (OwnThreads, 0.002)],
            ),
            flooded("kernel-generic", 300.0, &[(Capacity, 300.0), (OwnThreads, 0.004)]),
            flooded("af-xdp", 200.0, &[(Capacity, 200.0), (FixedTime, 280.0)]),
            flooded("af-xdp-generic", 160.0, &[(Capacity, 160.0)]),
            flooded("socket", 100.0, &[(P99, 80.0)]),
            flooded("batch", 80.0, &[(Capacity, 80.0)]),
            flooded("coturn", 50.0, &[(Capacity, 50.0)]),
        ];
        let expected = [
            ("0.85", "met"),
            ("4.25", "met"),
            ("0.25", "met"),
            ("1.88", "missed"),
            ("18.00", "met"),
            ("10.62", "met"),
            ("0.94", "missed"),
            ("0.25", "met"),
            ("0.40", "met"),
        ];
        assert_eq!(verdicts(&rows)[7..16], expected.map(|(value, verdict)| (value.to_owned(), verdict)));
    }

    #[test]
    fn a_limit_that_the_flood_does_not_saturate_may_be_higher() {
        let with = |sent: f64| {
            let row = |id, flood| row(id, &numbers(&[(Metric::Flood, flood), (Metric::FloodSent, sent)]));
            judge(&[row("kernel", 900.0), row("limit-kernel", 1_000.0)])[7].verdict()
        };
        assert_eq!(with(1_100.0), "met");
        assert!(with(1_099.0).starts_with("open"));
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
        let last: Vec<_> = bars[16..].iter().map(|bar| (bar.value(), bar.verdict())).collect();
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
