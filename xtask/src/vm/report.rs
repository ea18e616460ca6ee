//! What a guest reports, line by line, gathered into rows and faults.

use super::cases::Case;
use super::rung::Row;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// What is known of one guest's tests.
#[derive(Debug, Default)]
pub(super) struct Report {
    kernel: String,
    /// What came of each way of asking.
    pub(super) rows: Vec<Row>,
    /// Tests of `userspace/tests` that ran there: name of the program, passed, of how many.
    pub(super) suites: Vec<(String, u64, u64)>,
    /// Each test that failed, and why.
    pub(super) faults: Vec<String>,
    ended: bool,
}

impl Report {
    pub(super) fn new(kernel: &str) -> Self {
        Report { kernel: kernel.to_owned(), ..Report::default() }
    }

    /// Takes in a line; gives what a person wants to read of it meanwhile.
    ///
    /// # Errors
    /// The line is none that the guest's program writes.
    pub(super) fn hear(&mut self, line: &str) -> Result<Option<String>> {
        let record: Value =
            serde_json::from_str(line).with_context(|| format!("the guest reported no JSON: {line}"))?;
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        if record["end"] == true {
            self.ended = true;
        } else if record["suite"].is_string() {
            let number = |key: &str| record[key].as_u64().unwrap_or_default();
            self.suites.push((text("suite").to_owned(), number("passed"), number("tests")));
            for fault in record["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                self.faults.push(format!("{}, {}: {fault}", self.kernel, text("suite")));
            }
            return Ok(Some(format!(
                "{}: {} of {} passed",
                text("suite"),
                record["passed"],
                record["tests"]
            )));
        } else if record["check"].is_string() {
            return Ok(Some(self.check(&record)));
        } else if record["driver"].is_string() {
            let row = Row::from_record(&self.kernel, &record)?;
            let why = match text("refused") {
                "" => record["rung"]["stepped_down"].as_str().unwrap_or_default(),
                refused => refused,
            };
            let why = if why.is_empty() { String::new() } else { format!(" ({})", shortened(why)) };
            let told = format!("{} ({}), asked for {}: {}{why}", row.nic, row.driver, row.asked, row.got);
            self.rows.push(row);
            return Ok(Some(told));
        }
        Ok(None)
    }

    fn check(&mut self, record: &Value) -> String {
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        let fault = record["fault"].as_str();
        // A check that comes before any rung belongs to one that could not even be tried.
        let row = self.rows.iter_mut().rev().find(|row| row.key() == (text("case"), text("asked")));
        if let Some(row) = row {
            row.tests += 1;
            row.passed += usize::from(fault.is_none());
        }
        let named = format!("{}, asked for {}: {}", text("case"), text("asked"), text("check"));
        match fault {
            None => format!("  {}: {}", text("check"), text("told")),
            Some(fault) => {
                let fault = shortened(fault);
                self.faults.push(format!("{}, {named}: {fault}", self.kernel));
                format!("  {}: FAILED: {fault}", text("check"))
            }
        }
    }

    /// What is missing of a report that is at its end: every way of asking must have come to a rung.
    pub(super) fn close(&mut self, cases: &[(usize, Case)]) {
        for (_, case) in cases {
            for asked in case.asked() {
                if !self.rows.iter().any(|row| row.key() == (case.name, asked)) {
                    self.faults
                        .push(format!("{}, {}, asked for {asked}: came to no rung", self.kernel, case.name));
                }
            }
        }
        if !self.ended {
            self.faults.push(format!("{}: the guest's tests ended before their end", self.kernel));
        }
    }
}

/// The beginning of a text that may hold a whole log; the rest is in the guest's report.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 600;
    let text = text.replace('\n', " ");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::select;
    use super::Report;

    #[test]
    fn every_fault_and_every_gap_is_told() {
        let mut report = Report::new("6.18.1-amd64");
        for line in [
            r#"{"case":"loopback","asked":"auto","driver":"","rung":{"path":"sockets","stepped_down":"no"}}"#,
            r#"{"case":"loopback","asked":"auto","check":"answers","told":"fine"}"#,
            r#"{"case":"loopback","asked":"auto","check":"load","fault":"lost"}"#,
            r#"{"suite":"verdicts","passed":3,"tests":4,"faults":["one"]}"#,
        ] {
            assert!(report.hear(line).unwrap().is_some(), "{line}");
        }
        assert!(report.hear("Segmentation fault").is_err());
        assert_eq!((report.rows[0].passed, report.rows[0].tests), (1, 2));
        report.close(&select(Some("loopback")));
        assert_eq!(
            report.faults,
            [
                "6.18.1-amd64, loopback, asked for auto: load: lost",
                "6.18.1-amd64, verdicts: one",
                "6.18.1-amd64: the guest's tests ended before their end",
            ]
        );
        assert_eq!(report.hear(r#"{"end":true}"#).unwrap(), None);
        report.faults.clear();
        report.close(&select(Some("e1000")));
        assert_eq!(report.faults.len(), 2, "{:?}", report.faults);
    }
}
