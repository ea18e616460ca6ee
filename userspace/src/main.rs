//! The `xstun` program: parses, runs, and is the only place that prints an error and picks an exit
//! code.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

use clap::{ArgMatches, FromArgMatches as _};
use std::path::Path;
use std::process::ExitCode;
use xstun::cli::{self, Cli, Command, ConfigCommand, LogFormat, LogLevel};
use xstun::control;
use xstun::datapath;
use xstun::error::Result;
use xstun::privileges;
use xstun::settings::{Reader, Settings, example};
use xstun::{client, doctor, output};

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let command = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    let result = match command {
        Command::Serve(_) => serve(below(&matches, &["serve"])).map(|()| ExitCode::SUCCESS),
        Command::Probe(args) => client::probe::run(&args),
        Command::Top(args) => client::top::run(&args),
        Command::Load(args) => client::load::run(&args),
        Command::Doctor(args) => doctor::run(&args, datapath::ebpf_object_present()),
        Command::Drain(args) => drain(&args.control).map(|()| ExitCode::SUCCESS),
        Command::Config(ConfigCommand::Check(args)) => check(&args.file).map(|()| ExitCode::SUCCESS),
        Command::Config(ConfigCommand::Show(_)) => {
            show(below(&matches, &["config", "show"])).map(|()| ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Example) => {
            output::print(&example::example(&serve_command())).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|failure| {
        eprintln!("xstun: {failure}");
        failure.exit_code()
    })
}

fn serve(flags: &ArgMatches) -> Result<()> {
    // Before any file is read: what cannot be read without rights could not be read again either.
    privileges::begin()?;
    let reader = reader(flags)?;
    let (settings, config) = reader.read()?;
    let args = &settings.args;
    let log = control::log::start(args.log_level, args.log_format, args.xdp_log)?;
    control::serve(control::Server { reader, settings, config, log })
}

/// `xstun drain`.
fn drain(control: &Path) -> Result<()> {
    let seconds = control::drain(control)?.as_secs_f64();
    // No more digits than somebody can use, and never too short a time.
    output::print(&format!("draining: it ends in {} seconds\n", (seconds * 10.0).ceil() / 10.0))
}

/// `xstun config check`.
fn check(file: &Path) -> Result<()> {
    // What the server would warn of is to be seen here.
    control::log::start(LogLevel::Warn, LogFormat::Text, false)?;
    let settings = Settings::of_file(&serve_command(), file)?;
    let config = settings.config(&datapath::available_cores()?)?;
    control::check(&config).map_err(|failure| settings.locate(failure))?;
    output::print(&format!("{}: nothing is wrong\n", file.display()))
}

/// `xstun config show`.
fn show(flags: &ArgMatches) -> Result<()> {
    let (settings, _) = reader(flags)?.read()?;
    output::print(&settings.to_string())
}

fn reader(flags: &ArgMatches) -> Result<Reader> {
    Ok(Reader { serve: serve_command(), flags: flags.clone(), cores: datapath::available_cores()? })
}

/// The command line of `serve`, as the library's own functions take it.
fn serve_command() -> clap::Command {
    let command = cli::command();
    command.find_subcommand("serve").cloned().unwrap_or_default()
}

/// What was given to a verb that was found in the command line.
fn below<'a>(matches: &'a ArgMatches, verbs: &[&str]) -> &'a ArgMatches {
    verbs.iter().fold(matches, |matches, verb| matches.subcommand_matches(verb).unwrap_or(matches))
}
