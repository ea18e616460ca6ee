//! `xstun config show`: the values in force and where each comes from. The output is itself a
//! configuration file.

use super::key::{ConfigKey, ValueKind};
use super::{KeySetting, Settings};
use std::ffi::OsString;
use std::fmt;

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<(String, &KeySetting)> =
            self.iter().map(|setting| (line(&setting.key, &setting.values), setting)).collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(48);
        lines.iter().try_for_each(|(line, setting)| writeln!(f, "{line:<width$}  # {}", setting.origin))
    }
}

/// Returns `key = value`, or a comment if nothing is set.
fn line(key: &ConfigKey, values: &[OsString]) -> String {
    if values.is_empty() {
        return format!("# {} is not set", key.name);
    }
    format!("{} = {}", key.name, value(key, values))
}

/// Returns the values as TOML.
pub(super) fn value(key: &ConfigKey, values: &[OsString]) -> String {
    let one = |value: &OsString| {
        let text = value.to_string_lossy();
        match key.kind {
            ValueKind::Switch | ValueKind::Number => text.into_owned(),
            ValueKind::Text | ValueKind::OptionalText => toml::Value::String(text.into_owned()).to_string(),
        }
    };
    let values: Vec<String> = values.iter().map(one).collect();
    if key.many { format!("[{}]", values.join(", ")) } else { values.join(", ") }
}
