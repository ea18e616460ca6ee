//! `xstun config show`: what is in force, and who said so. The output is itself a configuration file.

use super::key::{Key, Kind};
use super::{Setting, Settings};
use std::ffi::OsString;
use std::fmt;

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<(String, &Setting)> =
            self.iter().map(|setting| (line(&setting.key, &setting.values), setting)).collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(48);
        lines.iter().try_for_each(|(line, setting)| writeln!(f, "{line:<width$}  # {}", setting.origin))
    }
}

/// `key = value`, or the same as a comment where nothing is set.
fn line(key: &Key, values: &[OsString]) -> String {
    if values.is_empty() {
        return format!("# {} is not set", key.name);
    }
    format!("{} = {}", key.name, value(key, values))
}

/// The values as TOML.
pub(super) fn value(key: &Key, values: &[OsString]) -> String {
    let one = |value: &OsString| {
        let text = value.to_string_lossy();
        match key.kind {
            Kind::Switch | Kind::Number => text.into_owned(),
            Kind::Text | Kind::OptionalText => toml::Value::String(text.into_owned()).to_string(),
        }
    };
    let values: Vec<String> = values.iter().map(one).collect();
    if key.many { format!("[{}]", values.join(", ")) } else { values.join(", ") }
}
