//! Collects a guest's report, line by line, into rows and faults.

use super::cases::VmCase;
use super::rung::RungRow;
use super::verified::VerifiedCounts;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// The results of one guest so far.
#[derive(Debug, Default)]
pub(super) struct GuestReport {
    kernel: String,
    /// The rung reached for each NIC and mode.
    pub(super) rows: Vec<RungRow>,
    /// Instructions that the verifier processed for each XDP program.
    pub(super) verified: VerifiedCounts,
    /// Tests of `userspace/tests`: name of the program, number passed, number run.
    pub(super) suites: Vec<(String, u64, u64)>,
    /// Every test that failed, and why.
    pub(super) faults: Vec<String>,
    ended: bool,
}

impl GuestReport {
    pub(super) fn new(kernel: &str) -> Self {
        let verified = VerifiedCounts { kernel: kernel.to_owned(), ..VerifiedCounts::default() };
        GuestReport { kernel: kernel.to_owned(), verified, ..GuestReport::default() }
    }

    /// Adds a line of the report; returns a text to print meanwhile.
    ///
    /// # Errors
    /// The line is not JSON, or lacks a field.
    pub(super) fn take(&mut self, line: &str) -> Result<Option<String>> {
        let record: Value = serde_json::from_str(line)
            .with_context(|| format!("the guest reported a line that is not JSON: {line}"))?;
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
        } else if record["program"].is_string() {
            return Ok(Some(self.program(&record)));
        } else if record["check"].is_string() {
            return Ok(Some(self.check(&record)));
        } else if record["driver"].is_string() {
            let row = RungRow::from_record(&self.kernel, &record)?;
            let why = match text("refused") {
                "" => record["rung"]["stepped_down"].as_str().unwrap_or_default(),
                refused => refused,
            };
            let why = if why.is_empty() { String::new() } else { format!(" ({})", shortened(why)) };
            let reached =
                format!("{} ({}), requested mode {}: {}{why}", row.nic, row.driver, row.asked, row.reached());
            self.rows.push(row);
            return Ok(Some(reached));
        }
        Ok(None)
    }

    fn program(&mut self, record: &Value) -> String {
        let name = record["program"].as_str().unwrap_or_default();
        if let Some(count) = record["verified"].as_u64() {
            self.verified.programs.insert(name.to_owned(), count);
        }
        match record["fault"].as_str() {
            None => format!("{name}: the verifier processed {} instructions", record["verified"]),
            Some(fault) => {
                self.faults.push(format!("{}, {name}: {}", self.kernel, shortened(fault)));
                format!("{name}: FAILED: {}", shortened(fault))
            }
        }
    }

    fn check(&mut self, record: &Value) -> String {
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        let fault = record["fault"].as_str();
        // A check without a row belongs to a rung that could not be tried.
        let row = self.rows.iter_mut().rev().find(|row| row.key() == (text("case"), text("asked")));
        if let Some(row) = row {
            row.tests += 1;
            row.passed += usize::from(fault.is_none());
        }
        let named = format!("{}, requested mode {}: {}", text("case"), text("asked"), text("check"));
        match fault {
            None => format!("  {}: {}", text("check"), text("summary")),
            Some(fault) => {
                let fault = shortened(fault);
                self.faults.push(format!("{}, {named}: {fault}", self.kernel));
                format!("  {}: FAILED: {fault}", text("check"))
            }
        }
    }

    /// Adds what is missing at the end of the report: every NIC and mode must have reached a rung.
    pub(super) fn close(&mut self, cases: &[(usize, VmCase)]) {
        for (_, case) in cases {
            for asked in case.modes() {
                if !self.rows.iter().any(|row| row.key() == (case.name, asked)) {
                    self.faults.push(format!(
                        "{}, {}, requested mode {asked}: reached no rung",
                        self.kernel, case.name
                    ));
                }
            }
        }
        if !self.ended {
            self.faults.push(format!("{}: the guest's report has no end", self.kernel));
        }
    }
}

/// The beginning and the end of a text that may hold a whole log; the guest's report has the rest.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 300;
    let text: Vec<char> = text.replace('\n', " ").chars().collect();
    if text.len() <= 2 * SHOWN {
        return text.iter().collect();
    }
    let (first, last) = (&text[..SHOWN], &text[text.len() - SHOWN..]);
    format!("{} ... {}", String::from_iter(first), String::from_iter(last))
}

#[cfg(test)]
mod tests {
    use super::super::cases::select;
    use super::GuestReport;

    #[test]
    fn every_fault_and_every_gap_is_reported() {
        let mut report = GuestReport::new("6.18.1-amd64");
        for line in [
            r#"{"case":"loopback","asked":"auto","driver":"","rung":{"path":"sockets","stepped_down":"no"}}"#,
            r#"{"case":"loopback","asked":"auto","check":"answers","summary":"fine"}"#,
            r#"{"case":"loopback","asked":"auto","check":"load","fault":"lost"}"#,
            r#"{"suite":"verdicts","passed":3,"tests":4,"faults":["one"]}"#,
            r#"{"program":"xstun_frags","verified":7}"#,
            r#"{"program":"xstun_linear","fault":"refused"}"#,
        ] {
            assert!(report.take(line).unwrap().is_some(), "{line}");
        }
        assert!(report.take("Segmentation fault").is_err());
        assert_eq!((report.rows[0].passed, report.rows[0].tests), (1, 2));
        assert_eq!(report.verified.programs.iter().collect::<Vec<_>>(), [(&"xstun_frags".to_owned(), &7)]);
        report.close(&select(Some("loopback")));
        assert_eq!(
            report.faults,
            [
                "6.18.1-amd64, loopback, requested mode auto: load: lost",
                "6.18.1-amd64, verdicts: one",
                "6.18.1-amd64, xstun_linear: refused",
                "6.18.1-amd64: the guest's report has no end",
            ]
        );
        assert_eq!(report.take(r#"{"end":true}"#).unwrap(), None);
        report.faults.clear();
        report.close(&select(Some("e1000")));
        assert_eq!(report.faults.len(), 3, "{:?}", report.faults);
    }
}
