use super::document::Document;
use super::key::{ConfigKey, ValueKind};
use super::{KeySetting, Origin, Settings, Sources, example};
use crate::cli;
use crate::config::Config;
use crate::error::{FailureKind, Result};
use clap::Command;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

fn serve() -> Command {
    cli::command().find_subcommand("serve").unwrap().clone()
}

/// Settings from these flags, these variables, and a file of this text; a failure without the
/// directory's name.
fn settings(flags: &str, environment: &[(&str, &str)], file: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    fs::write(&path, file).unwrap();
    let serve = serve();
    let mut words = vec!["serve", "--config", path.to_str().unwrap()];
    words.extend(flags.split_whitespace());
    let flags = serve.clone().try_get_matches_from(words).unwrap();
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let environment = |name: &str| environment.get(name).map(Into::into);
    let sources = Sources { serve: &serve, flags: &flags, environment: &environment };
    Settings::resolve(&sources)
        .and_then(|settings| {
            Config::from_args(&settings.args, &[0, 1]).map_err(|failure| settings.locate(failure))?;
            Ok(settings)
        })
        .map_err(|failure| {
            assert_eq!(failure.kind(), FailureKind::Usage, "{failure}");
            failure.to_string().replace(&format!("{}/", directory.path().display()), "")
        })
}

/// The keys whose values differ.
fn changed<'a>(now: &'a Settings, before: &'a Settings) -> Vec<&'a str> {
    now.changed(before).map(KeySetting::name).collect()
}

fn origin(settings: &Settings, name: &str) -> String {
    let setting = settings.iter().find(|setting| setting.name() == name).unwrap();
    match &setting.origin {
        Origin::File(position) => format!("line {}", position.line),
        other => other.to_string(),
    }
}

#[test]
fn flags_override_variables_variables_the_file_and_the_file_defaults() {
    let file =
        "log-level = 'warn'\nqueues = 3\ninterface = ['eth0', 'eth1']\n\ntcp-idle = 2.5\nno-classic = true";
    let environment = [("XSTUN_QUEUES", "4"), ("XSTUN_TCP_IDLE", "7"), ("XSTUN_REALM", "")];
    let settings = settings("--queues 5", &environment, file).unwrap();
    let args = &settings.args;
    assert_eq!(args.fixed.path.queues.unwrap().get(), 5);
    assert_eq!(args.live.stream.tcp_idle.as_secs(), 7);
    assert_eq!(args.live.log_level, cli::LogLevel::Warn);
    assert_eq!(args.fixed.interfaces, ["eth0", "eth1"]);
    assert!(args.live.reply.no_classic);
    assert_eq!(args.live.stream.max_connections.get(), 4096);
    assert_eq!(origin(&settings, "queues"), "command line");
    assert_eq!(origin(&settings, "tcp-idle"), "environment variable XSTUN_TCP_IDLE");
    assert_eq!(origin(&settings, "interface"), "line 3");
    assert_eq!(origin(&settings, "no-classic"), "line 6");
    assert_eq!(origin(&settings, "max-connections"), "default");
    assert_eq!(origin(&settings, "realm"), "default", "an empty variable says nothing");
}

#[test]
fn what_a_file_switches_on_a_flag_or_a_variable_switches_off() {
    let file = "no-classic = true\nno-tcp = true\nsoftware = true\nlisten = '127.0.0.1:1'";
    let environment = [("XSTUN_NO_TCP", "off"), ("XSTUN_LISTEN", "127.0.0.1:2, 127.0.0.1:3")];
    let settings = settings("--no-classic=false", &environment, file).unwrap();
    assert!(!settings.args.live.reply.no_classic);
    assert!(!settings.args.live.stream.no_tcp);
    assert_eq!(settings.args.live.reply.software.as_deref(), Some("xstun"));
    let listen: Vec<String> = settings.args.live.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:2", "127.0.0.1:3"]);
}

