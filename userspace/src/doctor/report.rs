//! The report as a person reads it, and as a program does.

use super::check::{Check, OUTLOOK, Report, Verdict};
use std::fmt::Write as _;

/// Columns before what was found: indent, verdict, name.
const VERDICT_WIDTH: usize = 9;
const NAME_WIDTH: usize = 15;

/// One JSON object, and a newline.
pub(super) fn json(report: &Report) -> String {
    let mut text =
        serde_json::to_string_pretty(report).expect("a map keyed by strings, of strings, cannot fail");
    text.push('\n');
    text
}

/// A table for each group, then what to conclude.
pub(super) fn text(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    group(&mut out, "host", &report.host, colour);
    for (name, checks) in &report.interfaces {
        group(&mut out, &format!("interface {name}"), checks, colour);
    }
    // Writing to a String cannot fail, so the results below say nothing.
    let (problems, warnings) = (report.count(Verdict::Problem), report.count(Verdict::Warning));
    let _ = writeln!(out, "{}, {}.", counted(problems, "problem"), counted(warnings, "warning"));
    for (name, checks) in &report.interfaces {
        for outlook in checks.iter().filter(|check| check.check == OUTLOOK) {
            let _ = writeln!(out, "xstun serve --interface {name} would get here: {}.", outlook.found);
        }
    }
    if report.interfaces.is_empty() {
        let _ = writeln!(out, "No interface but loopback is up: xstun serve would answer over sockets only.");
    }
    out
}

/// `1 warning`, `2 warnings`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn group(out: &mut String, title: &str, checks: &[Check], colour: bool) {
    let _ = writeln!(out, "{title}");
    for check in checks.iter().filter(|check| check.check != OUTLOOK) {
        let verdict = format!("{:VERDICT_WIDTH$}", check.verdict.name());
        let verdict = if colour { paint(check.verdict, &verdict) } else { verdict };
        let _ = writeln!(out, "  {verdict}{:NAME_WIDTH$}  {}", check.check, check.found);
        if let Some(fix) = &check.fix {
            let word = if check.verdict >= Verdict::Warning { "fix" } else { "tip" };
            let _ = writeln!(out, "  {:1$}{word}: {fix}", "", VERDICT_WIDTH + NAME_WIDTH + 2);
        }
    }
    out.push('\n');
}

fn paint(verdict: Verdict, text: &str) -> String {
    let code = match verdict {
        Verdict::Info => "2",
        Verdict::Ok => "32",
        Verdict::Warning => "33",
        Verdict::Problem => "1;31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::{Check, OUTLOOK, Report, Verdict, json, text};

    fn report() -> Report {
        Report {
            host: vec![Check::ok("kernel", "6.18.1")],
            interfaces: vec![(
                "eth0".into(),
                vec![
                    Check::warning("VLAN tags", "hidden").fix("ethtool -K eth0 rxvlan off"),
                    Check::info(OUTLOOK, "native XDP; copy mode; 2 queues on 2 cores"),
                ],
            )],
        }
    }

    #[test]
    fn the_text_has_groups_fixes_and_a_conclusion() {
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
             xstun serve --interface eth0 would get here: native XDP; copy mode; 2 queues on 2 cores.\n"
        );
        assert!(text(&report(), true).contains("\x1b[33mwarning"));
    }

    #[test]
    fn the_json_has_the_same_and_the_worst() {
        let value: serde_json::Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(value["worst"], "warning");
        assert_eq!(value["host"][0]["check"], "kernel");
        assert_eq!(value["host"][0]["fix"], serde_json::Value::Null);
        assert_eq!(value["interfaces"]["eth0"][0]["fix"], "ethtool -K eth0 rxvlan off");
        assert_eq!(value["interfaces"]["eth0"][1]["check"], "serve");
    }

    #[test]
    fn nothing_worse_than_information_is_ok() {
        let report = Report { host: vec![Check::info("x", "y")], interfaces: vec![] };
        assert_eq!(report.worst(), Verdict::Ok);
    }
}
