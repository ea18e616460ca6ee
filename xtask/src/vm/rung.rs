//! The rungs of the ladder, and the table of those that were reached.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt;

/// A rung of the ladder, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rung {
    /// The server was pinned to a rung that is not available, and refused to start.
    Refused,
    /// Zero-copy of a driver that is known to lose frames in it.
    Faulty,
    Sockets,
    Generic,
    NativeCopy,
    NativeZeroCopy,
}

impl Rung {
    const ALL: [Rung; 6] =
        [Rung::Refused, Rung::Faulty, Rung::Sockets, Rung::Generic, Rung::NativeCopy, Rung::NativeZeroCopy];

    /// From the server's log line about an interface.
    fn from_log(line: &Value) -> Option<Self> {
        Some(match (line["path"].as_str()?, line["xdp_mode"].as_str(), line["bind_mode"].as_str()) {
            ("sockets", ..) => Rung::Sockets,
            ("af-xdp", Some("generic"), Some("copy")) => Rung::Generic,
            ("af-xdp", Some("native"), Some("copy")) => Rung::NativeCopy,
            ("af-xdp", Some("native"), Some("zero-copy")) => Rung::NativeZeroCopy,
            _ => return None,
        })
    }

    /// Its cells in the table: where the program runs, and how frames reach user space.
    const fn cells(self) -> (&'static str, &'static str) {
        match self {
            Rung::Refused => ("refused", "-"),
            Rung::Faulty => ("native", "zero-copy, faulty"),
            Rung::Sockets => ("sockets", "-"),
            Rung::Generic => ("generic", "copy"),
            Rung::NativeCopy => ("native", "copy"),
            Rung::NativeZeroCopy => ("native", "zero-copy"),
        }
    }

    fn from_cells(mode: &str, frames: &str) -> Option<Self> {
        Rung::ALL.into_iter().find(|rung| rung.cells() == (mode, frames))
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cells() {
            (mode, "-") => f.write_str(mode),
            (mode, frames) => write!(f, "{mode}, {frames}"),
        }
    }
}

/// The rung reached for one mode on one NIC of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RungRow {
    /// As `uname -r` prints it.
    pub(super) kernel: String,
    pub(super) nic: String,
    pub(super) driver: String,
    pub(super) asked: String,
    pub(super) got: Rung,
    /// Whether the XDP program answers plain requests; `None` without one.
    pub(super) answers: Option<bool>,
    pub(super) queues: u64,
    pub(super) passed: usize,
    pub(super) tests: usize,
}

/// Heads of the table's columns.
const HEADS: [&str; 9] = [
    "kernel",
    "NIC",
    "driver",
    "mode asked",
    "mode got",
    "frames",
    "kernel answers",
    "queues",
    "tests passed",
];

impl RungRow {
    /// From the guest's record of a rung.
    pub(super) fn from_record(kernel: &str, record: &Value) -> Result<Self> {
        let text = |key: &str| {
            let text = record[key].as_str().map(str::to_owned);
            text.with_context(|| format!("the guest's record has no '{key}': {record}"))
        };
        let rung = || Rung::from_log(&record["rung"]).with_context(|| format!("no known rung: {record}"));
        let got = match record["refused"].is_string() {
            true => Rung::Refused,
            false if record["faulty"] == true && rung()? == Rung::NativeZeroCopy => Rung::Faulty,
            false => rung()?,
        };
        Ok(RungRow {
            kernel: kernel.to_owned(),
            nic: text("case")?,
            driver: text("driver")?,
            asked: text("asked")?,
            got,
            answers: record["rung"]["kernel_answers"].as_str().map(|text| text.starts_with("on")),
            queues: record["rung"]["queues"].as_u64().unwrap_or_default(),
            passed: 0,
            tests: 0,
        })
    }

