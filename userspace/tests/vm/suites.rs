//! The tests of `userspace/tests` that need only this kernel, run on it.

use crate::report::Report;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Each program, and the parts of it that a kernel decides; all of it where none is named. The others
/// need what a guest has not, other people's clients and NATs, or tell of no kernel.
const SUITES: [(&str, &[&str]); 3] = [
    ("verdicts", &[]),
    ("interface", &[]),
    ("end_to_end", &["addresses::", "errors::", "lifecycle::", "passing::"]),
];
/// Seconds that one may take.
const LIMIT: &str = "600";

/// Runs those that are there.
pub(crate) fn run(report: &Report) {
    for (suite, parts) in SUITES {
        let path = Path::new("/bin").join(suite);
        if !path.exists() {
            continue;
        }
        eprintln!("{suite}");
        let mut command = Command::new("timeout");
        command.arg(LIMIT).arg(path).args(["--include-ignored", "--test-threads=2"]).args(parts);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().expect("standard output is piped");
        let (mut passed, mut faults) = (0, Vec::new());
        // All of it goes to the console too: that a guest which says something still runs is how the machine
        // outside knows.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            eprintln!("{line}");
            passed += usize::from(line.starts_with("test ") && line.ends_with("... ok"));
            if line.starts_with("test ") && line.ends_with("... FAILED") {
                faults.push(line);
            }
        }
        let status = child.wait().unwrap();
        if !status.success() && faults.is_empty() {
            faults.push(format!("ended with {status}"));
        }
        report.tell(&json!({
            "suite": suite, "passed": passed, "tests": passed + faults.len(), "faults": faults,
        }));
    }
}
