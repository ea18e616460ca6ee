//! The tables of docs/operations.md list what the types list, and nothing else.

use crate::markdown::{code, rows, section};
use crate::{read, root, sources};
use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use xstun::datapath::socket::stream::StreamStats;
use xstun::error::Failure;
use xstun::stats::WorkerStats;
use xstun_core::outcome::Outcome;
use xstun_ebpf::loss::DriverLoss;

/// The names in the first column of a table.
fn named(heading: &str, column: &str) -> BTreeSet<String> {
    let page = read("docs/operations.md");
    let mut names = BTreeSet::new();
    for row in rows(section(&page, heading), column) {
        for name in code(&row[0]) {
            assert!(names.insert(name.to_owned()), "'{heading}' lists `{name}` twice");
        }
    }
    names
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_verdict_is_explained_and_no_other() {
    let verdicts = set(xstun_core::classify::Verdict::ALL.iter().map(|verdict| verdict.name()));
    assert_eq!(named("### What the XDP program decided", "verdict"), verdicts);
}

#[test]
fn every_loss_is_explained_and_no_other() {
    let losses = set(DriverLoss::ALL.into_iter().map(DriverLoss::name));
    assert_eq!(named("### What drivers lost", "kind"), losses);
}

#[test]
fn every_outcome_is_explained_and_no_other() {
    let outcomes = set(Outcome::ALL.into_iter().map(Outcome::name));
    assert_eq!(named("### How datagrams ended", "outcome"), outcomes);
}

#[test]
fn every_counter_is_explained_and_no_other() {
    let outcomes = set(Outcome::ALL.into_iter().map(Outcome::name));
    let (worker, streams) = (WorkerStats::default(), StreamStats::default());
    let worker = set(worker.named().map(|(name, _)| name));
    let beside = worker.difference(&outcomes).cloned().collect();
    assert_eq!(named("### What the workers and the kernel count", "counter"), beside);
    let streams = set(streams.named().map(|(name, _)| name));
    assert_eq!(named("### Connections", "counter"), streams.difference(&worker).cloned().collect());
}

/// The exit codes that have a meaning for `command`, by the table.
fn exit_codes(command: &str) -> Vec<u8> {
    let page = read("docs/operations.md");
    let table = rows(section(&page, "## Exit codes"), "command");
    let row = table.iter().find(|row| row[0] == command).unwrap_or_else(|| panic!("no row for {command}"));
    (0..).zip(&row[1..]).filter(|(_, meaning)| !meaning.is_empty()).map(|(code, _)| code).collect()
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    assert_eq!(Failure::system("").exit_code(), ExitCode::from(1));
    assert_eq!(Failure::usage("").exit_code(), ExitCode::from(2));
    assert_eq!(exit_codes("every command"), [0, 1, 2]);
    let command = xstun::cli::command();
    for verb in ["load", "probe", "top"] {
        let help = command.find_subcommand(verb).unwrap().get_after_help().unwrap().to_string();
        let (_, codes) = help.split_once("Exit codes: ").unwrap_or_else(|| panic!("{verb}: {help}"));
        let codes: Vec<u8> =
            codes.split(", ").filter_map(|code| code.split(' ').next().unwrap().parse().ok()).collect();
        assert_eq!(exit_codes(&format!("`{verb}`")), codes, "the help of {verb}: {help}");
    }
}

#[test]
fn a_check_of_a_file_ends_with_the_codes_of_the_table() {
    let program = std::env::var_os("XSTUN_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_xstun").into());
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong.toml");
    std::fs::write(&wrong, "gadget = 1\n").unwrap();
    let files = [root().join("deploy/xstun.toml"), directory.path().join("none.toml"), wrong];
    for (file, code) in files.iter().zip(exit_codes("`config check`")) {
        let checked = Command::new(&program).args(["config", "check"]).arg(file).output().unwrap();
        assert_eq!(checked.status.code(), Some(i32::from(code)), "{}: {checked:?}", file.display());
    }
}

#[test]
fn every_signal_that_the_server_catches_is_explained() {
    let page = read("docs/operations.md");
    let listed: BTreeSet<_> = rows(section(&page, "## Signals"), "signal")
        .iter()
        .flat_map(|row| row[0].split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let control = sources("userspace/src/control") + &read("userspace/src/control.rs");
    let caught = control.split("SignalKind::").skip(1).filter_map(|rest| {
        let kind = rest.split('(').next().unwrap();
        match kind {
            "interrupt" => Some("SIGINT"),
            "terminate" => Some("SIGTERM"),
            "hangup" => Some("SIGHUP"),
            "user_defined1" => Some("SIGUSR1"),
            _ if rest.starts_with(|c: char| c.is_lowercase()) => panic!("SignalKind::{kind} is in no table"),
            _ => None,
        }
    });
    assert_eq!(listed, set(caught));
}

/// Log messages that the manual quotes. An operator searches the log for these words.
const QUOTED: [&str; 5] = [
    "cannot reload, the configuration is unchanged: ",
    "the reload is in force, but not all of it: ",
    "configuration reloaded",
    "kernel answers changed",
    "this server continues",
];

#[test]
fn every_log_message_that_the_manual_quotes_exists() {
    let page = read("docs/operations.md");
    let control = sources("userspace/src/control");
    for message in QUOTED {
        assert!(page.contains(&format!("`{}", message)), "the manual does not quote '{message}'");
        assert!(control.contains(message), "no log message reads '{message}'");
    }
}
