//! `xstun doctor`: checks of the host and its interfaces, each with a severity, the facts found, and the
//! command that fixes a problem.
//!
//! Facts are gathered first and checked afterwards, so that every check can be tested.

mod check;
mod facts;
mod host;
mod interface;
mod prediction;
mod procfs;
mod receive;
mod report;

pub use check::{Check, DoctorReport, Severity};

use crate::cli::DoctorArgs;
use crate::error::Result;
use crate::interface::{all, find};
use crate::output;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Checks this host and the interfaces that `args` name, and prints the report. `ebpf_object` says whether
/// the XDP program is built in. Returns exit code 1 if there is a problem, else 0.
///
/// # Errors
/// Usage: an interface does not exist. System: the kernel does not list the interfaces.
pub fn run(args: &DoctorArgs, ebpf_object: bool) -> Result<ExitCode> {
    let report = examine(&args.interfaces, ebpf_object)?;
    let text = if args.json {
        report::json(&report)
    } else {
        let colour =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        report::text(&report, colour)
    };
    output::print(&text)?;
    Ok(ExitCode::from(u8::from(report.worst() == Severity::Problem)))
}

/// Returns the report on this host and on the interfaces that `names` lists. Without names, reports on
/// every interface that is up, except loopback.
///
/// # Errors
/// As [`run`].
pub fn examine(names: &[String], ebpf_object: bool) -> Result<DoctorReport> {
    let every = all()?;
    let mut examined = Vec::new();
    for name in names {
        let interface = find(name)?;
        if !examined.contains(&interface) {
            examined.push(interface);
        }
    }
    if names.is_empty() {
        examined.extend(every.iter().filter(|interface| interface.up && !interface.loopback).cloned());
    }
    let host = host::HostFacts::gather(ebpf_object);
    let mut interfaces = Vec::new();
    for interface in examined {
        let facts = facts::InterfaceFacts::gather(interface, &every)?;
        let mut checks = facts.check(&host);
        checks.extend(prediction::check_kernel_answers(&facts, &host));
        checks.push(prediction::predict(&facts, &host));
        interfaces.push((facts.interface.name, checks));
    }
    Ok(DoctorReport { host: host.check(), interfaces })
}
