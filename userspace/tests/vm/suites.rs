//! Runs the tests of `userspace/tests` that need only this kernel.

use crate::report::Report;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Each test program, and the modules of it whose results depend on the kernel; all if none is named. The
/// other modules need third-party clients or NATs, which a guest lacks, or do not depend on the kernel.
const SUITES: [(&str, &[&str]); 3] = [
    ("verdicts", &[]),
    ("interface", &[]),
    ("end_to_end", &["addresses::", "errors::", "lifecycle::", "losses::", "passing::"]),
];
/// Time limit of a program, in seconds.
const LIMIT: &str = "600";

/// Runs the programs that are in the guest.
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
        // Everything is also printed on the console: by this output the host knows that the guest still runs.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            eprintln!("{line}");
            passed += usize::from(line.starts_with("test ") && line.ends_with("... ok"));
            if line.starts_with("test ") && line.ends_with("... FAILED") {
                faults.push(line);
            }
        }
        let status = child.wait().unwrap();
        if !status.success() && faults.is_empty() {
            faults.push(format!("exited with {status}"));
        }
        report.write(&json!({
            "suite": suite, "passed": passed, "tests": passed + faults.len(), "faults": faults,
        }));
    }
}
