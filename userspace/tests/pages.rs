//! Man pages and shell completions contain every verb and every flag.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use clap::Command;
use clap_complete::Shell;
use std::path::Path;

/// The text of a man page without the backslashes before dashes.
fn page(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace('\\', "")
}

#[test]
fn every_verb_has_a_page_with_every_flag() {
    let directory = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(xstun::cli::command(), directory.path()).unwrap();
    assert!(page(directory.path(), "xstun.1").contains("xstun-serve(1)"));
    fn check(directory: &Path, command: &Command, name: &str) {
        let text = page(directory, &format!("{name}.1"));
        for flag in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(text.contains(&format!("--{flag}")), "{name}.1 lacks --{flag}");
        }
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            check(directory, verb, &format!("{name}-{}", verb.get_name()));
        }
    }
    check(directory.path(), &xstun::cli::command(), "xstun");
}

#[test]
fn every_shell_completes_every_flag_of_serve() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut xstun::cli::command(), "xstun", &mut script);
        let script = String::from_utf8(script).unwrap();
        let command = xstun::cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for flag in serve.get_arguments().filter_map(|argument| argument.get_long()) {
            // fish names flags without their dashes.
            let expected = if shell == Shell::Fish { format!("-l {flag} ") } else { format!("--{flag}") };
            assert!(script.contains(&expected), "{shell} does not complete --{flag}");
        }
    }
}
