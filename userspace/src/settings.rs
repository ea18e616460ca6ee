//! The options of `serve` from all sources. Precedence: flags, environment variables, the configuration
//! file, defaults.
//!
//! Every flag is by itself a key of the file and an environment variable; nothing here names a single
//! option.

mod document;
pub mod example;
mod judge;
mod key;
mod origin;
mod show;

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::error::{FailedOption, Failure, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches as _};
use document::Document;
use judge::{argument, judge};
use key::ConfigKey;
use origin::{FilePosition, Origin};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Every option of `serve`, and where its value comes from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All of them, as if all had been given as flags.
    pub args: ServeArgs,
    settings: Vec<KeySetting>,
}

/// The value of one key.
#[derive(Clone, Debug)]
pub(crate) struct KeySetting {
    key: ConfigKey,
    /// As flags would give them; empty if nothing is set.
    values: Vec<OsString>,
    origin: Origin,
    /// The position of each value that stands in the file.
    positions: Vec<FilePosition>,
}

/// What the settings are read from.
struct Sources<'a> {
    /// The command that the flags belong to.
    serve: &'a Command,
    /// The flags that were given.
    flags: &'a ArgMatches,
    /// Looks up an environment variable.
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Reads the settings of a process, as often as needed: flags and environment stay the same, the file is
/// read each time.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The command that the flags belong to.
    pub serve: Command,
    /// The flags that were given.
    pub flags: ArgMatches,
    /// The cores that this process may run on.
    pub cores: Vec<usize>,
}

impl Reader {
    /// Reads the settings and checks them.
    ///
    /// # Errors
    /// Those of `Settings::resolve`, and options that do not go together, with their position.
    pub fn read(&self) -> Result<(Settings, Config)> {
        let environment = |name: &str| std::env::var_os(name);
        let sources = Sources { serve: &self.serve, flags: &self.flags, environment: &environment };
        let settings = Settings::resolve(&sources)?;
        let config = settings.config(&self.cores)?;
        Ok((settings, config))
    }
}

impl KeySetting {
    /// Returns the key: the flag without its dashes.
    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }

    /// Whether a reload may change it.
    pub(crate) fn is_live(&self) -> bool {
        self.key.is_live
    }
}

impl Settings {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// System: the file cannot be read. Usage: a value is not one of its key. The sentence says where.
    fn resolve(sources: &Sources<'_>) -> Result<Self> {
        let lookup = |name: &str| (sources.environment)(name).filter(|value| !value.is_empty());
        let given = |id: &str| sources.flags.value_source(id) == Some(ValueSource::CommandLine);
        let file: Option<PathBuf> = if given("config") {
            sources.flags.get_one::<PathBuf>("config").cloned()
        } else {
            lookup(&key::variable("config")).map(PathBuf::from)
        };
        let document = file.as_deref().map(|file| Document::read(file, sources.serve)).transpose()?;
        let mut settings = Vec::new();
        for key in ConfigKey::all(sources.serve) {
            let variable = key.variable();
            let setting = if given(key.id()) {
                let values = sources.flags.get_raw(key.id()).into_iter().flatten();
                let values = values.map(OsStr::to_os_string).collect();
                KeySetting { values, origin: Origin::Flag, positions: Vec::new(), key }
            } else if let Some(value) = lookup(&variable) {
                let values = words(&key, value);
                for value in &values {
                    judge(sources.serve, &key, value)
                        .map_err(|why| Failure::usage(format!("environment variable {variable}: {why}")))?;
                }
                KeySetting { values, origin: Origin::Environment(variable), positions: Vec::new(), key }
            } else if let Some(entry) = document.as_ref().and_then(|document| document.get(&key.name)) {
                let (values, positions) = entry.values.iter().cloned().unzip();
                KeySetting { values, origin: Origin::File(entry.position.clone()), positions, key }
            } else {
                KeySetting { values: Vec::new(), origin: Origin::Default, positions: Vec::new(), key }
            };
            settings.push(setting);
        }
        Settings::parse(sources.serve, settings)
    }

