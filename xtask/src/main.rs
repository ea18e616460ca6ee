//! Developer verbs of xstun, one file each. [`mod@run`], [`workspace`], [`tool`] and [`netns`] hold what
//! they share.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod audit;
mod bench;
mod bpf;
mod build;
mod children;
mod demo;
mod dist;
mod fuzz;
mod interrupt;
mod leftovers;
mod lint;
mod miri;
mod mutants;
mod netns;
mod number;
mod run;
mod sanitize;
mod setup;
mod strip;
mod test;
mod tidy;
mod tool;
mod vm;
mod workspace;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use workspace::Workspace;

/// Developer verbs of xstun; each first sets up what it needs
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing on this machine, and say what and why
    Setup {
        /// The verb to set up for
        #[arg(long = "for", value_enum, value_name = "VERB", default_value_t = Purpose::Test)]
        purpose: Purpose,
    },
    /// Build the eBPF object and `xstun`, which embeds it
    Build {
        /// Build target/debug/xstun instead of the release binary
        #[arg(long)]
        debug: bool,
    },
    /// Check formatting, house rules, clippy and documentation
    Lint,
    /// Check the house rules alone (seconds): arrows, names, lengths, the map
    Tidy,
    /// Write the map in docs/architecture.md from the sources
    Map,
    /// Check licences, sources and advisories of all dependencies with cargo-deny
    Audit,
    /// Run all checks and tests: lint, unit, property, verdict and end-to-end tests
    Test,
    /// Serve over AF_XDP between two network namespaces, and query it with independent clients
    Demo,
    /// Run a fuzz target (answer, classify, frame, policies, respond, rings); needs a nightly compiler
    Fuzz {
        /// The fuzz target
        target: String,
        /// Seconds to run
        #[arg(default_value_t = 60)]
        seconds: u64,
        /// Number of parallel processes
        #[arg(long, default_value_t = 1)]
        jobs: u32,
        /// Run this input once instead, for example one that crashed
        #[arg(long, value_name = "FILE")]
        replay: Option<PathBuf>,
    },
    /// Rebuild fuzz/corpus: the smallest set of seeds and found inputs with the same coverage
    Corpus,
    /// Run the tests of the core in Miri; needs a nightly compiler
    Miri,
    /// Run the tests with AddressSanitizer; needs a nightly compiler
    Sanitize,
    /// Change the core in hundreds of ways and list the changes that no test detects (hours)
    Mutants {
        /// Only files whose path contains this, such as answer, frame or stun
        only: Option<String>,
    },
    /// Build the Debian package, and the archive with a static binary, manual pages and licences
    Dist {
        /// Also install, run and remove the package in a Debian system of its own (needs root)
        #[arg(long)]
        check: bool,
    },
    /// Measure speed beside other servers, or count instructions
    Bench(bench::BenchOptions),
    /// Test the ladder with several kernels and emulated NICs in virtual machines (minutes)
    Vm(vm::VmOptions),
}

#[derive(Clone, Copy, ValueEnum)]
enum Purpose {
    Build,
    Lint,
    Demo,
    Test,
    Bench,
    Dist,
}

fn main() -> ExitCode {
    let verb = Arguments::parse().verb;
    match run(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match verb {
        Verb::Setup { purpose } => {
            let needs = match purpose {
                Purpose::Build => setup::Needs::BUILD,
                Purpose::Lint => setup::Needs::LINT,
                Purpose::Demo => setup::Needs::DEMO,
                Purpose::Test => setup::Needs::TEST,
                Purpose::Bench => setup::Needs::BENCH,
                Purpose::Dist => setup::Needs::DIST_CHECK,
            };
            setup::run(&workspace, needs).map(|_| ())
        }
        Verb::Build { debug } => build::run(&workspace, debug),
        Verb::Lint => lint::run(&workspace),
        Verb::Tidy => tidy::run(&workspace),
        Verb::Audit => audit::run(&workspace),
        Verb::Map => tidy::write_map(&workspace),
        Verb::Test => test::run(&workspace),
        Verb::Demo => demo::run(&workspace),
        Verb::Fuzz { target, replay: Some(input), .. } => fuzz::replay(&workspace, &target, &input),
        Verb::Fuzz { target, seconds, jobs, .. } => fuzz::run(&workspace, &target, seconds, jobs),
        Verb::Corpus => fuzz::corpus(&workspace),
        Verb::Miri => miri::run(&workspace),
        Verb::Sanitize => sanitize::run(&workspace),
        Verb::Mutants { only } => mutants::run(&workspace, only.as_deref()),
        Verb::Dist { check } => dist::run(&workspace, check),
        Verb::Bench(options) => bench::run(&workspace, &options),
        Verb::Vm(options) => vm::run(&workspace, &options),
    }
}
