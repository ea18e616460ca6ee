//! The instructions that each kernel's verifier processed for each XDP program, and the table of them.

use super::recorded::RecordedTable;
use super::rung::series;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Where the counts are recorded.
const COUNTS: RecordedTable = RecordedTable::new("verifier");

/// The counts of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VerifiedCounts {
    /// As `uname -r` prints it.
    pub(super) kernel: String,
    /// Instructions by the name of the program.
    pub(super) programs: BTreeMap<String, u64>,
}

/// Records `counts`, which replace those of the same kernel series.
///
/// # Errors
/// The document cannot be read or written, or lacks the marks of the table.
pub(super) fn bless(document: &Path, counts: &[VerifiedCounts]) -> Result<()> {
    COUNTS.replace(document, |kept| {
        let new: BTreeSet<_> = counts.iter().map(|counts| series(&counts.kernel)).collect();
        let mut all = read_table(kept);
        all.retain(|kept| !new.contains(&series(&kept.kernel)));
        all.extend_from_slice(counts);
        all.sort_by_key(|counts| series(&counts.kernel));
        table(&all)
    })
}

/// The counts as a table in Markdown, a column for each program.
fn table(all: &[VerifiedCounts]) -> String {
    let names: BTreeSet<&String> = all.iter().flat_map(|counts| counts.programs.keys()).collect();
    let mut text = String::from("| kernel |");
    for name in &names {
        let _ = write!(text, " {name} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(names.len()));
    for counts in all {
        let _ = write!(text, "| {} |", counts.kernel);
        for name in &names {
            let count = counts.programs.get(*name).map_or_else(|| "-".to_owned(), u64::to_string);
            let _ = write!(text, " {count} |");
        }
        text.push('\n');
    }
    text
}

/// The counts of a [`table`].
fn read_table(text: &str) -> Vec<VerifiedCounts> {
    let mut lines = text.lines().filter_map(|line| {
        let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(str::trim).collect::<Vec<_>>())
    });
    let Some(head) = lines.next() else { return Vec::new() };
    // The second line is the rule.
    let row = |cells: Vec<&str>| VerifiedCounts {
        kernel: cells[0].to_owned(),
        programs: head[1..]
            .iter()
            .zip(&cells[1..])
            .filter_map(|(name, count)| Some(((*name).to_owned(), count.parse().ok()?)))
            .collect(),
    };
    lines.skip(1).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{VerifiedCounts, read_table, table};

    fn counts(kernel: &str, programs: &[(&str, u64)]) -> VerifiedCounts {
        let programs = programs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        VerifiedCounts { kernel: kernel.to_owned(), programs }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let all = [
            counts("6.1.0-56-amd64", &[("large", 50071), ("small", 7)]),
            counts("7.3.4+deb13-amd64", &[("small", 9)]),
        ];
        let text = table(&all);
        assert_eq!(
            text,
            "| kernel | large | small |\n|---|---|---|\n| 6.1.0-56-amd64 | 50071 | 7 |\n\
             | 7.3.4+deb13-amd64 | - | 9 |\n"
        );
        assert_eq!(read_table(&format!("\n\n{text}\n")), all);
        assert_eq!(read_table("\n"), []);
    }
}
