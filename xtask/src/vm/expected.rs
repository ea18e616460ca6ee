//! The rungs that docs/measurements.md records as working, and what a run makes of them.

use super::rung::{Row, read_table, table};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// Where the table stands in the document.
const BEGIN: &str = "<!-- cargo xtask vm --bless: from here -->";
const END: &str = "<!-- cargo xtask vm --bless: to here -->";

/// The rows that are recorded.
///
/// # Errors
/// The document cannot be read, or has no place for the table.
pub(super) fn read(document: &Path) -> Result<Vec<Row>> {
    let text = load(document)?;
    let (_, kept, _) = split(&text).with_context(|| lost(document))?;
    Ok(read_table(kept))
}

/// Records `rows` in place of those of the same kernel series, NIC and mode asked.
///
/// # Errors
/// The document cannot be read or written, or has no place for the table.
pub(super) fn bless(document: &Path, rows: &[Row]) -> Result<()> {
    let text = load(document)?;
    let (before, kept, after) = split(&text).with_context(|| lost(document))?;
    let merged = merge(read_table(kept), rows);
    fs::write(document, format!("{before}\n\n{}\n{after}", table(&merged)))
        .with_context(|| format!("cannot write {}", document.display()))
}

fn load(document: &Path) -> Result<String> {
    fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))
}

fn lost(document: &Path) -> String {
    format!("{} has no lines '{BEGIN}' and '{END}' for the table to stand between", document.display())
}

/// What stands before the table, with its mark; the table; the rest.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

fn merge(kept: Vec<Row>, rows: &[Row]) -> Vec<Row> {
    let is_new = |kept: &Row| rows.iter().any(|row| row.series() == kept.series() && row.key() == kept.key());
    let mut merged: Vec<Row> = kept.into_iter().filter(|kept| !is_new(kept)).collect();
    merged.extend_from_slice(rows);
    merged.sort_by_key(Row::series);
    merged
}

/// What is no longer reached of what is recorded. A kernel that is not in the record is held to the
/// newest one before it: newer kernels take no rung away.
pub(super) fn lost_rungs(expected: &[Row], rows: &[Row]) -> Vec<String> {
    let fault = |row: &Row| {
        let same = expected.iter().filter(|kept| kept.key() == row.key() && kept.series() <= row.series());
        let kept = same.max_by_key(|kept| kept.series())?;
        (row.got < kept.got || row.queues < kept.queues).then(|| {
            format!(
                "{}, {}, asked for {}: got {} on {} queues, where {} got {} on {} (docs/measurements.md)",
                row.kernel, row.nic, row.asked, row.got, row.queues, kept.kernel, kept.got, kept.queues
            )
        })
    };
    rows.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rung::tests::row;
    use super::super::rung::{Row, Rung};
    use super::{BEGIN, END, bless, lost_rungs, read};

    fn kept() -> Vec<Row> {
        vec![
            row("6.1.0-56-amd64", "virtio", "auto", Rung::NativeCopy),
            row("6.18.15+deb13-amd64", "virtio", "auto", Rung::NativeZeroCopy),
        ]
    }

    #[test]
    fn a_rung_that_is_no_longer_reached_is_told() {
        let reached = |kernel, got| lost_rungs(&kept(), &[row(kernel, "virtio", "auto", got)]).is_empty();
        assert!(reached("6.1.0-57-amd64", Rung::NativeCopy));
        assert!(reached("6.1.0-57-amd64", Rung::NativeZeroCopy), "higher is no fault");
        assert!(!reached("6.1.0-57-amd64", Rung::Generic));
        assert!(!reached("6.18.16+deb13-amd64", Rung::NativeCopy));
        assert!(reached("6.12.1-amd64", Rung::NativeCopy), "held to 6.1");
        assert!(!reached("6.12.1-amd64", Rung::Generic), "held to 6.1");
        assert!(!reached("7.2.12+deb13-amd64", Rung::NativeCopy), "held to 6.18");
        assert!(reached("5.10.0-1-amd64", Rung::Sockets), "older than all that is known");
        let fewer = Row { queues: 1, ..row("6.1.0-57-amd64", "virtio", "auto", Rung::NativeCopy) };
        assert_eq!(lost_rungs(&kept(), &[fewer]).len(), 1);
    }

    #[test]
    fn blessing_replaces_the_series_and_keeps_the_rest() {
        let directory = std::env::temp_dir().join(format!("xstun-bless-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let document = directory.join("measurements.md");
        std::fs::write(&document, format!("# Before\n\n{BEGIN}\n{END}\n\nafter\n")).unwrap();
        bless(&document, &kept()).unwrap();
        assert_eq!(read(&document).unwrap(), kept());
        let newer = row("6.1.0-99-amd64", "virtio", "auto", Rung::Generic);
        bless(&document, std::slice::from_ref(&newer)).unwrap();
        assert_eq!(read(&document).unwrap(), [newer, kept()[1].clone()]);
        let text = std::fs::read_to_string(&document).unwrap();
        assert!(text.starts_with("# Before\n\n<!--") && text.ends_with("-->\n\nafter\n"), "{text}");

        std::fs::write(&document, "no place").unwrap();
        assert!(read(&document).unwrap_err().to_string().contains("measurements.md has no lines"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
