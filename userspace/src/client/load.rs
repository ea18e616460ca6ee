//! `xstun load`: a load of requests, with every reply checked.
//!
//! With `--rate` the load is an open loop: requests are due at fixed times whether or not earlier ones
//! are answered, and a reply's latency counts from the time at which its request was due. A server or a
//! generator that falls behind therefore shows in the latency, instead of slowing the load down.
//! Without `--rate`, sockets keep a bounded number of requests in flight, and AF_XDP sends as fast as
//! frames leave.

#[cfg(feature = "af-xdp")]
mod af_xdp;
#[cfg(not(feature = "af-xdp"))]
#[path = "load/af_xdp/absent.rs"]
mod af_xdp;
mod checker;
mod flows;
mod id;
mod plan;
mod pool;
mod progress;
mod report;
mod run;
mod search;
mod shape;
mod sockets;
mod tally;
mod target;
mod tracker;
mod window;

use super::{ClientExit, print_message};
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use crate::output::{counted, print_to};
use plan::LoadPlan;
use pool::WorkerPool;
use run::LoadRun;
use shape::ShapeMix;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

/// Loads the server and prints the result. Returns exit code 0 if there were replies and all were right,
/// 1 if a reply was wrong, 3 if there was none. SIGINT and SIGTERM end the load early; the result is
/// printed all the same.
///
/// # Errors
/// Usage: invalid flags, or a server that is neither local nor private and not confirmed by `--i-own`.
/// System: the kernel refuses sockets, threads or the XDP program.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    let mut err = io::stderr();
    let mut terminal = io::stderr();
    let progress = terminal.is_terminal().then_some(&mut terminal as &mut dyn Write);
    load(args, &mut io::stdout().lock(), &mut err, progress).map(ExitCode::from)
}

/// The plan and the workers that send it.
struct Generator {
    /// `af-xdp` or `sockets`.
    path: &'static str,
    plan: Arc<LoadPlan>,
    /// Declared before the pool, and so dropped before it: the program must not redirect frames to
    /// sockets that are closed.
    _attachment: Option<af_xdp::LoadAttachment>,
    pool: WorkerPool,
}

fn load(
    args: &LoadArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    progress: Option<&mut dyn Write>,
) -> Result<ClientExit> {
    let server = target::target(args)?;
    let mix = ShapeMix::parse(&args.shape)
        .map_err(|reason| Failure::usage(format!("invalid --shape: {reason}")))?;
    let generator = match &args.interface {
        Some(name) => match af_xdp_generator(args, name, server, mix)? {
            Some(generator) => generator,
            None => {
                print_message(err, &format!("no reply from {server} to a request from an ordinary socket"));
                return Ok(ClientExit::NoAnswer);
            }
        },
        None => socket_generator(args, server, mix)?,
    };
    let mut run = LoadRun::new(&generator.plan, &generator.pool, progress)?;
    let report =
        if args.find_max { run.search(args, generator.path)? } else { run.once(args, generator.path)? };
    drop(generator);

    print_to(out, &if args.json { report.json() } else { report.text() })?;
    let tally = &report.tally;
    if report.wrong > 0 {
        let fault = "with a wrong transaction ID, address or checksum";
        print_message(err, &format!("{} from {server} {fault}", counted(report.wrong, "datagram")));
        return Ok(ClientExit::WrongReply);
    }
    if tally.received == 0 {
        let reason = match &tally.send_error {
            Some(error) => format!(": {error}"),
            None => String::new(),
        };
        print_message(err, &format!("no reply from {server} to {}{reason}", counted(tally.sent, "request")));
        return Ok(ClientExit::NoAnswer);
    }
    Ok(ClientExit::Answered)
}

/// Returns a generator whose workers send over ordinary sockets.
fn socket_generator(args: &LoadArgs, server: SocketAddr, mix: ShapeMix) -> Result<Generator> {
    let workers = args.threads.get() as usize;
    let mut flows = flows::open(server, &args.sources, args.ports.get())?;
    if flows.len() < workers {
        return Err(Failure::usage(format!("--ports {} is less than --threads {workers}", args.ports))
            .remedy("give each thread at least one port"));
    }
    let plan = LoadPlan::new(server, flows.iter().map(|(flow, _)| *flow), mix, workers)?;
    let mut pool = WorkerPool::new(Arc::clone(&plan));
    for index in (0..workers).rev() {
        // From the last worker to the first, because each takes the end of the list.
        let first = index * plan.flows.len() / workers;
        let sockets: Vec<_> = flows.drain(first..).map(|(_, socket)| socket).collect();
        let plan = Arc::clone(&plan);
        pool.spawn(move || {
            let range = first..first + sockets.len();
            let mut worker = sockets::SocketLoadWorker::new(plan, index, workers, range, sockets);
            Ok(((), move |step: &pool::LoadStep| worker.step(step)))
        })?;
    }
    Ok(Generator { path: "sockets", plan, _attachment: None, pool })
}

/// Returns a generator whose workers send over AF_XDP; `None` if the server does not answer an ordinary
/// socket.
fn af_xdp_generator(
    args: &LoadArgs,
    name: &str,
    server: SocketAddr,
    mix: ShapeMix,
) -> Result<Option<Generator>> {
    let Some((plan, attachment, pool)) = af_xdp::start(args, name, server, mix)? else { return Ok(None) };
    Ok(Some(Generator { path: "af-xdp", plan, _attachment: Some(attachment), pool }))
}

#[cfg(test)]
mod tests;
