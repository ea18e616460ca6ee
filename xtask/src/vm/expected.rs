//! The rungs that docs/measurements.md records, compared with those that a run reached.

use super::recorded::RecordedTable;
use super::rung::{RungRow, read_table, table};
use anyhow::Result;
use std::path::Path;

/// Where the rungs are recorded.
const RUNGS: RecordedTable = RecordedTable::new("rungs");

/// The recorded rows.
///
/// # Errors
/// The document cannot be read, or lacks the marks of the table.
pub(super) fn read(document: &Path) -> Result<Vec<RungRow>> {
    Ok(read_table(&RUNGS.read(document)?))
}

/// Records `rows`, which replace those of the same kernel series, NIC and mode.
///
/// # Errors
/// The document cannot be read or written, or lacks the marks of the table.
pub(super) fn bless(document: &Path, rows: &[RungRow]) -> Result<()> {
    RUNGS.replace(document, |kept| table(&merge(read_table(kept), rows)))
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
        let less = row.got < kept.got || row.answers < kept.answers || row.queues < kept.queues;
        less.then(|| {
            format!(
                "{}, {}, requested mode {}: got {}, where {} got {} (docs/measurements.md)",
                row.kernel,
                row.nic,
                row.asked,
                row.reached(),
                kept.kernel,
                kept.reached()
            )
        })
    };
    rows.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rung::tests::row;
    use super::super::rung::{Rung, RungRow};
    use super::{RUNGS, bless, lost_rungs, read};

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
        let silent =
            RungRow { answers: Some(false), ..row("6.1.0-57-amd64", "virtio", "auto", Rung::NativeCopy) };
        let [lost] = &lost_rungs(&kept(), &[silent])[..] else { panic!("one fault") };
        assert_eq!(
            lost,
            "6.1.0-57-amd64, virtio, requested mode auto: got native, copy on 2 queues, where 6.1.0-56-amd64 got \
             native, copy with kernel answers on 2 queues (docs/measurements.md)"
        );
    }

    #[test]
    fn blessing_replaces_the_series_and_keeps_the_rest() {
        let directory = std::env::temp_dir().join(format!("xstun-bless-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let document = directory.join("measurements.md");
        std::fs::write(&document, format!("# Before\n\n{}\n{}\n\nafter\n", RUNGS.begin(), RUNGS.end()))
            .unwrap();
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
