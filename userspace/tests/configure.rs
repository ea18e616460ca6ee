//! `xstun config` as an operator runs it: what it prints, and its exit codes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Runs `xstun config` with these arguments; returns its exit code, standard output and error.
fn config(words: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let program = std::env::var_os("XSTUN_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_xstun").into());
    let mut command = Command::new(program);
    command.arg("config").args(words).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_is_checked_with_the_files_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(
        directory.path(),
        "x.toml",
        "listen = '127.0.0.1:3478'\ncredentials = 'users'\nrealm = 'example.org'\n",
    );
    let users = write(directory.path(), "users", "anna:secret\n");
    let no_mistakes = format!("{file}: no mistakes found\n");
    let mode = |mode| fs::set_permissions(&users, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let (code, out, err) = config(&["check", &file], &[]);
    assert_eq!((code, &out), (Some(0), &no_mistakes), "a warning is not a mistake");
    assert!(err.contains("every user of this host can read the passwords"), "{err}");
    mode(0o600);
    assert_eq!(config(&["check", &file], &[]), (Some(0), no_mistakes, String::new()));

    fs::write(&users, "anna\n").unwrap();
    let (code, _, err) = config(&["check", &file], &[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.starts_with(&format!("xstun: {file}:2:15: ")) && err.contains("line 1"), "{err}");

    fs::remove_file(&users).unwrap();
    let (code, _, err) = config(&["check", &file], &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("No such file"), "{err}");

    fs::write(&file, "tls-key = 'key'\nlisten = 1\n").unwrap();
    let (code, out, err) = config(&["check", &file], &[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with(&format!("xstun: {file}:2:10: listen must be a string")), "{err}");
}

/// As in `xstun config show | head`.
#[test]
fn a_closed_standard_output_is_not_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "x.toml", "no-tcp = true\n");
    let program = std::env::var_os("XSTUN_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_xstun").into());
    for words in [&["example"][..], &["show"], &["check", &file]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(&program).arg("config").args(words).stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn show_prints_each_value_with_its_origin() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "x.toml", "# mine\nlog-level = 'warn'\nno-tcp = true\n");
    let environment = [("XSTUN_CONFIG", file.as_str()), ("XSTUN_TCP_IDLE", "9")];
    let (code, out, err) = config(&["show", "--no-tcp=false", "--listen", "127.0.0.1:1"], &environment);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let shown = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        let (value, origin) = line.split_once('#').unwrap();
        (value.trim_end().to_owned(), origin.trim().to_owned())
    };
    let expected = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown("log-level"), expected("log-level = \"warn\"", &format!("{file}:2")));
    assert_eq!(shown("no-tcp"), expected("no-tcp = false", "command line"));
    assert_eq!(shown("listen"), expected("listen = [\"127.0.0.1:1\"]", "command line"));
    assert_eq!(shown("tcp-idle"), expected("tcp-idle = 9", "environment variable XSTUN_TCP_IDLE"));
    assert_eq!(shown("max-connections"), expected("max-connections = 4096", "default"));
}

#[test]
fn the_example_file_sets_only_defaults() {
    let (code, example, err) = config(&["example"], &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "x.toml", &example);
    assert_eq!(config(&["check", &file], &[]).0, Some(0));
    let without = config(&["show"], &[]).1;
    assert_eq!(config(&["show", "--config", &file], &[]).1, without);
}
