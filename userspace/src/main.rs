//! The `xstun` program: parses the command line, runs the subcommand, prints the failure, picks the exit code.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

use clap::{ArgMatches, FromArgMatches as _};
use std::path::Path;
use std::process::ExitCode;
use xstun::cli::{self, Cli, Command, ConfigCommand, LogFormat, LogLevel};
use xstun::control;
use xstun::datapath;
use xstun::error::Result;
use xstun::memory;
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
    memory::give_back_large();
    // Before any file is read: a file that needs capabilities to be read could not be read again by a reload.
    privileges::begin()?;
    let reader = reader(flags)?;
    let (settings, config) = reader.read()?;
    let args = &settings.args;
    let log = control::log::start(args.live.log_level, args.fixed.log_format, args.fixed.xdp_log)?;
    control::serve(control::ServerSetup { reader, settings, config, log })
}

/// `xstun drain`.
fn drain(control: &Path) -> Result<()> {
    let seconds = control::drain(control)?.as_secs_f64();
    // One digit, rounded up, so that the time is never too short.
    output::print(&format!("draining: it exits in {} seconds\n", (seconds * 10.0).ceil() / 10.0))
}

/// `xstun config check`.
fn check(file: &Path) -> Result<()> {
    // Shows the warnings that the server would log.
    control::log::start(LogLevel::Warn, LogFormat::Text, false)?;
    let settings = Settings::of_file(&serve_command(), file)?;
    let config = settings.config(&datapath::available_cores()?)?;
    control::check(&config).map_err(|failure| settings.locate(failure))?;
    output::print(&format!("{}: no mistakes found\n", file.display()))
}

/// `xstun config show`.
fn show(flags: &ArgMatches) -> Result<()> {
    let (settings, _) = reader(flags)?.read()?;
    output::print(&settings.to_string())
}

fn reader(flags: &ArgMatches) -> Result<Reader> {
    Ok(Reader { serve: serve_command(), flags: flags.clone(), cores: datapath::available_cores()? })
}

/// Returns the command of `serve`.
fn serve_command() -> clap::Command {
    let command = cli::command();
    command.find_subcommand("serve").cloned().unwrap_or_default()
}

/// Returns the matches of a subcommand that was given.
fn below<'a>(matches: &'a ArgMatches, path: &[&str]) -> &'a ArgMatches {
    path.iter().fold(matches, |matches, name| matches.subcommand_matches(name).unwrap_or(matches))
}