    /// What identifies a row across runs.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.nic, &self.asked)
    }

    /// The rung in words.
    pub(super) fn reached(&self) -> String {
        let answers = if self.answers == Some(true) { " with kernel answers" } else { "" };
        match self.queues {
            0 => self.got.to_string(),
            queues => format!("{}{answers} on {queues} queues", self.got),
        }
    }

    /// Major and minor number of its kernel.
    pub(super) fn series(&self) -> (u32, u32) {
        series(&self.kernel)
    }

    fn cells(&self) -> [String; HEADS.len()] {
        let (mode, frames) = self.got.cells();
        let queues = if self.queues == 0 { "-".to_owned() } else { self.queues.to_string() };
        [
            self.kernel.clone(),
            self.nic.clone(),
            self.driver.clone(),
            self.asked.clone(),
            mode.to_owned(),
            frames.to_owned(),
            self.answers.map_or("-", |answers| if answers { "on" } else { "off" }).to_owned(),
            queues,
            format!("{} of {}", self.passed, self.tests),
        ]
    }

    fn from_cells(cells: &[&str]) -> Option<Self> {
        let [kernel, nic, driver, asked, mode, frames, answers, queues, tests] = cells else { return None };
        let (passed, tests) = tests.split_once(" of ")?;
        Some(RungRow {
            kernel: (*kernel).to_owned(),
            nic: (*nic).to_owned(),
            driver: (*driver).to_owned(),
            asked: (*asked).to_owned(),
            got: Rung::from_cells(mode, frames)?,
            answers: match *answers {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            },
            queues: if *queues == "-" { 0 } else { queues.parse().ok()? },
            passed: passed.parse().ok()?,
            tests: tests.parse().ok()?,
        })
    }
}

/// Major and minor number of a kernel's release.
pub(super) fn series(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// The rows as a table in Markdown.
pub(super) fn table(rows: &[RungRow]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(HEADS.len()));
    let rows: String = rows.iter().map(|row| line(&row.cells())).collect();
    line(&HEADS.map(str::to_owned)) + &rule + &rows
}

/// The rows as aligned columns.
pub(super) fn columns(rows: &[RungRow]) -> String {
    let lines: Vec<_> =
        std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(RungRow::cells)).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The rows of a [`table`] somewhere in the text.
pub(super) fn read_table(text: &str) -> Vec<RungRow> {
    let cells = |line: &str| -> Option<RungRow> {
        let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<_> = inner.split('|').map(str::trim).collect();
        RungRow::from_cells(&cells)
    };
    text.lines().filter_map(cells).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Rung, RungRow, columns, read_table, series, table};
    use serde_json::json;

    pub(crate) fn row(kernel: &str, nic: &str, asked: &str, got: Rung) -> RungRow {
        let [kernel, nic, driver, asked] = [kernel, nic, "virtio_net", asked].map(str::to_owned);
        RungRow { kernel, nic, driver, asked, got, answers: Some(true), queues: 2, passed: 7, tests: 8 }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut rows: Vec<_> =
            Rung::ALL.into_iter().map(|got| row("6.1.0-56-amd64", "virtio, 2 queues", "auto", got)).collect();
        rows[1].queues = 0;
        (rows[1].answers, rows[2].answers) = (None, Some(false));
        let text = format!("# Words\n\n| a | b |\n|---|---|\n\n{}\nmore words\n", table(&rows));
        assert_eq!(read_table(&text), rows);
        assert_eq!(columns(&rows).lines().count(), rows.len() + 1);
    }

    #[test]
    fn a_record_becomes_a_row_or_an_error() {
        let rung = json!({ "path": "af-xdp", "xdp_mode": "native", "bind_mode": "zero-copy", "queues": 2, "kernel_answers": "off: zero-copy serves" });
        let record = json!({ "case": "virtio", "asked": "auto", "driver": "virtio_net", "rung": rung });
        let row = RungRow::from_record("6.18.15+deb13-amd64", &record).unwrap();
        assert_eq!(row.answers, Some(false));
        assert_eq!((row.got, row.queues, row.series()), (Rung::NativeZeroCopy, 2, (6, 18)));
        let refused =
            json!({ "case": "virtio", "asked": "native", "driver": "virtio_net", "refused": "why" });
        assert_eq!(RungRow::from_record("6.1.0", &refused).unwrap().got, Rung::Refused);
        let rung = json!({ "path": "af-xdp", "xdp_mode": "native", "bind_mode": "zero-copy" });
        let faulty =
            json!({ "case": "igb", "asked": "zero-copy", "driver": "igb", "rung": rung, "faulty": true });
        assert_eq!(RungRow::from_record("7.3.4", &faulty).unwrap().got, Rung::Faulty);
        let mixed = json!({ "path": "af-xdp", "xdp_mode": "native", "bind_mode": "zero-copy,copy" });
        let record = json!({ "case": "virtio", "asked": "auto", "driver": "virtio_net", "rung": mixed });
        assert!(
            RungRow::from_record("6.1.0", &record).is_err(),
            "queues on two rungs are on no rung of the ladder"
        );
    }

    #[test]
    fn a_series_is_two_numbers() {
        assert_eq!(series("6.12.117+deb12-amd64"), (6, 12));
        assert_eq!(series("6.1.0-56-amd64"), (6, 1));
    }
}
