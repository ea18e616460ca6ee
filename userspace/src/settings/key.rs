//! A flag of `serve` as a key of the configuration file and as an environment variable.

use crate::cli::live_keys;
use clap::builder::ArgAction;
use clap::{Arg, Command};
use std::any::TypeId;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Flags that are not keys: `config` names the file, and clap itself handles the others.
const NO_KEYS: [&str; 3] = ["config", "help", "version"];

/// One flag that can also be set in the file and in the environment.
#[derive(Clone, Debug)]
pub(super) struct ConfigKey {
    /// The long flag without its dashes.
    pub(super) name: String,
    pub(super) kind: ValueKind,
    /// Whether a reload may change it.
    pub(super) is_live: bool,
    /// Whether it can be given more than once: an array in the file.
    pub(super) many: bool,
    /// Whether it names a file: a relative name is relative to the configuration file.
    pub(super) path: bool,
    arg: Arg,
}

/// The TOML type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// `true` or `false`.
    Switch,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A string, or `true` for the flag without its value.
    OptionalText,
}

impl ValueKind {
    /// Returns what a message says is expected.
    pub(super) fn expected(self) -> &'static str {
        match self {
            ValueKind::Switch => "true or false",
            ValueKind::Number => "a decimal number",
            ValueKind::Text => "a string",
            ValueKind::OptionalText => "a string, or true or false",
        }
    }
}

impl ConfigKey {
    /// Returns every key, in the order of the help.
    pub(super) fn all(serve: &Command) -> Vec<ConfigKey> {
        let live = live_keys();
        let mut args: Vec<&Arg> = serve.get_arguments().collect();
        args.sort_by_key(|arg| arg.get_display_order());
        args.into_iter().filter_map(|arg| ConfigKey::new(arg, &live)).collect()
    }

    fn new(arg: &Arg, live: &[String]) -> Option<Self> {
        let name = arg.get_long().filter(|name| !NO_KEYS.contains(name))?.to_owned();
        let kind = if is_one_of(arg, &[TypeId::of::<bool>()]) {
            ValueKind::Switch
        } else if is_one_of(arg, &numbers()) {
            ValueKind::Number
        } else if arg.get_num_args().is_some_and(|range| range.min_values() == 0) {
            ValueKind::OptionalText
        } else {
            ValueKind::Text
        };
        Some(ConfigKey {
            is_live: live.contains(&name),
            name,
            kind,
            many: matches!(arg.get_action(), ArgAction::Append),
            path: is_one_of(arg, &[TypeId::of::<PathBuf>()]),
            arg: arg.clone(),
        })
    }

    /// Returns clap's identifier.
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// Returns the flag.
    pub(super) fn arg(&self) -> &Arg {
        &self.arg
    }

    /// Returns the name of the environment variable.
    pub(super) fn variable(&self) -> String {
        variable(&self.name)
    }
}

/// Returns the name of the environment variable for the flag `--name`.
pub(super) fn variable(name: &str) -> String {
    format!("XSTUN_{}", name.replace('-', "_").to_uppercase())
}

fn is_one_of(arg: &Arg, types: &[TypeId]) -> bool {
    types.iter().any(|one| arg.get_value_parser().type_id() == *one)
}

/// Types that are written as numbers; a duration is a number of seconds.
fn numbers() -> [TypeId; 15] {
    [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
        TypeId::of::<f32>(),
        TypeId::of::<f64>(),
        TypeId::of::<NonZeroU8>(),
        TypeId::of::<NonZeroU16>(),
        TypeId::of::<NonZeroU32>(),
        TypeId::of::<NonZeroU64>(),
        TypeId::of::<NonZeroUsize>(),
        TypeId::of::<Duration>(),
    ]
}
