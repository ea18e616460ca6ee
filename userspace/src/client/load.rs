//! `xstun load`: as many questions as a server can bear, each answer checked.
//!
//! With `--rate` the load is an open loop: requests are due at fixed times, whether or not earlier
//! ones are answered, and a reply's latency counts from when its request was due. A server or a
//! sender that falls behind therefore shows in the latency instead of slowing the load down. Without
//! `--rate`, requests leave as fast as replies come back, a bounded number at a time.

mod outstanding;
mod report;
mod sender;

use super::server::Server;
use super::{Ending, count, print, say};
use crate::cli::LoadArgs;
use crate::error::{Failure, Result};
use crate::stop::Stop;
use rustix::net::sockopt;
use sender::{Orders, Port, Tally};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receive buffer of each port, in bytes, as far as the kernel grants it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Loads the server and prints what came of it. Gives exit code 0 if replies came and all were right,
/// 1 if one was wrong, 3 if none came. SIGINT and SIGTERM end it early; it prints all the same.
///
/// # Errors
/// Bad usage, which includes a server that is neither local nor private and not named by `--i-own`;
/// and what the system refused.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    load(args, &mut io::stdout().lock(), &mut io::stderr()).map(ExitCode::from)
}

fn load(args: &LoadArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<Ending> {
    let server = target(args)?;
    let shares = shares(args, server)?;
    let stop =
        Stop::new().map_err(|error| Failure::system("cannot get an event descriptor").because(error))?;
    let signals = Signals::catch()?;
    let start = Instant::now();
    let (tally, sending) = thread::scope(|scope| {
        let senders: Vec<_> =
            shares.into_iter().map(|orders| scope.spawn(|| sender::run(orders, start, &stop))).collect();
        signals.wait(args.duration);
        stop.order();
        let sending = start.elapsed();
        let mut tally = Tally::default();
        for sender in senders {
            // The threads allocate beforehand and index within bounds; a panic in one is a bug, and
            // numbers without its share would be lies.
            let share = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            tally.add(&share);
        }
        Ok((tally, sending))
    })?;

    let text =
        if args.json { report::json(server, &tally, sending) } else { report::text(server, &tally, sending) };
    print(out, &text)?;
    if tally.wrong > 0 {
        say(
            err,
            &format!(
                "{} from {server} had another transaction ID or another address",
                count(tally.wrong, "datagram")
            ),
        );
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

/// The address to load: the first that the name has, if it may be loaded.
fn target(args: &LoadArgs) -> Result<SocketAddr> {
    let named = Server::parse(&args.server)?;
    let owned = match args.i_own.as_deref() {
        None => false,
        Some(again) if again == args.server || again == named.host => true,
        Some(again) => {
            return Err(Failure::usage(format!("--i-own is '{again}', and the server is '{}'", args.server))
                .remedy("name the same server twice, if it is yours"));
        }
    };
    let server = named.resolve(None)?.remove(0);
    if !owned && !is_near(server.ip()) {
        return Err(Failure::usage(format!("{server} is neither a local nor a private address")).remedy(
            format!("load only servers that are yours; if this one is, add --i-own {}", named.host),
        ));
    }
    Ok(server)
}

/// Whether an address can only be of this host or network, or is set aside for benchmarks (RFC 2544,
/// RFC 5180).
fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(ip) => {
            let benchmark = ip.segments()[..3] == [0x2001, 2, 0];
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || benchmark
        }
    }
}

/// What each thread is to do: its ports, opened and connected, and its share of the rate.
fn shares(args: &LoadArgs, server: SocketAddr) -> Result<Vec<Orders>> {
    let (threads, ports) = (args.threads.get(), args.ports.get());
    if ports < threads {
        return Err(Failure::usage(format!("--ports {ports} is less than --threads {threads}"))
            .remedy("each thread needs a port of its own"));
    }
    let trusted = is_near(server.ip());
    let share = |thread: u32| {
        let ports = ports / threads + u32::from(thread < ports % threads);
        Ok(Orders {
            ports: (0..ports).map(|_| open(server, trusted)).collect::<Result<_>>()?,
            rate: args.rate.map(|rate| rate.get() as f64 / f64::from(threads)),
            phase: f64::from(thread) / f64::from(threads),
        })
    };
    (0..threads).map(share).collect()
}

/// A port of this host towards `server`. Only where no address translator can be in between does its
/// own address say what the replies must tell.
fn open(server: SocketAddr, trusted: bool) -> Result<Port> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let open = || {
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        // Less only loses more under a burst, which the report shows.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
        }
        let mapped = if trusted { Some(socket.local_addr()?) } else { None };
        Ok(Port { socket, mapped })
    };
    open().map_err(|error: io::Error| {
        Failure::system(format!("cannot open a port towards {server}"))
            .because(error)
            .remedy("check the route to it, and the limit on open files (`ulimit -n`) against --ports")
    })
}

/// SIGINT and SIGTERM, caught from the moment this exists.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let entered = runtime.enter();
            let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            drop(entered);
            Ok(Signals { runtime, interrupt, terminate })
        };
        catch().map_err(|error: io::Error| Failure::system("cannot catch signals").because(error))
    }

    /// Waits for one of them, or until the time is over.
    fn wait(mut self, duration: Duration) {
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        });
    }
}

#[cfg(test)]
mod tests;
