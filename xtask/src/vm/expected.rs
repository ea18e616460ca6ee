//! The rungs that docs/measurements.md records, compared with those that a run reached.

use super::rung::{RungRow, read_table, table};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// The line before the table.
const BEGIN: &str = "<!-- cargo xtask vm --bless: from here -->";
/// The line after the table.
const END: &str = "<!-- cargo xtask vm --bless: to here -->";

/// The recorded rows.
///
/// # Errors
/// The document cannot be read, or lacks the marks of the table.
pub(super) fn read(document: &Path) -> Result<Vec<RungRow>> {
    let text = load(document)?;
    let (_, kept, _) = split(&text).with_context(|| no_marks(document))?;
    Ok(read_table(kept))
}

/// Records `rows`, which replace those of the same kernel series, NIC and mode.
///
/// # Errors
/// The document cannot be read or written, or lacks the marks of the table.
pub(super) fn bless(document: &Path, rows: &[RungRow]) -> Result<()> {
    let text = load(document)?;
    let (before, kept, after) = split(&text).with_context(|| no_marks(document))?;
    let merged = merge(read_table(kept), rows);
    fs::write(document, format!("{before}\n\n{}\n{after}", table(&merged)))
        .with_context(|| format!("cannot write {}", document.display()))
}

fn load(document: &Path) -> Result<String> {
    fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))
}

fn no_marks(document: &Path) -> String {
    format!("{} has no lines '{BEGIN}' and '{END}' around the table", document.display())
}

/// The text up to the first mark, the table, and the text from the second mark on.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

fn merge(kept: Vec<RungRow>, rows: &[RungRow]) -> Vec<RungRow> {
    let is_new =
        |kept: &RungRow| rows.iter().any(|row| row.series() == kept.series() && row.key() == kept.key());
    let mut merged: Vec<RungRow> = kept.into_iter().filter(|kept| !is_new(kept)).collect();
    merged.extend_from_slice(rows);
    merged.sort_by_key(RungRow::series);
    merged
}

/// The recorded rungs that are no longer reached, each as a sentence. A kernel without a record is
/// compared with the newest recorded one before it, since newer kernels lose no rung.
pub(super) fn lost_rungs(expected: &[RungRow], rows: &[RungRow]) -> Vec<String> {
    let fault = |row: &RungRow| {
        let same = expected.iter().filter(|kept| kept.key() == row.key() && kept.series() <= row.series());
        let kept = same.max_by_key(|kept| kept.series())?;
        (row.got < kept.got || row.queues < kept.queues).then(|| {
            format!(
                "{}, {}, requested mode {}: got {} on {} queues, where {} got {} on {} (docs/measurements.md)",
                row.kernel, row.nic, row.asked, row.got, row.queues, kept.kernel, kept.got, kept.queues
            )
        })
    };
    rows.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rung::tests::row;
    use super::super::rung::{Rung, RungRow};
    use super::{BEGIN, END, bless, lost_rungs, read};

    fn kept() -> Vec<RungRow> {
        vec![
            row("6.1.0-56-amd64", "virtio", "auto", Rung::NativeCopy),
            row("6.18.15+deb13-amd64", "virtio", "auto", Rung::NativeZeroCopy),
        ]
    }

    #[test]
    fn a_rung_that_is_no_longer_reached_is_reported() {
        let reached = |kernel, got| lost_rungs(&kept(), &[row(kernel, "virtio", "auto", got)]).is_empty();
        assert!(reached("6.1.0-57-amd64", Rung::NativeCopy));
        assert!(reached("6.1.0-57-amd64", Rung::NativeZeroCopy), "higher is no fault");
        assert!(!reached("6.1.0-57-amd64", Rung::Generic));
        assert!(!reached("6.18.16+deb13-amd64", Rung::NativeCopy));
        assert!(reached("6.12.1-amd64", Rung::NativeCopy), "compared with 6.1");
        assert!(!reached("6.12.1-amd64", Rung::Generic), "compared with 6.1");
        assert!(!reached("7.2.12+deb13-amd64", Rung::NativeCopy), "compared with 6.18");
        assert!(reached("5.10.0-1-amd64", Rung::Sockets), "older than all that are recorded");
        let fewer = RungRow { queues: 1, ..row("6.1.0-57-amd64", "virtio", "auto", Rung::NativeCopy) };
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

        std::fs::write(&document, "no marks").unwrap();
        assert!(read(&document).unwrap_err().to_string().contains("measurements.md has no lines"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
