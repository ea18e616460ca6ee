//! `xstun load`: as many questions as a server can bear, each answer checked.
//!
//! With `--rate` the load is an open loop: requests are due at fixed times, whether or not earlier
//! ones are answered, and a reply's latency counts from when its request was due. A server or a
//! generator that falls behind therefore shows in the latency instead of slowing the load down.
//! Without `--rate`, sockets send as fast as replies come back, a bounded number at a time, and AF_XDP
//! sends as fast as frames leave.

#[cfg(feature = "af-xdp")]
mod af_xdp;
mod board;
mod checker;
mod crew;
mod flows;
mod id;
mod plan;
mod progress;
mod report;
mod run;
mod search;
mod shape;
mod sockets;
mod tally;
mod target;
mod window;

use super::{Ending, count, print, say};
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use crew::Crew;
use flows::open;
use id::Key;
use plan::{Flow, Plan};
use run::Run;
use shape::Mix;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Loads the server and prints what came of it. Gives exit code 0 if replies came and all were right,
/// 1 if one was wrong, 3 if none came. SIGINT and SIGTERM end it early; it prints all the same.
///
/// # Errors
/// Bad usage, which includes a server that is neither local nor private and not named by `--i-own`;
/// and what the system refused.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    let mut err = io::stderr();
    let mut terminal = io::stderr();
    let progress = terminal.is_terminal().then_some(&mut terminal as &mut dyn Write);
    load(args, &mut io::stdout().lock(), &mut err, progress).map(ExitCode::from)
}

/// What sends: the plan, its workers, and what they need to stay.
struct Generator {
    /// `af-xdp` or `sockets`.
    path: &'static str,
    plan: Arc<Plan>,
    /// Before the crew: frames must go to the kernel again before their sockets are closed.
    #[cfg(feature = "af-xdp")]
    #[allow(dead_code, reason = "dropping it is its use")]
    attachment: Option<af_xdp::Attachment>,
    crew: Crew,
}

fn load(
    args: &LoadArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    progress: Option<&mut dyn Write>,
) -> Result<Ending> {
    let server = target::target(args)?;
    let mix = Mix::parse(&args.shape).map_err(|wrong| Failure::usage(format!("--shape: {wrong}")))?;
    let generator = match &args.interface {
        Some(name) => match over_af_xdp(args, name, server, mix)? {
            Some(generator) => generator,
            None => {
                say(err, &format!("no reply from {server} to a request from an ordinary socket"));
                return Ok(Ending::NoAnswer);
            }
        },
        None => over_sockets(args, server, mix)?,
    };
    let mut run = Run::new(&generator.plan, &generator.crew, progress)?;
    let report =
        if args.find_max { run.search(args, generator.path)? } else { run.once(args, generator.path)? };
    drop(generator);

    print(out, &if args.json { report.json() } else { report.text() })?;
    let tally = &report.tally;
    if report.wrong > 0 {
        let what = "had another transaction ID, another address or a wrong checksum";
        say(err, &format!("{} from {server} {what}", count(report.wrong, "datagram")));
        return Ok(Ending::Wrong);
    }
    if tally.received == 0 {
        let why = match &tally.refusal {
            Some(error) => format!(": {error}"),
            None => String::new(),
        };
        say(err, &format!("no reply from {server} to {}{why}", count(tally.sent, "request")));
        return Ok(Ending::NoAnswer);
    }
    Ok(Ending::Answered)
}

/// Workers with sockets of their own.
fn over_sockets(args: &LoadArgs, server: SocketAddr, mix: Mix) -> Result<Generator> {
    let workers = args.threads.get() as usize;
    let mut flows = open(server, &args.sources, args.ports.get())?;
    if flows.len() < workers {
        return Err(Failure::usage(format!("--ports {} is less than --threads {workers}", args.ports))
            .remedy("each thread needs a port of its own"));
    }
    let plan = plan(server, &flows, mix, workers)?;
    let mut crew = Crew::new(Arc::clone(&plan));
    for turn in (0..workers).rev() {
        // From the last on, so that the rest are always the first.
        let first = turn * plan.flows.len() / workers;
        let sockets: Vec<_> = flows.drain(first..).map(|(_, socket)| socket).collect();
        let (plan, turn) = (Arc::clone(&plan), turn);
        crew.hire(move || {
            let range = first..first + sockets.len();
            let mut worker = sockets::Worker::new(plan, turn, workers, range, sockets);
            Ok(((), move |step: &crew::Step| worker.step(step)))
        })?;
    }
    Ok(Generator {
        path: "sockets",
        plan,
        #[cfg(feature = "af-xdp")]
        attachment: None,
        crew,
    })
}

#[cfg(feature = "af-xdp")]
fn over_af_xdp(args: &LoadArgs, name: &str, server: SocketAddr, mix: Mix) -> Result<Option<Generator>> {
    let Some((plan, attachment, crew)) = af_xdp::start(args, name, server, mix)? else { return Ok(None) };
    Ok(Some(Generator { path: "af-xdp", plan, attachment: Some(attachment), crew }))
}

#[cfg(not(feature = "af-xdp"))]
fn over_af_xdp(_args: &LoadArgs, name: &str, _server: SocketAddr, _mix: Mix) -> Result<Option<Generator>> {
    Err(Failure::system(format!("--interface {name}: this xstun was built without AF_XDP"))
        .remedy("build it with the feature `af-xdp`, or leave the flag out to load over sockets"))
}

fn plan<S>(server: SocketAddr, flows: &[(Flow, S)], mix: Mix, workers: usize) -> Result<Arc<Plan>> {
    if workers > usize::from(u8::MAX) {
        return Err(Failure::usage(format!("{workers} workers are more than the {} there can be", u8::MAX)));
    }
    Ok(Arc::new(Plan {
        server,
        flows: flows.iter().map(|(flow, _)| *flow).collect(),
        mix,
        key: Key::random()?,
        board: board::Board::new(workers),
        origin: Instant::now(),
    }))
}

#[cfg(test)]
mod tests;
