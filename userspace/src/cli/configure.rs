//! `xstun config`, and what makes a switch of `serve` one that can also be switched off.

use super::{Cli, ServeArgs};
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Args, Command, CommandFactory as _, Subcommand};
use std::path::PathBuf;

/// The verbs of `xstun config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file, and the files that it names, alone: without flags and environment
    Check(CheckArgs),
    /// Show every option of `serve` as it would be in force with these flags, and where it comes from
    Show(Box<ServeArgs>),
    /// Print a configuration file with every key, its meaning and its default
    Example,
}

/// Flags of `xstun config check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

const HELP: &str = "\
Every option is also a key of the file that --config names, and an environment variable: --log-level is \
XSTUN_LOG_LEVEL. Flags go before variables, these before the file. `xstun config example` prints such a \
file, `xstun config show` takes the same flags and tells what is in force.";

/// The whole command line. Every switch of `serve` takes `=false` too, so that one in a file can be
/// switched off by a flag.
pub fn command() -> Command {
    Cli::command()
        .mut_subcommand("serve", |serve| settable(serve).after_help(HELP))
        .mut_subcommand("config", |config| config.mut_subcommand("show", settable))
}

fn settable(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => switch(arg),
        _ => arg,
    })
}

fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_parser(BoolishValueParser::new())
        .value_name("true|false")
        .hide_possible_values(true)
        .hide_default_value(true)
}
