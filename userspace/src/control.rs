//! The slow world, on one thread: signals, changes of links and addresses, health of the workers,
//! and what is told to the operator. Never on a datagram's way.

mod access;
#[cfg(feature = "af-xdp")]
mod attachment;
mod care;
#[cfg(feature = "af-xdp")]
mod delivery;
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
use crate::datapath::Datapath;
use crate::error::{Failure, Result};
use crate::interface::Watch;
use crate::privileges::{self, Duties};
use crate::settings::{Reader, Settings};
use access::Access;
use care::Care;
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
    let metrics = Metrics::bind(&config)?;
    let mut datapath = Datapath::start(config)?;
    privileges::serve(duties(&datapath))?;
    let mut care = Care::begin(&datapath);
    let mut metrics = metrics.open(&ready)?;
    report::serving(&datapath);
    ready.set(State::Serving);
    manager.ready(report::status(&datapath));

    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = Pulse::default();
    let result = loop {
        tokio::select! {
            _ = interrupt.recv() => break stopping("SIGINT"),
            _ = terminate.recv() => break stopping("SIGTERM"),
            _ = user.recv() => drain.begin(&ready, datapath.config().drain),
            () = drain.over() => break stopping("SIGUSR1"),
            _ = hangup.recv() => {
                manager.reloading();
                reload.run(&mut datapath, &access).await;
                manager.ready(report::status(&datapath));
            }
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
                manager.status(report::status(&datapath));
                if pulse.beats(&datapath) {
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
