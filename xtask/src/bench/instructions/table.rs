//! A table of instruction counts by piece and shape.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Growth above which a count is a fault, in percent.
const TOLERANCE: u64 = 2;

/// Bar: most instructions of `answer` for a bare request over IPv4.
const BARE: u64 = 300;
/// Bar: most instructions that a FINGERPRINT adds to that.
const FINGERPRINT: u64 = 150;

/// Counts in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table(Vec<Row>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    piece: String,
    shape: String,
    count: u64,
}

impl Table {
    pub(super) fn insert(&mut self, piece: &str, shape: &str, count: u64) {
        self.0.push(Row { piece: piece.to_owned(), shape: shape.to_owned(), count });
    }

    fn get(&self, piece: &str, shape: &str) -> Option<u64> {
        self.0.iter().find(|row| row.piece == piece && row.shape == shape).map(|row| row.count)
    }

    /// One row per line, so that a diff shows each change.
    pub(super) fn to_json(&self) -> String {
        let rows: Vec<String> = self
            .0
            .iter()
            .map(|Row { piece, shape, count }| {
                format!("  {}", json!({ "piece": piece, "shape": shape, "instructions": count }))
            })
            .collect();
        format!("[\n{}\n]\n", rows.join(",\n"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// The text is not what [`Self::to_json`] writes.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let rows: Vec<Map<String, Value>> = serde_json::from_str(text)?;
        let mut table = Table::default();
        for row in rows {
            let text =
                |key: &str| row.get(key).and_then(Value::as_str).with_context(|| format!("no '{key}'"));
            let count = row.get("instructions").and_then(Value::as_u64).context("no 'instructions'")?;
            table.insert(text("piece")?, text("shape")?, count);
        }
        Ok(table)
    }

    /// A text with every count, and the recorded one if it differs.
    pub(super) fn beside(&self, kept: &Table) -> String {
        let mut text = String::new();
        let mut last = "";
        for Row { piece, shape, count } in &self.0 {
            if piece != last {
                let _ = writeln!(text, "\n{piece}");
                last = piece;
            }
            let _ = write!(text, "  {shape:<36} {count:>6}");
            if let Some(before) = kept.get(piece, shape).filter(|before| before != count) {
                let _ = write!(text, "   {:+.1} % from {before}", 100.0 * growth(before, *count));
            }
            text.push('\n');
        }
        text
    }

    /// Every count that grew too much, is new, or is missing.
    pub(super) fn faults(&self, kept: &Table) -> Vec<String> {
        let mut faults = Vec::new();
        for Row { piece, shape, count } in &self.0 {
            match kept.get(piece, shape) {
                Some(before) if count * 100 > before * (100 + TOLERANCE) => faults.push(format!(
                    "{piece}, {shape}: {count} instructions, {:+.1} % from {before}",
                    100.0 * growth(before, *count)
                )),
                Some(_) => {}
                None => faults.push(format!("{piece}, {shape}: {count} instructions, not in the table")),
            }
        }
        let gone = kept.0.iter().filter(|row| self.get(&row.piece, &row.shape).is_none());
        faults.extend(gone.map(|row| format!("{}, {}: in the table, but not counted", row.piece, row.shape)));
        faults
    }

    /// The two bars of `answer`, each as a text.
    pub(super) fn bars(&self) -> Vec<String> {
        let verdict = |count: u64, bar: u64| if count <= bar { "met" } else { "missed" };
        let mut bars = Vec::new();
        if let Some(bare) = self.get("answer", "IPv4 bare") {
            bars.push(format!("bar: answer, IPv4 bare: {bare} of at most {BARE}: {}", verdict(bare, BARE)));
            if let Some(with) = self.get("answer", "IPv4 FINGERPRINT") {
                let adds = with.saturating_sub(bare);
                bars.push(format!(
                    "bar: FINGERPRINT adds {adds} of at most {FINGERPRINT}: {}",
                    verdict(adds, FINGERPRINT)
                ));
            }
        }
        bars
    }
}

fn growth(before: u64, now: u64) -> f64 {
    now as f64 / before as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn table(rows: &[(&str, &str, u64)]) -> Table {
        let mut table = Table::default();
        for (piece, shape, count) in rows {
            table.insert(piece, shape, *count);
        }
        table
    }

    #[test]
    fn what_is_kept_is_what_is_read() {
        let counts = table(&[("answer", "IPv4 bare", 281), ("checksum \"x\"", "IPv6", 40)]);
        assert_eq!(Table::from_json(&counts.to_json()).unwrap(), counts);
        assert_eq!(counts.to_json().lines().count(), 4);
        Table::from_json("{}").unwrap_err();
        Table::from_json(r#"[{"piece": "answer", "shape": "IPv4"}]"#).unwrap_err();
    }

    #[test]
    fn only_growth_beyond_the_tolerance_is_a_fault() {
        let kept = table(&[("answer", "a", 200), ("answer", "b", 200), ("answer", "c", 200)]);
        let now = table(&[("answer", "a", 204), ("answer", "b", 205), ("answer", "c", 100)]);
        assert_eq!(now.faults(&kept), ["answer, b: 205 instructions, +2.5 % from 200"]);
    }

    #[test]
    fn a_row_that_comes_or_goes_is_a_fault() {
        let kept = table(&[("answer", "old", 200)]);
        let now = table(&[("answer", "new", 200)]);
        assert_eq!(
            now.faults(&kept),
            ["answer, new: 200 instructions, not in the table", "answer, old: in the table, but not counted"]
        );
    }

    #[test]
    fn the_bars_are_judged() {
        let rows = |bare, fingerprint| {
            table(&[("answer", "IPv4 bare", bare), ("answer", "IPv4 FINGERPRINT", fingerprint)])
        };
        assert!(rows(300, 450).bars().iter().all(|bar| bar.ends_with(": met")));
        assert!(rows(301, 452).bars().iter().all(|bar| bar.ends_with(": missed")));
    }

    #[test]
    fn a_change_is_shown_beside_the_count() {
        let shown =
            table(&[("answer", "a", 190), ("answer", "b", 7)]).beside(&table(&[("answer", "a", 200)]));
        assert_eq!(
            shown
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>(),
            ["", "answer", "a 190 -5.0 % from 200", "b 7"]
        );
    }
}
