//! The `xstun` program: parses, runs, and is the only place that prints an error and picks an exit
//! code.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

use clap::Parser as _;
use std::process::ExitCode;
use xstun::cli::{Cli, Command, ServeArgs};
use xstun::config::Config;
use xstun::control;
use xstun::datapath;
use xstun::error::Result;
use xstun::{client, doctor};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve(&args).map(|()| ExitCode::SUCCESS),
        Command::Probe(args) => client::probe::run(&args),
        Command::Load(args) => client::load::run(&args),
        Command::Doctor(args) => doctor::run(&args, datapath::ebpf_object_present()),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("xstun: {failure}");
        failure.exit_code()
    })
}

fn serve(args: &ServeArgs) -> Result<()> {
    let config = Config::from_args(args, &datapath::available_cores()?)?;
    control::log::start(args.log_level, args.log_format, args.xdp_log);
    control::serve(config)
}
