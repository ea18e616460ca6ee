//! The `xstun` program: parses, runs, and is the only place that prints an error and picks an exit
//! code.

use clap::Parser as _;
use std::process::ExitCode;
use xstun::cli::{Cli, Command, ServeArgs};
use xstun::config::Config;
use xstun::control;
use xstun::datapath;
use xstun::doctor;
use xstun::error::Result;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => doctor::run(&args, datapath::ebpf_object_present()),
        _ => Err(xstun::error::Failure::usage("this build has only `serve`")),
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
