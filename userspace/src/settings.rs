//! What `serve` is asked for, whoever asks: flags go before environment variables, these before the
//! configuration file, that before the defaults. Every flag is a key of the file and a variable by
//! itself; nothing here knows any one of them.

mod document;
pub mod example;
mod judge;
mod key;
mod place;
mod show;

pub use place::{Origin, Place};

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::error::{Failure, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches as _};
use document::Document;
use judge::{argument, judge};
use key::Key;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Every option of `serve`, and where its value comes from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All together, as if they had all been flags.
    pub args: ServeArgs,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    settings: Vec<Setting>,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Setting {
    key: Key,
    /// As flags would give them; none where nothing is set.
    values: Vec<OsString>,
    origin: Origin,
    /// Where each of the values stands, if in the file.
    places: Vec<Place>,
}

/// Who is asked for values, in this order.
pub struct Sources<'a> {
    /// The command of the flags.
    pub serve: &'a Command,
    /// The flags that were given.
    pub flags: &'a ArgMatches,
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Reads the settings of a process, again and again: flags and environment are what they were, the file
/// is what it is.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The command of the flags.
    pub serve: Command,
    /// The flags that were given.
    pub flags: ArgMatches,
    /// The cores that this process may run on.
    pub cores: Vec<usize>,
}

impl Reader {
    /// The settings, and what they come to.
    ///
    /// # Errors
    /// As [`Settings::resolve`], and what does not go together, with its place.
    pub fn read(&self) -> Result<(Settings, Config)> {
        let environment = |name: &str| std::env::var_os(name);
        let sources = Sources { serve: &self.serve, flags: &self.flags, environment: &environment };
        let settings = Settings::resolve(&sources)?;
        let config = settings.config(&self.cores)?;
        Ok((settings, config))
    }
}

impl Setting {
    /// The key: the flag without its dashes.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Who said so.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Settings {
    /// Asks flags, environment and file, reading the file anew.
    ///
    /// # Errors
    /// The file cannot be read, or a value is not what its key takes, or values do not go together: a
    /// sentence that says where.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self> {
        let lookup = |name: &str| (sources.environment)(name).filter(|value| !value.is_empty());
        let given = |id: &str| sources.flags.value_source(id) == Some(ValueSource::CommandLine);
        let file: Option<PathBuf> = if given("config") {
            sources.flags.get_one::<PathBuf>("config").cloned()
        } else {
            lookup(&key::variable("config")).map(PathBuf::from)
        };
        let document = file.as_deref().map(|file| Document::read(file, sources.serve)).transpose()?;
        let mut settings = Vec::new();
        for key in Key::all(sources.serve) {
            let variable = key.variable();
            let setting = if given(key.id()) {
                let values = sources.flags.get_raw(key.id()).into_iter().flatten();
                Setting {
                    values: values.map(OsStr::to_os_string).collect(),
                    origin: Origin::Flag,
                    places: Vec::new(),
                    key,
                }
            } else if let Some(value) = lookup(&variable) {
                let values = words(&key, value);
                for value in &values {
                    judge(sources.serve, &key, value)
                        .map_err(|why| Failure::usage(format!("environment variable {variable}: {why}")))?;
                }
                Setting { values, origin: Origin::Environment(variable), places: Vec::new(), key }
            } else if let Some(entry) = document.as_ref().and_then(|document| document.get(&key.name)) {
                let (values, places) = entry.values.iter().cloned().unzip();
                Setting { values, origin: Origin::File(entry.place.clone()), places, key }
            } else {
                Setting { values: Vec::new(), origin: Origin::Default, places: Vec::new(), key }
            };
            settings.push(setting);
        }
        Settings::together(sources.serve, file, settings)
    }

    /// Reads a file alone, without flags and environment.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn of_file(serve: &Command, file: &Path) -> Result<Self> {
        let words = [OsStr::new("serve"), OsStr::new("--config"), file.as_os_str()];
        let flags = serve.clone().try_get_matches_from(words).map_err(|error| combined(&error))?;
        Settings::resolve(&Sources { serve, flags: &flags, environment: &|_| None })
    }

    /// Parses all of it as one command line.
    fn together(serve: &Command, file: Option<PathBuf>, mut settings: Vec<Setting>) -> Result<Self> {
        let words = settings
            .iter()
            .flat_map(|setting| setting.values.iter().map(|value| argument(&setting.key, value)));
        let line = std::iter::once(OsString::from("serve")).chain(words);
        let unfit = |error: clap::Error| locate(&settings, combined(&error));
        let matches = serve.clone().try_get_matches_from(line).map_err(unfit)?;
        let args = ServeArgs::from_arg_matches(&matches).map_err(unfit)?;
        for setting in &mut settings {
            if setting.values.is_empty() {
                let values = matches.get_raw(setting.key.id()).into_iter().flatten();
                setting.values = values.map(OsStr::to_os_string).collect();
            }
        }
        Ok(Settings { args, file, settings })
    }

    /// What they come to, where `cores` may be used.
    ///
    /// # Errors
    /// What does not go together, with its place.
    pub fn config(&self, cores: &[usize]) -> Result<Config> {
        Config::from_args(&self.args, cores).map_err(|failure| self.locate(failure))
    }

    /// Adds to a failure that names flags where the first of them that is no flag comes from.
    pub fn locate(&self, failure: Failure) -> Failure {
        locate(&self.settings, failure)
    }

    /// Every key, in the order of the help.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    /// Names of the keys whose values differ.
    pub fn changed<'a>(&'a self, before: &'a Settings) -> impl Iterator<Item = &'a str> {
        let pairs = self.settings.iter().zip(&before.settings);
        pairs.filter(|(now, before)| now.values != before.values).map(|(now, _)| now.name())
    }
}

/// See [`Settings::locate`].
fn locate(settings: &[Setting], failure: Failure) -> Failure {
    let text = failure.to_string();
    let named = settings
        .iter()
        .filter_map(|setting| Some((mention(&text, &setting.key.name)?, setting)))
        .filter(|(_, setting)| !matches!(setting.origin, Origin::Default | Origin::Flag))
        .min_by_key(|(at, _)| *at);
    match named {
        Some((_, Setting { origin: Origin::Environment(name), .. })) => {
            failure.at(format!("environment variable {name}"))
        }
        Some((_, Setting { origin: Origin::File(key), values, places, .. })) => {
            let mut said = values.iter().zip(places);
            let said = said.find(|(value, _)| text.contains(&*value.to_string_lossy()));
            failure.at(said.map_or(key, |(_, place)| place))
        }
        _ => failure,
    }
}

/// The words of an environment variable: those that can be given more than once stand in a list.
fn words(key: &Key, value: OsString) -> Vec<OsString> {
    match value.to_str().filter(|_| key.many) {
        Some(list) => list
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(OsString::from)
            .collect(),
        None => vec![value],
    }
}

/// Where `--name` stands in a text.
fn mention(text: &str, name: &str) -> Option<usize> {
    let flag = format!("--{name}");
    let ends = |at: usize| {
        text[at + flag.len()..].chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-')
    };
    text.match_indices(&flag).map(|(at, _)| at).find(|at| ends(*at))
}

/// clap's error about flags that do not go together, as one sentence.
fn combined(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.split("\n\nUsage").next().unwrap_or_default();
    let words: Vec<&str> = text.trim_start_matches("error: ").split_whitespace().collect();
    Failure::usage(words.join(" "))
}

#[cfg(test)]
mod tests;
