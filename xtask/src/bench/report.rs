//! The results as text: a table for the terminal and the page, and the page's section.

use super::bars::judge;
use super::contenders::limits_of;
use super::metrics::{BenchRow, Metric};
use crate::number::grouped;
use std::fmt::Write as _;

/// Where and how the rows were measured.
#[derive(Clone, Debug)]
pub(super) struct BenchContext {
    pub(super) day: String,
    pub(super) commit: Option<String>,
    pub(super) machine: String,
    pub(super) command: String,
    pub(super) rounds: usize,
    pub(super) step: f64,
}

/// The heads of the table's columns.
const HEADS: [&str; 9] = [
    "server",
    "replies/s at no more than 0.1 % loss",
    "of its limit",
    "replies/s under the flood (requests/s)",
    "p50, p99, p99.9 at half that, µs",
    "its threads' time per reply, ns",
    "the same at 300,000/s; its own threads then, % of a core",
    "memory, MiB",
    "idle, % of a core",
];

/// The table in Markdown, aligned for a terminal.
pub(super) fn table(rows: &[BenchRow]) -> String {
    let lines: Vec<[String; HEADS.len()]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(|row| cells(row, rows))).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

fn cells(row: &BenchRow, rows: &[BenchRow]) -> [String; HEADS.len()] {
    const MIB: f64 = 1024.0 * 1024.0;
    let limit = rows
        .iter()
        .filter(|limit| limits_of(row.id).contains(&limit.id))
        .filter_map(|row| row.get(Metric::Capacity))
        .max_by(f64::total_cmp);
    let number = |metric| row.get(metric).map_or("-".to_owned(), grouped);
    let percent = |metric| row.get(metric).map_or("-".to_owned(), |cores| format!("{:.2}", cores * 100.0));
    let capacity = row.get(Metric::Capacity);
    let bound = if row.bound_by_generator { " or more" } else { "" };
    let latency = [Metric::P50, Metric::P99, Metric::P999]
        .map(|metric| row.get(metric).map_or("-".to_owned(), |micros| format!("{micros:.0}")));
    [
        row.label.to_owned(),
        format!("{}{bound}", number(Metric::Capacity)),
        capacity.zip(limit).map_or("-".to_owned(), |(capacity, limit)| format!("{:.2}", capacity / limit)),
        format!("{} ({})", number(Metric::Flood), number(Metric::FloodSent)),
        latency.join(", "),
        number(Metric::ProcessTime),
        format!("{}; {}", number(Metric::FixedTime), percent(Metric::OwnThreads)),
        row.get(Metric::Memory).map_or("-".to_owned(), |bytes| format!("{:.1}", bytes / MIB)),
        percent(Metric::Idle),
    ]
}

/// The bars, in Markdown.
pub(super) fn bars(rows: &[BenchRow]) -> String {
    let mut text = String::from("| what | bar | measured | |\n|---|---|---|---|\n");
    for bar in judge(rows) {
        let _ = writeln!(text, "| {} | {} | {} | {} |", bar.what, bar.bound, bar.value(), bar.verdict());
    }
    text
}

/// The page's section: the bars, then the numbers behind them.
pub(super) fn section(rows: &[BenchRow], setting: &BenchContext, plot: &str) -> String {
    let mut text = String::from("## Speed, side by side\n\n");
    let commit = setting.commit.as_ref().map_or(String::new(), |commit| format!(" (commit {commit})"));
    let _ = writeln!(
        text,
        "Measured on {} by `{}`{commit} on {}. Compare only ratios within one run: \
         absolute numbers depend on the machine.\n",
        setting.day, setting.command, setting.machine
    );
    text.push_str(&bars(rows));
    let _ = writeln!(text, "\n![replies per second, at capacity and under the flood]({plot})\n");
    text.push_str(&table(rows));
    let _ = writeln!(
        text,
        "\nThe server has the first core and the generator the last; a veth pair joins them. For one queue an XDP \
         program makes the requests and redirects them into the pair (`bench/src/bin/flood.rs`); for several \
         queues `xstun load` sends them over AF_XDP. Every number is the median of {} round{}; a load lasts \
         {} s. The flood is 5 times the row's own capacity, or what the generator can send. Latency counts \
         from the intended time of sending. The time of its threads includes that of the kernel threads that \
         poll its interface (NAPI). The limit of a row is the bare swap of its kind: XDP_TX for kernel \
         answers, AF_XDP for all others. The settings of a veth pair decide which core does its receive \
         work; each row has the setting with its highest capacity:\n",
        setting.rounds,
        if setting.rounds == 1 { "" } else { "s" },
        setting.step,
    );
    for row in rows {
        let shared = if row.shared_core { "; the generator shares a core with the server" } else { "" };
        let _ = writeln!(text, "- {}: {}{shared}", row.label, row.setting);
    }
    text
}