#[test]
fn a_relative_path_is_relative_to_the_file() {
    let file = "credentials = 'users'\nrealm = 'example.org'";
    let credentials = settings("", &[], file).unwrap().args.live.credentials.credentials.unwrap();
    assert!(credentials.is_absolute() && credentials.ends_with("users"), "{credentials:?}");
}

/// Files with mistakes, and the start of the message.
const MISTAKEN: &[(&str, &str)] = &[
    ("listen = [\n", "x.toml:1:11: invalid TOML: unclosed array, expected `]`"),
    ("queues = 1\nqueues = 2", "x.toml:2:1: invalid TOML: duplicate key"),
    ("xdp_mode = 'native'", "x.toml:1:1: unknown key 'xdp_mode'; did you mean 'xdp-mode'?"),
    ("\nfrobnicate = 1", "x.toml:2:1: unknown key 'frobnicate'; `xstun config example` shows all keys"),
    ("config = 'y.toml'", "x.toml:1:1: unknown key 'config'"),
    ("[serve]\nqueues = 1", "x.toml:1:2: 'serve' is a table: all keys stand at the top level of the file"),
    ("queues = '4'", "x.toml:1:10: queues must be a decimal number, but is a string"),
    ("queues = 0", "x.toml:1:10: queues: '0': number would be zero for non-zero type"),
    ("queues = 0x10", "x.toml:1:10: queues must be a decimal number, but is an integer"),
    ("no-tcp = 'yes'", "x.toml:1:10: no-tcp must be true or false, but is a string"),
    ("log-level = 3", "x.toml:1:13: log-level must be a string, but is an integer"),
    ("log-level = 'loud'", "x.toml:1:13: log-level: 'loud' is not one of error, warn, info, debug, trace"),
    ("realm = ['a', 'b']", "x.toml:1:9: realm must be a string, but is an array"),
    ("software = 1", "x.toml:1:12: software must be a string, or true or false, but is an integer"),
    ("listen = 3478", "x.toml:1:10: listen must be a string or an array of them, but is an integer"),
    (
        "listen = [\n  '0.0.0.0:3478',\n  'localhost',\n]",
        "x.toml:3:3: listen: 'localhost': invalid socket address syntax",
    ),
    ("advertise = '1.2.3.4'", "x.toml:1:13: advertise: '1.2.3.4': expected LOCAL=PUBLIC"),
    ("tcp-idle = -1", "x.toml:1:12: tcp-idle: '-1': -1 seconds is not between 0 and a day"),
    (
        "queues = 'x'\nlog-level = 1",
        "x.toml has 2 mistakes:\nx.toml:1:10: queues must be a decimal number, but is a string\n\
         x.toml:2:13: log-level must be a string",
    ),
    // Sound one by one, and impossible together.
    ("queues = 2", "x.toml:1:1: --queues requires an interface; name one with --interface"),
    (
        "listen = ['127.0.0.1:1',\n '127.0.0.1:0']",
        "x.toml:2:2: --listen 127.0.0.1:0 has port 0: name the port that clients use, usually 3478",
    ),
    (
        "interface = 'a'\nxdp-mode = 'generic'\nbind-mode = 'zero-copy'",
        "x.toml:3:13: --bind-mode zero-copy is not available with --xdp-mode generic",
    ),
    ("cores = '0-9'", "x.toml:1:1: --cores names core 2, which this process cannot use"),
    ("tls-key = '/k'", "x.toml:1:11: --tls-key /k requires --tls-certificate"),
    ("auth = 'short-term'", "x.toml:1:1: --auth requires --credentials"),
    (
        "\ncredentials = '/u'",
        "x.toml:2:1: --credentials of the long-term mechanism require --realm; use the domain name",
    ),
    (
        "alternate-address = '192.0.2.2:3479'",
        "x.toml:1:21: --alternate-address 192.0.2.2:3479 requires exactly one --listen",
    ),
    ("software = 'a text that is longer than it can be'", "x.toml:1:12: --software 'a text"),
];

