//! The slow world, on one thread: signals, changes of links and addresses, health of the workers,
//! and what is told to the operator. Never on a datagram's way.

mod access;
#[cfg(feature = "af-xdp")]
mod attachment;
mod care;
#[cfg(feature = "af-xdp")]
mod delivery;
mod handover;
mod journal;
pub mod log;
mod manager;
mod metrics;
mod process;
mod pulse;
pub mod ready;
mod reload;
mod report;
mod status;

use crate::config::Config;
use crate::datapath::{Datapath, Inheritance, Predecessor};
use crate::error::{Failure, Result};
use crate::interface::Watch;
use crate::privileges::{self, Duties};
use crate::settings::{Reader, Settings};
use access::Access;
use care::Care;
pub use handover::drain;
use handover::{Door, Order, Successor};
use manager::Manager;
use metrics::Metrics;
use pulse::Pulse;
use ready::{Drain, Ready, State};
use reload::Reload;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// How often workers are looked after.
const TICK: Duration = Duration::from_secs(1);
/// Changes of addresses come in bursts; this long is waited for the rest of one.
const SETTLE: Duration = Duration::from_millis(50);

/// What a server is, and what it is configured by.
pub struct Server {
    /// Reads the configuration again.
    pub reader: Reader,
    /// What it read at first.
    pub settings: Settings,
    /// The same, checked.
    pub config: Config,
    /// The log.
    pub log: log::Log,
}

/// Serves until SIGINT, SIGTERM or the end of draining, then takes everything down and tells the
/// counters.
///
/// # Errors
/// Something could not be started, or a thread that serves sockets ended; a sentence for the operator.
pub fn serve(server: Server) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start the control loop").because(error))?;
    let (mut reload, config) = Reload::new(server);
    let result = runtime.block_on(run(&mut reload, config));
    result.map_err(|failure| reload.settings().locate(failure))
}

/// Reads the files that a configuration names, as [`serve`] would, and changes nothing.
///
/// # Errors
/// What is wrong with them.
pub fn check(config: &Config) -> Result<()> {
    Access::new()?.open(&mut config.clone())?;
    crate::datapath::socket::stream::check(&config.stream)
}

/// How far another process is in taking over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// There is none.
    None,
    /// It has duplicates of all that this one serves with, and may come to serve.
    Begun,
    /// It serves; only open connections are left here.
    Done,
}

