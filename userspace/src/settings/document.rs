//! The configuration file: TOML, each key a flag of `serve`. All mistakes in it are reported at once, each
//! with its line and column.

use super::judge::{bare, judge};
use super::key::{ConfigKey, ValueKind};
use super::origin::FilePosition;
use crate::error::{Failure, Result};
use clap::Command;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The content of a configuration file, each value valid by itself.
#[derive(Debug)]
pub(super) struct Document {
    entries: Vec<DocumentEntry>,
}

/// One key of the file.
#[derive(Debug)]
pub(super) struct DocumentEntry {
    name: String,
    /// The position of the key.
    pub(super) position: FilePosition,
    /// The values as the flag would be given, each with its position. Empty for an empty array, and for
    /// an option that `false` switches off.
    pub(super) values: Vec<(OsString, FilePosition)>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// System: it cannot be read. Usage: the mistakes in it, one per line.
    pub(super) fn read(path: &Path, serve: &Command) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::system(format!("cannot read {} (--config)", path.display()))
                .because(error)
                .remedy("`xstun config example` prints one to start with")
        })?;
        Document::parse(path, &text, serve)
    }

    /// Parses the text of the file `path`.
    ///
    /// # Errors
    /// Usage, as for [`Document::read`].
    pub(super) fn parse(path: &Path, text: &str, serve: &Command) -> Result<Self> {
        let file: Arc<Path> = path.into();
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let lines = errors.iter().map(|error| {
                let position = FilePosition::of(&file, text, &error.span().unwrap_or_default());
                format!("{position}: invalid TOML: {}", error.message().replace('\n', ", "))
            });
            return Err(mistakes(path, &lines.collect::<Vec<_>>()));
        }
        let mut parser = Parser { file, text, serve, keys: ConfigKey::all(serve), mistakes: Vec::new() };
        let mut entries: Vec<DocumentEntry> =
            table.get_ref().iter().filter_map(|(name, value)| parser.entry(name, value)).collect();
        if !parser.mistakes.is_empty() {
            parser.mistakes.sort_by_key(|(position, _)| (position.line, position.column));
            let lines = parser.mistakes.iter().map(|(position, what)| format!("{position}: {what}"));
            return Err(mistakes(path, &lines.collect::<Vec<_>>()));
        }
        entries.sort_by_key(|entry| (entry.position.line, entry.position.column));
        Ok(Document { entries })
    }

    /// Returns the entry of a key.
    pub(super) fn get(&self, name: &str) -> Option<&DocumentEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn mistakes(path: &Path, lines: &[String]) -> Failure {
    match lines {
        [one] => Failure::usage(one),
        all => Failure::usage(format!("{} has {} mistakes:\n{}", path.display(), all.len(), all.join("\n"))),
    }
}

struct Parser<'a> {
    file: Arc<Path>,
    text: &'a str,
    serve: &'a Command,
    keys: Vec<ConfigKey>,
    mistakes: Vec<(FilePosition, String)>,
}

impl Parser<'_> {
    fn entry(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<DocumentEntry> {
        let position = FilePosition::of(&self.file, self.text, &name.span());
        let Some(key) = self.keys.iter().find(|key| key.name == **name.get_ref()).cloned() else {
            self.mistakes.push((position, self.unknown(name.get_ref(), value.get_ref())));
            return None;
        };
        let mut values = Vec::new();
        match value.get_ref() {
            DeValue::Array(items) if key.many => {
                for item in items.iter() {
                    values.extend(self.value(&key, item)?);
                }
            }
            _ => values.extend(self.value(&key, value)?),
        }
        Some(DocumentEntry { name: key.name, position, values })
    }

    /// Returns one value as the flag would be given, `Some(None)` if the flag would be left out, and `None`
    /// after a mistake.
    fn value(
        &mut self,
        key: &ConfigKey,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Option<(OsString, FilePosition)>> {
        let position = FilePosition::of(&self.file, self.text, &value.span());
        let text: OsString = match (key.kind, value.get_ref()) {
            (ValueKind::Switch, DeValue::Boolean(on)) => on.to_string().into(),
            (ValueKind::OptionalText, DeValue::Boolean(false)) => return Some(None),
            (ValueKind::OptionalText, DeValue::Boolean(true)) => bare(self.serve, key).unwrap_or_default(),
            (ValueKind::Number, DeValue::Integer(number)) if number.radix() == 10 => number.as_str().into(),
            (ValueKind::Number, DeValue::Float(number)) => number.as_str().into(),
            (ValueKind::Text | ValueKind::OptionalText, DeValue::String(text)) if key.path => {
                self.file.parent().unwrap_or(Path::new("")).join(text.as_ref()).into()
            }
            (ValueKind::Text | ValueKind::OptionalText, DeValue::String(text)) => text.as_ref().into(),
            (kind, found) => {
                let list = if key.many { " or an array of them" } else { "" };
                let what = format!(
                    "{} must be {}{list}, but is {}",
                    key.name,
                    kind.expected(),
                    article(found.type_str())
                );
                self.mistakes.push((position, what));
                return None;
            }
        };
        match judge(self.serve, key, &text) {
            Ok(()) => Some(Some((text, position))),
            Err(why) => {
                self.mistakes.push((position, format!("{}: {why}", key.name)));
                None
            }
        }
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> String {
        if let DeValue::Table(_) = value {
            return format!("'{name}' is a table: all keys stand at the top level of the file");
        }
        let closest = self
            .keys
            .iter()
            .map(|key| (distance(name, &key.name), &key.name))
            .min()
            .filter(|(distance, key)| *distance <= key.len() / 3);
        match closest {
            Some((_, key)) => format!("unknown key '{name}'; did you mean '{key}'?"),
            None => format!("unknown key '{name}'; `xstun config example` shows all keys"),
        }
    }
}

fn article(name: &str) -> String {
    if name.starts_with(['a', 'i']) { format!("an {name}") } else { format!("a {name}") }
}

/// Returns the edit distance (Levenshtein) between two names; `_` and `-` count as equal.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().map(|c| if c == '_' { '-' } else { c }).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, mut expected) in one.chars().enumerate() {
        if expected == '_' {
            expected = '-';
        }
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (at, found) in other.iter().enumerate() {
            let changed = corner + usize::from(expected != *found);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}