#[test]
fn every_mistake_in_a_file_is_reported_with_its_line_and_column() {
    let other: Vec<String> = MISTAKEN
        .iter()
        .map(|(file, expected)| (file, expected, settings("", &[], file).err().unwrap_or_default()))
        .filter(|(_, expected, message)| !message.starts_with(*expected))
        .map(|(file, expected, message)| format!("{file}\n  message:  {message}\n  expected: {expected}"))
        .collect();
    assert!(other.is_empty(), "{}", other.join("\n"));
}

#[test]
fn a_wrong_variable_or_combination_names_the_variable() {
    let wrong = |environment| settings("", &[environment], "").unwrap_err();
    assert_eq!(
        wrong(("XSTUN_LISTEN", "127.0.0.1:1,x")),
        "environment variable XSTUN_LISTEN: 'x': invalid socket address syntax"
    );
    assert!(wrong(("XSTUN_QUEUES", "2")).starts_with("environment variable XSTUN_QUEUES: --queues requires"),);
    // A wrong flag is not blamed on the file.
    let message = settings("--queues 2", &[], "no-classic = true").unwrap_err();
    assert!(message.starts_with("--queues requires"), "{message}");
}

#[test]
fn a_missing_file_is_a_system_failure() {
    let failure = Settings::of_file(&serve(), Path::new("/nowhere/x.toml")).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::System);
    let message = failure.to_string();
    assert!(message.starts_with("cannot read /nowhere/x.toml (--config): No such file"), "{message}");
}

#[test]
fn what_is_shown_is_a_file_with_the_same_values() {
    let file = "listen = ['127.0.0.1:1', '[::1]:1']\nsoftware = 'a \"b\"'\ntcp-idle = 2.5\nno-tcp = true";
    let first = settings("--log-level debug", &[], file).unwrap();
    let shown = first.to_string();
    assert!(shown.contains("log-level = \"debug\"") && shown.contains("# command line"), "{shown}");
    assert!(shown.contains("# queues is not set"), "{shown}");
    let second = settings("", &[], &shown).unwrap();
    assert_eq!(changed(&second, &first), [""; 0], "{shown}");
    let third = settings("--queues 1 --interface a --no-tcp=false", &[], &shown).unwrap();
    assert_eq!(changed(&third, &first), ["interface", "queues", "no-tcp"]);
}

/// `deploy/xstun.toml` is what `xstun config example` prints, to the letter.
#[test]
fn the_example_file_is_that_of_the_flags() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/xstun.toml");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(
        kept == example::example(&serve()),
        "deploy/xstun.toml is stale: update it with `cargo run -q -p xstun -- config example > deploy/xstun.toml`"
    );
}

/// Each line with a key, made one of the file, is taken.
#[test]
fn every_key_of_the_example_is_accepted() {
    let (serve, text) = (serve(), example::example(&serve()));
    for key in ConfigKey::all(&serve) {
        let begins = format!("#{} = ", key.name);
        let line = text.lines().find_map(|line| line.strip_prefix('#').filter(|_| line.starts_with(&begins)));
        let line = line.unwrap_or_else(|| panic!("the example has no line for {}", key.name));
        let document = Document::parse(Path::new("x.toml"), line, &serve);
        let entry = document.unwrap_or_else(|failure| panic!("{line}: {failure}"));
        assert_eq!(entry.get(&key.name).unwrap().values.len(), 1, "{line}");
    }
    let is = |name: &str, kind| ConfigKey::all(&serve).iter().any(|key| key.name == name && key.kind == kind);
    assert!(
        is("no-tcp", ValueKind::Switch) && is("tcp-idle", ValueKind::Number) && is("realm", ValueKind::Text)
    );
    assert!(is("software", ValueKind::OptionalText));
}
