//! The annotated example file: every key with its help, generated from the flags so that it cannot go
//! stale.

use super::judge::bare;
use super::key::{ConfigKey, ValueKind};
use super::show::value;
use clap::builder::StyledStr;
use clap::{Arg, Command};
use std::any::TypeId;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Longest line of a comment, in characters.
const WIDTH: usize = 96;

const HEAD: &str = "\
# Configuration of `xstun serve --config FILE`. Generated: `xstun config example` prints it.
#
# Each key is a flag of `xstun serve` without its dashes, and can also be set by an environment variable
# (log-level is XSTUN_LOG_LEVEL; lists are separated by commas). Flags take precedence over variables,
# and variables over this file. `xstun config check FILE` reports the mistakes in a file, `xstun config
# show --config FILE` the values in force and where each comes from. Relative file names are relative to
# this file. The lines with a key below show its default, or an example if it has none.
";

/// Returns the example for the flags of `serve`.
pub fn example(serve: &Command) -> String {
    let mut text = HEAD.to_owned();
    let mut heading = None;
    let keys = ConfigKey::all(serve);
    for key in &keys {
        let arg = key.arg();
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(text, "\n##### {}\n", heading.unwrap_or_default());
        }
        text.push('\n');
        for line in help(arg) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "#{} = {}", key.name, value(key, &[sample(serve, key)]));
    }
    text
}

/// Returns the help of a flag with its possible values, wrapped into lines.
fn help(arg: &Arg) -> Vec<String> {
    let mut text = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    let possible = possible(arg);
    if !possible.is_empty() {
        let _ = write!(text, ". One of {}", possible.join(", "));
    }
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn possible(arg: &Arg) -> Vec<String> {
    if arg.get_value_parser().type_id() == TypeId::of::<bool>() {
        return Vec::new();
    }
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// Returns the default, or an example of the right form.
fn sample(serve: &Command, key: &ConfigKey) -> OsString {
    let arg = key.arg();
    if let Some(default) = arg.get_default_values().first() {
        return default.into();
    }
    if let Some(bare) = bare(serve, key).filter(|_| key.kind == ValueKind::OptionalText) {
        return bare;
    }
    let is = |one: TypeId| arg.get_value_parser().type_id() == one;
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    let sample = if let Some(first) = possible(arg).into_iter().next() {
        first
    } else if key.name == "metrics-listen" {
        // The default of `xstun top`.
        "127.0.0.1:9478".to_owned()
    } else if is(TypeId::of::<SocketAddr>()) {
        "192.0.2.1:3478".to_owned()
    } else if is(TypeId::of::<IpAddr>()) {
        "192.0.2.1".to_owned()
    } else if key.kind == ValueKind::Number {
        "1".to_owned()
    } else if key.name == "control" {
        // The unit file lets the server write there.
        "/run/xstun/control".to_owned()
    } else if key.path {
        format!("/etc/xstun/{}", key.name)
    } else {
        match name.unwrap_or_default() {
            "IF" => "eth0",
            "LIST" => "0-3",
            "TEXT" => "example.org",
            "LOCAL=PUBLIC" => "192.0.2.1=203.0.113.1",
            other => other,
        }
        .to_owned()
    };
    sample.into()
}
