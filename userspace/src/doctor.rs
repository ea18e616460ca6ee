//! What a person needs to know before going live: each thing with a verdict, what was found, and the
//! command that mends it.
//!
//! Facts are gathered first and judged after, so that every judgement can be tested.

mod check;
mod facts;
mod host;
mod interface;
mod outlook;
mod procfs;
mod receive;
mod report;

pub use check::{Check, Report, Verdict};

use crate::cli::DoctorArgs;
use crate::error::{Failure, Result};
use crate::interface::{all, find};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Looks at this machine and the interfaces that `args` name, and prints what it finds on standard
/// output. `ebpf_object` tells whether the XDP program is built in. Gives 0 where nothing keeps
/// `xstun serve` from what it is meant to do, else 1.
///
/// # Errors
/// Usage: an interface that does not exist. System: the kernel does not list the interfaces.
pub fn run(args: &DoctorArgs, ebpf_object: bool) -> Result<ExitCode> {
    let report = examine(&args.interfaces, ebpf_object)?;
    let mut out = std::io::stdout().lock();
    let text = if args.json {
        report::json(&report)
    } else {
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        report::text(&report, colour)
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| Failure::system("cannot print the report").because(error))?,
    }
    Ok(ExitCode::from(u8::from(report.worst() == Verdict::Problem)))
}

/// The report on this machine and on the interfaces named; on every one that is up, but loopback,
/// where none is named.
///
/// # Errors
/// As [`run`]'s.
pub fn examine(names: &[String], ebpf_object: bool) -> Result<Report> {
    let every = all()?;
    let mut wanted = Vec::new();
    for name in names {
        let interface = find(name)?;
        if !wanted.contains(&interface) {
            wanted.push(interface);
        }
    }
    if names.is_empty() {
        wanted.extend(every.iter().filter(|interface| interface.up && !interface.loopback).cloned());
    }
    let host = host::Host::gather(ebpf_object);
    let mut interfaces = Vec::new();
    for interface in wanted {
        let facts = facts::Facts::gather(interface, &every)?;
        let mut checks = facts.judge(&host);
        checks.push(outlook::outlook(&facts, &host));
        interfaces.push((facts.interface.name, checks));
    }
    Ok(Report { host: host.judge(), interfaces })
}
