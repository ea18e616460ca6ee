//! README's table of options is clap's definition of `serve`.

use crate::markdown::{rows, section};
use crate::read;
use clap::{Arg, ArgAction};
use std::any::TypeId;
use std::collections::BTreeMap;

/// A row of the table.
struct Row {
    short: Option<char>,
    /// What follows the flag: the name of its value, or its possible values.
    value: String,
    default: String,
    /// Whether a reload can change the option.
    reload: String,
}

fn table() -> BTreeMap<String, Row> {
    let page = read("README.md");
    let mut table = BTreeMap::new();
    for cells in rows(section(&page, "## Options of `xstun serve`"), "option") {
        let [flags, default, reload, _] = &cells[..] else { panic!("{cells:?}") };
        let flags = flags.trim_matches('`');
        let (short, flags) = match flags.split_once(", ") {
            Some((short, flags)) => (short.strip_prefix('-').unwrap().chars().next(), flags),
            None => (None, flags),
        };
        let (long, value) = flags.split_once(' ').unwrap_or((flags, ""));
        let long = long.strip_prefix("--").unwrap_or_else(|| panic!("{cells:?}")).to_owned();
        let default = default.replace('`', "");
        let row = Row { short, value: value.to_owned(), default, reload: reload.clone() };
        assert!(table.insert(long.clone(), row).is_none(), "--{long} has two rows");
    }
    table
}

#[test]
fn the_readme_lists_every_option_of_serve_and_no_other() {
    let command = xstun::cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let live = xstun::cli::live_keys();
    let mut table = table();
    for arg in serve.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
        let row = table.remove(long).unwrap_or_else(|| panic!("README.md has no row for --{long}"));
        assert_eq!(row.short, arg.get_short(), "the short flag of --{long}");
        assert_eq!(row.value, value(arg), "the value of --{long}");
        let reload = if live.iter().any(|key| key == long) { "yes" } else { "no" };
        assert_eq!(row.reload, reload, "whether a reload can change --{long}");
        if let Some(default) = default(arg) {
            assert_eq!(row.default, default, "the default of --{long}");
        }
    }
    assert!(table.is_empty(), "README.md has rows for flags that `serve` has not: {:?}", table.keys());
}

fn is_switch(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// What follows the flag in the table.
fn value(arg: &Arg) -> String {
    if is_switch(arg) {
        return String::new();
    }
    let possible: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() {
        return possible.join("|");
    }
    let name = arg.get_value_names().unwrap()[0].as_str().to_owned();
    match arg.get_num_args() {
        Some(count) if count.min_values() == 0 && matches!(arg.get_action(), ArgAction::Set) => {
            format!("[{name}]")
        }
        _ => name,
    }
}

/// The default that clap knows.
fn default(arg: &Arg) -> Option<String> {
    if is_switch(arg) {
        return Some("off".to_owned());
    }
    let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
