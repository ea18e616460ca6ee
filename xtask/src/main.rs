//! Developer verbs of xstun. Each verb is one file; what verbs share stands in [`mod@run`],
//! [`workspace`] and [`netns`].
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

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
mod test;
mod tidy;
mod tool;
mod vm;
mod workspace;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use workspace::Workspace;

/// Developer verbs of xstun: each sets up what it needs first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing on this machine, saying what and why; do nothing when all is there
    Setup {
        /// What the machine is to be made ready for
        #[arg(long = "for", value_enum, value_name = "VERB", default_value_t = Purpose::Test)]
        purpose: Purpose,
    },
    /// Build the eBPF object, and `xstun` with it inside
    Build {
        /// Build `target/debug/xstun` instead of the release binary
        #[arg(long)]
        debug: bool,
    },
    /// Check format, clippy, documentation, and the arrows between the modules
    Lint,
    /// Run everything: lint, unit, property, verdict and end-to-end tests
    Test,
    /// Serve over AF_XDP between two network namespaces, and ask with independent clients
    Demo,
    /// Run a fuzz target (answer, classify, frame, policies, respond, rings); needs a nightly compiler
    Fuzz {
        /// Which
        target: String,
        /// How long
        #[arg(default_value_t = 60)]
        seconds: u64,
        /// Processes at a time
        #[arg(long, default_value_t = 1)]
        jobs: u32,
        /// Run this input once instead, as one that crashed
        #[arg(long, value_name = "FILE")]
        replay: Option<PathBuf>,
    },
    /// Make fuzz/corpus anew: the conformance table and what fuzzing found, minimised
    Corpus,
    /// Run the tests of core and frames in Rust's interpreter; needs a nightly compiler
    Miri,
    /// Run the tests against a server with AddressSanitizer in it; needs a nightly compiler
    Sanitize,
    /// Change core and frames in hundreds of ways, and name the changes that no test notices (hours)
    Mutants {
        /// Only files with this in their path: answer, frame, stun
        only: Option<String>,
    },
    /// Make what people install: the Debian package, the archive with a static binary, pages, licences
    Dist {
        /// Also install, run and remove it in a Debian system of its own (needs root)
        #[arg(long)]
        check: bool,
    },
    /// Measure speed side by side with what else there is; or count instructions
    Bench(bench::Options),
    /// Test the ladder on real kernels and emulated NICs, in virtual machines (minutes)
    Vm(vm::Options),
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
