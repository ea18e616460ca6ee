//! The report as text and as JSON.

use super::check::{Check, DoctorReport, PREDICTION, Severity};
use crate::output::counted;
use std::fmt::Write as _;

/// Widths of the columns before the facts: severity and name.
const SEVERITY_WIDTH: usize = 9;
const NAME_WIDTH: usize = 15;

/// Returns one JSON object and a newline.
pub(super) fn json(report: &DoctorReport) -> String {
    let mut text =
        serde_json::to_string_pretty(report).expect("a map keyed by strings, of strings, cannot fail");
    text.push('\n');
    text
}

/// Returns a table for each group of checks, then a summary.
pub(super) fn text(report: &DoctorReport, colour: bool) -> String {
    let mut out = String::new();
    group(&mut out, "host", &report.host, colour);
    for (name, checks) in &report.interfaces {
        group(&mut out, &format!("interface {name}"), checks, colour);
    }
    // Writing to a String cannot fail.
    let (problems, warnings) = (report.count(Severity::Problem), report.count(Severity::Warning));
    let _ =
        writeln!(out, "{}, {}.", counted(problems as u64, "problem"), counted(warnings as u64, "warning"));
    for (name, checks) in &report.interfaces {
        for prediction in checks.iter().filter(|check| check.check == PREDICTION) {
            let _ = writeln!(out, "xstun serve --interface {name} would use {}.", prediction.found);
        }
    }
    if report.interfaces.is_empty() {
        let _ = writeln!(out, "No interface except loopback is up: xstun serve would use sockets only.");
    }
    out
}

fn group(out: &mut String, title: &str, checks: &[Check], colour: bool) {
    let _ = writeln!(out, "{title}");
    for check in checks.iter().filter(|check| check.check != PREDICTION) {
        let severity = format!("{:SEVERITY_WIDTH$}", check.severity.name());
        let severity = if colour { paint(check.severity, &severity) } else { severity };
        let _ = writeln!(out, "  {severity}{:NAME_WIDTH$}  {}", check.check, check.found);
        if let Some(fix) = &check.fix {
            let label = if check.severity >= Severity::Warning { "fix" } else { "tip" };
            let _ = writeln!(out, "  {:1$}{label}: {fix}", "", SEVERITY_WIDTH + NAME_WIDTH + 2);
        }
    }
    out.push('\n');
}

fn paint(severity: Severity, text: &str) -> String {
    let code = match severity {
        Severity::Info => "2",
        Severity::Ok => "32",
        Severity::Warning => "33",
        Severity::Problem => "1;31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::{Check, DoctorReport, PREDICTION, Severity, json, text};

    fn report() -> DoctorReport {
        DoctorReport {
            host: vec![Check::ok("kernel", "6.18.1")],
            interfaces: vec![(
                "eth0".into(),
                vec![
                    Check::warning("VLAN tags", "hidden").fix("ethtool -K eth0 rxvlan off"),
                    Check::info(PREDICTION, "native XDP; copy mode; 2 queues on 2 cores"),
                ],
            )],
        }
    }

    #[test]
    fn the_text_has_groups_fixes_and_a_summary() {
        assert_eq!(
            text(&report(), false),
            "host\n\
             \x20 ok       kernel           6.18.1\n\
             \n\
             interface eth0\n\
             \x20 warning  VLAN tags        hidden\n\
             \x20                           fix: ethtool -K eth0 rxvlan off\n\
             \n\
             0 problems, 1 warning.\n\
             xstun serve --interface eth0 would use native XDP; copy mode; 2 queues on 2 cores.\n"
        );
        assert!(text(&report(), true).contains("\x1b[33mwarning"));
    }

    #[test]
    fn the_json_has_the_checks_and_the_worst_severity() {
        let value: serde_json::Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(value["worst"], "warning");
        assert_eq!(value["host"][0]["check"], "kernel");
        assert_eq!(value["host"][0]["fix"], serde_json::Value::Null);
        assert_eq!(value["interfaces"]["eth0"][0]["fix"], "ethtool -K eth0 rxvlan off");
        assert_eq!(value["interfaces"]["eth0"][1]["check"], "serve");
    }

    #[test]
    fn nothing_worse_than_information_is_ok() {
        let report = DoctorReport { host: vec![Check::info("x", "y")], interfaces: vec![] };
        assert_eq!(report.worst(), Severity::Ok);
    }
}
