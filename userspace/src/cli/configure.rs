//! `xstun config`, and the whole command line with switches that can also be switched off.

use super::{Cli, ServeArgs};
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Args, Command, CommandFactory as _, Subcommand};
use std::path::PathBuf;

/// Subcommands of `xstun config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file and the files that it names, without flags and environment variables
    Check(CheckArgs),
    /// Show the value of every option of `serve` with these flags, and where each comes from
    Show(Box<ServeArgs>),
    /// Print a configuration file with every key, its meaning and its default
    Example,
}

/// Options of `xstun config check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

const HELP: &str = "\
Every option is also a key of the file that --config names and an environment variable: --log-level is \
XSTUN_LOG_LEVEL. Flags take precedence over variables, and variables over the file. `xstun config example` \
prints a file with every key; `xstun config show` takes the same flags as `serve` and shows the values in \
force.";

/// Returns the whole command line. Every switch of `serve` also takes `=false`, so that a flag can switch
/// off what a file switches on.
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
