//! What the control loop waits for.

use super::metrics::StatusReply;
use super::request::ControlRequest;
use crate::error::{Failure, Result};
use crate::interface::{Changed, Watch};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// Time between two checks of the workers.
const TICK: Duration = Duration::from_secs(1);
/// Time to wait for the rest of a burst of address changes, and for frames that met the old XDP program
/// and are still on their way to its queues.
pub(super) const SETTLE: Duration = Duration::from_millis(50);

/// One thing for the control loop to handle.
pub(super) enum Event {
    /// SIGINT, SIGTERM, or the end of draining: exit. The name is for the log.
    Stop(&'static str),
    /// SIGUSR1: drain.
    Drain,
    /// SIGHUP: reload.
    Reload,
    /// The next step of a reload is due.
    ContinueReload,
    /// A request over the control socket.
    Control(ControlRequest),
    /// Links or addresses may have changed.
    NetworkChange(Result<Changed>),
    /// Somebody asks for the status over HTTP.
    Status(StatusReply),
    /// A second has passed.
    Tick,
}

/// The signals that a server handles.
pub(super) struct Signals {
    pub(super) interrupt: Signal,
    pub(super) terminate: Signal,
    pub(super) hangup: Signal,
    pub(super) user: Signal,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    /// System: sigaction(2) failed.
    pub(super) fn catch() -> Result<Self> {
        let catch = |kind| {
            signal(kind).map_err(|error| Failure::system("cannot install a signal handler").because(error))
        };
        Ok(Signals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
            user: catch(SignalKind::user_defined1())?,
        })
    }
}

/// Changes of links and addresses.
pub(super) struct NetworkChanges(AsyncFd<Watch>);

impl NetworkChanges {
    /// Watches from here on.
    ///
    /// # Errors
    /// System: no netlink socket is available.
    #[expect(
        deprecated,
        reason = "`Watch` owns its descriptor while it lives, which the new constructor asks for by unsafe"
    )]
    pub(super) fn watch() -> Result<Self> {
        AsyncFd::with_interest(Watch::new()?, Interest::READABLE)
            .map(NetworkChanges)
            .map_err(|error| Failure::system("cannot watch links and addresses").because(error))
    }

    /// Waits for a change. Cancel safe.
    pub(super) async fn ready(&self) {
        // The guard goes unused: `read` takes another.
        let _ = self.0.readable().await;
    }

    /// Waits for the end of a burst, then reads what changed.
    ///
    /// # Errors
    /// System: the netlink socket is broken.
    pub(super) async fn read(&self) -> Result<Changed> {
        sleep(SETTLE).await;
        let Ok(mut ready) = self.0.readable().await else { return Ok(Changed::default()) };
        let changed = ready.get_inner().drain();
        ready.clear_ready();
        changed
    }
}

/// Returns what ticks once a second; ticks that were missed are left out.
pub(super) fn ticks() -> Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
