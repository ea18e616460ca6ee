//! The configuration file: TOML, each key a flag of `serve`. Every mistake in it is found at once,
//! each with its line and column.

use super::judge::{bare, judge};
use super::key::{Key, Kind};
use super::place::Place;
use crate::error::{Failure, Result};
use clap::Command;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a configuration file says, each value sound by itself.
#[derive(Debug)]
pub(super) struct Document {
    entries: Vec<Entry>,
}

/// One key of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// As the flag would be given, each with the place of its value. Empty for an empty array, and for
    /// what is switched off by being left out.
    pub(super) values: Vec<(OsString, Place)>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// System: it cannot be read. Usage: all that is wrong in it, a line for each mistake.
    pub(super) fn read(path: &Path, serve: &Command) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::system(format!("cannot read {} (--config)", path.display()))
                .because(error)
                .remedy("`xstun config example` prints one to begin with")
        })?;
        Document::parse(path, &text, serve)
    }

    /// Reads the text of the file `path`.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub(super) fn parse(path: &Path, text: &str, serve: &Command) -> Result<Self> {
        let file: Arc<Path> = path.into();
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let told = errors.iter().map(|error| {
                let place = Place::of(&file, text, &error.span().unwrap_or_default());
                format!("{place}: no TOML: {}", error.message().replace('\n', ", "))
            });
            return Err(mistakes(path, told.collect()));
        }
        let mut reader = Reader { file, text, serve, keys: Key::all(serve), mistakes: Vec::new() };
        let mut entries: Vec<Entry> =
            table.get_ref().iter().filter_map(|(name, value)| reader.entry(name, value)).collect();
        if !reader.mistakes.is_empty() {
            reader.mistakes.sort_by_key(|(place, _)| (place.line, place.column));
            let told = reader.mistakes.iter().map(|(place, what)| format!("{place}: {what}"));
            return Err(mistakes(path, told.collect()));
        }
        entries.sort_by_key(|entry| (entry.place.line, entry.place.column));
        Ok(Document { entries })
    }

    /// What it says of a key.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn mistakes(path: &Path, told: Vec<String>) -> Failure {
    match told.as_slice() {
        [one] => Failure::usage(one),
        all => Failure::usage(format!("{} has {} mistakes:\n{}", path.display(), all.len(), all.join("\n"))),
    }
}

struct Reader<'a> {
    file: Arc<Path>,
    text: &'a str,
    serve: &'a Command,
    keys: Vec<Key>,
    mistakes: Vec<(Place, String)>,
}

impl Reader<'_> {
    fn entry(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Entry> {
        let place = Place::of(&self.file, self.text, &name.span());
        let Some(key) = self.keys.iter().find(|key| key.name == **name.get_ref()).cloned() else {
            self.mistakes.push((place, self.unknown(name.get_ref(), value.get_ref())));
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
        Some(Entry { name: key.name, place, values })
    }

    /// One value as the flag would be given; nothing where the flag would be left out.
    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<Option<(OsString, Place)>> {
        let place = Place::of(&self.file, self.text, &value.span());
        let text: OsString = match (key.kind, value.get_ref()) {
            (Kind::Switch, DeValue::Boolean(on)) => on.to_string().into(),
            (Kind::OptionalText, DeValue::Boolean(false)) => return Some(None),
            (Kind::OptionalText, DeValue::Boolean(true)) => bare(self.serve, key).unwrap_or_default(),
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => number.as_str().into(),
            (Kind::Number, DeValue::Float(number)) => number.as_str().into(),
            (Kind::Text | Kind::OptionalText, DeValue::String(text)) if key.path => {
                self.file.parent().unwrap_or(Path::new("")).join(text.as_ref()).into()
            }
            (Kind::Text | Kind::OptionalText, DeValue::String(text)) => text.as_ref().into(),
            (kind, found) => {
                let list = if key.many { " or an array of such" } else { "" };
                let what = format!(
                    "{} must be {}{list}, and here is {}",
                    key.name,
                    kind.wanted(),
                    article(found.type_str())
                );
                self.mistakes.push((place, what));
                return None;
            }
        };
        match judge(self.serve, key, &text) {
            Ok(()) => Some(Some((text, place))),
            Err(why) => {
                self.mistakes.push((place, format!("{}: {why}", key.name)));
                None
            }
        }
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> String {
        if let DeValue::Table(_) = value {
            return format!("'{name}' is a table: all keys stand at the top of the file");
        }
        let meant = self
            .keys
            .iter()
            .map(|key| (distance(name, &key.name), &key.name))
            .min()
            .filter(|(distance, key)| *distance <= key.len() / 3);
        match meant {
            Some((_, key)) => format!("there is no key '{name}'; is '{key}' meant?"),
            None => format!("there is no key '{name}'; `xstun config example` shows all that there are"),
        }
    }
}

fn article(name: &str) -> String {
    if name.starts_with(['a', 'i']) { format!("an {name}") } else { format!("a {name}") }
}

/// How many characters must be changed, left out or put in to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().map(|c| if c == '_' { '-' } else { c }).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, mut wanted) in one.chars().enumerate() {
        if wanted == '_' {
            wanted = '-';
        }
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (at, found) in other.iter().enumerate() {
            let changed = corner + usize::from(wanted != *found);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}