async fn run(reload: &mut Reload, mut config: Config) -> Result<()> {
    // Before anything is attached, so that no signal from here on ends the process halfway, and no
    // change of addresses goes unseen.
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    let mut user = catch(SignalKind::user_defined1())?;
    let watch = readable(Watch::new()?)?;
    let mut manager = Manager::find()?;

    let ready = Ready::new();
    let mut drain = Drain::default();
    let access = Access::new()?;
    if let Some(users) = access.open(&mut config)? {
        tracing::info!(users, "only users are answered");
    }
    let (successor, mut inheritance) = before(&config)?;
    let control = config.control.clone();
    let metrics = Metrics::bind(&config, &mut inheritance)?;
    let mut release = |index| successor.as_ref().map_or(Ok(()), |successor| successor.release(index));
    let mut datapath = Datapath::start(config, Predecessor { inheritance, release: &mut release })?;
    let mut door = Door::open(control.as_deref())?;
    privileges::serve(duties(&datapath))?;
    let mut care = Care::begin(&datapath);
    let mut metrics = metrics.open(&ready)?;
    report::serving(&datapath);
    if let Some(successor) = successor {
        successor.done()?;
        tracing::info!("this server has taken over");
    }
    ready.set(State::Serving);
    manager.ready(report::status(&datapath));

    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = Pulse::default();
    let mut hand_over = HandOver::None;
    let result = loop {
        if hand_over == HandOver::Done && datapath.streams.connections() == 0 {
            break Ok(());
        }
        tokio::select! {
            _ = interrupt.recv() => break stopping("SIGINT"),
            _ = terminate.recv() => break stopping("SIGTERM"),
            _ = user.recv() => {
                drain.begin(&ready, datapath.config().drain);
            }
            () = drain.over() => break stopping("drained"),
            // Its sockets are the other server's too, which a reload could close to datagrams for good; and
            // READY after STOPPING is not to be said. If the other gives up, a signal of before still counts.
            _ = hangup.recv(), if reload.is_done() && hand_over == HandOver::None => {
                manager.reloading();
                reload.begin(&mut datapath, &access);
                if reload.is_done() {
                    manager.ready(report::status(&datapath));
                }
            }
            () = reload.due() => {
                reload.go_on(&mut datapath);
                if reload.is_done() {
                    manager.ready(report::status(&datapath));
                }
            }
            // Sockets that are being let go of must not go to another process.
            order = door.order(), if reload.is_done() => match order {
                // Asked at a socket that the other server's has displaced.
                Order::Bequeath(reply) if hand_over == HandOver::Done => {
                    let _ = reply.send(Err(Failure::system("another server has taken over from it")));
                }
                Order::Bequeath(reply) => {
                    let inheritance = datapath.bequeath().map(|mut all| {
                        all.listeners.extend(metrics.bequeath());
                        all
                    });
                    if inheritance.is_ok() {
                        hand_over = HandOver::Begun;
                    }
                    let _ = reply.send(inheritance);
                }
                Order::Release(index, reply) => {
                    // Frames that met the old program are still on their way to its queues.
                    tokio::time::sleep(SETTLE).await;
                    datapath.let_go(index);
                    let _ = reply.send(());
                }
                Order::GivenUp => {
                    hand_over = HandOver::None;
                    let went = "the server that began to take over is gone";
                    match datapath.restore() {
                        Ok(()) => tracing::warn!("{went}: this one goes on"),
                        Err(failure) => tracing::warn!("{went}: {failure}"),
                    }
                }
                Order::Done => {
                    hand_over = HandOver::Done;
                    tracing::info!(connections = datapath.streams.connections(), "another server has taken over");
                    manager.stopping();
                    metrics.close();
                    datapath.hand_over();
                    drain.begin(&ready, datapath.config().drain);
                }
                Order::Drain(reply) => {
                    let _ = reply.send(drain.begin(&ready, datapath.config().drain));
                }
            },
            ready = watch.readable() => {
                tokio::time::sleep(SETTLE).await;
                if let Ok(mut ready) = ready {
                    follow(ready.get_inner(), &mut datapath);
                    ready.clear_ready();
                }
            }
            asker = metrics.asked() => {
                // One who asked and is gone needs no answer.
                let _ = asker.send(status::of(&datapath, &care, &pulse, &ready));
            }
            _ = tick.tick() => {
                if let Some(failure) = datapath.failure() {
                    break Err(failure);
                }
                access.tick();
                care.look_after(&mut datapath);
                if hand_over != HandOver::Done {
                    manager.status(report::status(&datapath));
                }
                if hand_over == HandOver::Done || pulse.beats(&datapath) {
                    manager.alive();
                }
                log::tell_repeats();
            }
        }
    };
    manager.stopping();
    let counters = report::Counters::handles(&datapath);
    let streams = report::streams(&datapath);
    let verdicts = report::verdicts(&datapath);
    drop(datapath);
    report::counters(&counters, &streams, &verdicts);
    result
}

/// The server that is here already, if it shall be taken over from, and what it hands over.
fn before(config: &Config) -> Result<(Option<Successor>, Inheritance)> {
    let Some(path) = &config.control else { return Ok((None, Inheritance::default())) };
    if !config.take_over {
        return handover::is_free(path).map(|()| (None, Inheritance::default()));
    }
    match Successor::begin(path)? {
        Some((successor, inheritance)) => Ok((Some(successor), inheritance)),
        None => {
            tracing::info!("no server listens at {}: there is nothing to take over", path.display());
            Ok((None, Inheritance::default()))
        }
    }
}

#[expect(
    deprecated,
    reason = "`Watch` owns its descriptor while it lives, which the new constructor asks for by unsafe"
)]
fn readable(watch: Watch) -> Result<AsyncFd<Watch>> {
    AsyncFd::with_interest(watch, Interest::READABLE)
        .map_err(|error| Failure::system("cannot watch links and addresses").because(error))
}

fn catch(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Failure::system("cannot catch signals").because(error))
}

/// What the control thread does from here on that needs capabilities.
fn duties(datapath: &Datapath) -> Duties {
    #[cfg(feature = "af-xdp")]
    let maps = datapath.interfaces.iter().any(|path| path.af_xdp.is_some());
    #[cfg(not(feature = "af-xdp"))]
    let maps = false;
    Duties { maps, napi: maps && datapath.config().busy_poll }
}

fn stopping(signal: &str) -> Result<()> {
    tracing::info!(signal, "stopping");
    Ok(())
}

/// Follows a change of links or addresses. A failure is told and lived with: what was served before
/// still is, and the next change is another try.
fn follow(watch: &Watch, datapath: &mut Datapath) {
    match watch.drain() {
        Ok(changed) if !changed.any() => {}
        Ok(_) => {
            if let Err(failure) = datapath.refresh() {
                tracing::warn!("addresses changed and are not all followed: {failure}");
            }
        }
        Err(failure) => tracing::warn!("{failure}"),
    }
}