/// The rows of the README's table.
const SUMMARY: [&str; 8] =
    ["limit-kernel", "kernel", "kernel-generic", "limit", "af-xdp", "socket", "batch", "coturn"];

/// The README's table: the rows that say the most.
pub(super) fn summary(rows: &[BenchRow], setting: &BenchContext) -> String {
    let mut text = format!(
        "From one run of `{}` on a veth pair, with the server on one core and the generator on the other ({}; \
         {}). Each server has those settings of the pair under which it sustained most.\n\n\
         | server | replies/s at no more than 0.1 % loss | under a flood of up to five times that | p50, p99 \
         at half of it, µs |\n|---|---|---|---|\n",
        setting.command, setting.machine, setting.day
    );
    for row in rows.iter().filter(|row| SUMMARY.contains(&row.id)) {
        let [label, capacity, _, _, latency, ..] = cells(row, rows);
        let flood = row.get(Metric::Flood).map_or("-".to_owned(), grouped);
        let latency = latency.rsplit_once(", ").map_or("", |(p50_p99, _)| p50_p99);
        let _ = writeln!(text, "| {label} | {capacity} | {flood} | {latency} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{BenchContext, bars, section, summary, table};
    use crate::bench::metrics::{BenchRow, Metric};
    use crate::bench::sample::{numbers, row};

    fn rows() -> Vec<BenchRow> {
        let mut batch = row("batch", &numbers(&[(Metric::Capacity, 250_000.4), (Metric::Flood, 70_000.0)]));
        batch.bound_by_generator = true;
        batch.shared_core = true;
        let ours = numbers(&[
            (Metric::Capacity, 1_000_000.0),
            (Metric::Flood, 990_000.0),
            (Metric::FloodSent, 5_000_000.0),
            (Metric::P50, 10.4),
            (Metric::P99, 20.6),
            (Metric::Memory, 10.5 * 1024.0 * 1024.0),
            (Metric::Idle, 0.0012),
        ]);
        vec![row("limit", &numbers(&[(Metric::Capacity, 950_000.0)])), row("af-xdp", &ours), batch]
    }

    #[test]
    fn every_row_is_a_line_with_as_many_cells() {
        let table = table(&rows());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.matches('|').count() == 10));
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        let cells: Vec<&str> = lines[3].split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..10],
            ["af-xdp", "1,000,000", "1.05", "990,000 (5,000,000)", "10, 21, -", "-", "-; -", "10.5", "0.12"]
        );
        assert!(lines[4].contains("250,000 or more"));
    }

    fn setting() -> BenchContext {
        BenchContext {
            day: "2026-01-02".into(),
            commit: Some("abc1234".into()),
            machine: "Linux 6.18, a processor, 2 cores".into(),
            command: "cargo xtask bench".into(),
            rounds: 3,
            step: 2.0,
        }
    }

    #[test]
    fn the_summary_has_context_and_the_rows_that_it_names() {
        let mut rows = rows();
        rows.push(row("tokio", &numbers(&[(Metric::Capacity, 1.0)])));
        let summary = summary(&rows, &setting());
        assert!(summary.contains("`cargo xtask bench`") && summary.contains("2 cores; 2026-01-02"));
        assert!(summary.contains("\n| af-xdp | 1,000,000 | 990,000 | 10, 21 |\n"));
        assert!(summary.contains("\n| batch | 250,000 or more | 70,000 | -, - |\n"));
        assert!(!summary.contains("tokio"));
    }

    #[test]
    fn the_section_has_context_verdicts_and_numbers() {
        let section = section(&rows(), &setting(), "benchmark.svg");
        for part in
            ["2026-01-02", "abc1234", "Linux 6.18", "`cargo xtask bench`", "3 rounds", "benchmark.svg"]
        {
            assert!(section.contains(part), "{part}");
        }
        assert!(section.contains("- batch: plain; the generator shares"));
        assert!(section.find("at least 15") < section.find("of its limit"));
    }

    #[test]
    fn the_bars_are_a_table() {
        let bars = bars(&rows());
        assert!(bars.contains(
            "| AF_XDP path / recvmmsg and sendmmsg, each at its best | at least 3.5 | 4.00 | open: the generator reached its limit |"
        ));
        assert!(bars.contains("| AF_XDP path / coturn | at least 15 | - | not measured |"));
    }
}