    /// Reads a file alone, without flags and environment.
    ///
    /// # Errors
    /// Those of `Settings::resolve`.
    pub fn of_file(serve: &Command, file: &Path) -> Result<Self> {
        let words = [OsStr::new("serve"), OsStr::new("--config"), file.as_os_str()];
        let flags = serve.clone().try_get_matches_from(words).map_err(|error| as_failure(&error))?;
        Settings::resolve(&Sources { serve, flags: &flags, environment: &|_| None })
    }

    /// Parses all of them as one command line.
    fn parse(serve: &Command, mut settings: Vec<KeySetting>) -> Result<Self> {
        let words = settings
            .iter()
            .flat_map(|setting| setting.values.iter().map(|value| argument(&setting.key, value)));
        let line = std::iter::once(OsString::from("serve")).chain(words);
        let matches = serve.clone().try_get_matches_from(line).map_err(|error| as_failure(&error))?;
        let args = ServeArgs::from_arg_matches(&matches).map_err(|error| as_failure(&error))?;
        for setting in &mut settings {
            if setting.values.is_empty() {
                let values = matches.get_raw(setting.key.id()).into_iter().flatten();
                setting.values = values.map(OsStr::to_os_string).collect();
            }
        }
        Ok(Settings { args, settings })
    }

    /// Checks them against each other and against `cores`, which may be used.
    ///
    /// # Errors
    /// Options that do not go together, with their position.
    pub fn config(&self, cores: &[usize]) -> Result<Config> {
        Config::from_args(&self.args, cores).map_err(|failure| self.locate(failure))
    }

    /// Adds to a failure where its option was set: of the options that it is about, the first that is not
    /// a flag or a default.
    pub fn locate(&self, failure: Failure) -> Failure {
        match failure.options().iter().find_map(|option| self.position_of(option)) {
            Some(position) => failure.at(position),
            None => failure,
        }
    }

    /// Returns the variable, or the position in the file, that set the option.
    fn position_of(&self, option: &FailedOption) -> Option<String> {
        let name = option.flag.strip_prefix("--")?;
        let setting = self.settings.iter().find(|setting| setting.name() == name)?;
        match &setting.origin {
            Origin::Default | Origin::Flag => None,
            Origin::Environment(name) => Some(format!("environment variable {name}")),
            Origin::File(key) => {
                let is_value = |value: &OsString| option.value.as_deref().is_some_and(|wrong| value == wrong);
                let mut values = setting.values.iter().zip(&setting.positions);
                let value = values.find(|(value, _)| is_value(value)).map(|(_, position)| position);
                Some(value.unwrap_or(key).to_string())
            }
        }
    }

    /// Returns every key, in the order of the help.
    fn iter(&self) -> impl Iterator<Item = &KeySetting> {
        self.settings.iter()
    }

    /// Returns the keys whose values differ from those of `before`.
    pub(crate) fn changed<'a>(&'a self, before: &'a Settings) -> impl Iterator<Item = &'a KeySetting> {
        let pairs = self.settings.iter().zip(&before.settings);
        pairs.filter(|(now, before)| now.values != before.values).map(|(now, _)| now)
    }
}

/// Returns the values in an environment variable: a key that can be given more than once takes a list,
/// separated by commas or white space.
fn words(key: &ConfigKey, value: OsString) -> Vec<OsString> {
    match value.to_str().filter(|_| key.many) {
        Some(list) => list
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(OsString::from)
            .collect(),
        None => vec![value],
    }
}

/// Returns clap's error about flags that do not go together as one sentence.
fn as_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.split("\n\nUsage").next().unwrap_or_default();
    let words: Vec<&str> = text.trim_start_matches("error: ").split_whitespace().collect();
    Failure::usage(words.join(" "))
}

#[cfg(test)]
mod tests;
