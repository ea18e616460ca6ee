//! A flag of `serve` as a key of the configuration file and as an environment variable.

use clap::builder::ArgAction;
use clap::{Arg, Command};
use std::any::TypeId;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Flags that are no keys: they say where the keys are, or are answered by clap itself.
const NO_KEYS: [&str; 3] = ["config", "help", "version"];

/// One flag that can also be set elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The long flag without its dashes.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether it can be given more than once: an array in the file.
    pub(super) many: bool,
    /// Whether it names a file: looked for beside the configuration file where it is relative.
    pub(super) path: bool,
    arg: Arg,
}

/// What a key's value looks like in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A string, or `true` for the flag without its value.
    OptionalText,
}

impl Kind {
    /// As a message says what is wanted.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Kind::Switch => "true or false",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::OptionalText => "a string, or true or false",
        }
    }
}

impl Key {
    /// Every key there is, in the order of the help.
    pub(super) fn all(serve: &Command) -> Vec<Key> {
        serve.get_arguments().filter_map(Key::new).collect()
    }

    fn new(arg: &Arg) -> Option<Self> {
        let name = arg.get_long().filter(|name| !NO_KEYS.contains(name))?.to_owned();
        let kind = if is_one_of(arg, &[TypeId::of::<bool>()]) {
            Kind::Switch
        } else if is_one_of(arg, &numbers()) {
            Kind::Number
        } else if arg.get_num_args().is_some_and(|range| range.min_values() == 0) {
            Kind::OptionalText
        } else {
            Kind::Text
        };
        Some(Key {
            name,
            kind,
            many: matches!(arg.get_action(), ArgAction::Append),
            path: is_one_of(arg, &[TypeId::of::<PathBuf>()]),
            arg: arg.clone(),
        })
    }

    /// As clap knows it.
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// The flag itself.
    pub(super) fn arg(&self) -> &Arg {
        &self.arg
    }

    /// Name of the environment variable.
    pub(super) fn variable(&self) -> String {
        variable(&self.name)
    }
}

/// Name of the environment variable for the flag `--name`.
pub(super) fn variable(name: &str) -> String {
    format!("XSTUN_{}", name.replace('-', "_").to_uppercase())
}

fn is_one_of(arg: &Arg, types: &[TypeId]) -> bool {
    types.iter().any(|one| arg.get_value_parser().type_id() == *one)
}

/// Types that are written as numbers. A duration is one of seconds.
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
