//! Whether new clients are welcome: what health checks report, and what draining changes.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The state of a server. It answers requests in every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerState {
    /// Not everything serves yet.
    Starting,
    /// New clients are welcome.
    Serving,
    /// The server exits soon: new clients should go elsewhere, but are answered.
    Draining,
}

impl ServerState {
    /// Returns the name in the status.
    pub(super) const fn name(self) -> &'static str {
        match self {
            ServerState::Starting => "starting",
            ServerState::Serving => "serving",
            ServerState::Draining => "draining",
        }
    }
}

/// The state, which the control loop sets and others read.
#[derive(Clone, Debug)]
pub(super) struct SharedState(Arc<watch::Sender<ServerState>>);

impl SharedState {
    pub(super) fn new() -> Self {
        SharedState(Arc::new(watch::Sender::new(ServerState::Starting)))
    }

    /// Returns the present state. Never waits.
    pub(super) fn get(&self) -> ServerState {
        *self.0.borrow()
    }

    pub(super) fn set(&self, state: ServerState) {
        self.0.send_replace(state);
    }
}

/// The time between the failure of health checks and the exit.
#[derive(Debug, Default)]
pub(super) struct Drain {
    end: Option<Instant>,
}

impl Drain {
    /// Begins to drain for `time`, unless it has begun. Returns the time that is left.
    pub(super) fn begin(&mut self, state: &SharedState, time: Duration) -> Duration {
        if let Some(end) = self.end {
            tracing::info!("already draining; send SIGTERM to exit at once");
            return end.saturating_duration_since(Instant::now());
        }
        state.set(ServerState::Draining);
        self.end = Some(Instant::now() + time);
        tracing::info!(seconds = time.as_secs_f64(), "draining: health checks fail, requests are answered");
        time
    }

    /// Waits until draining is over; for ever if it has not begun. Cancel safe.
    pub(super) async fn over(&self) {
        match self.end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Drain, ServerState, SharedState};
    use std::time::Duration;

    #[test]
    fn draining_is_seen_by_every_holder_at_once_and_ends_when_its_time_is_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let state = SharedState::new();
            let reader = state.clone();
            let mut drain = Drain::default();
            assert_eq!(reader.get(), ServerState::Starting);
            state.set(ServerState::Serving);
            assert!(tokio::time::timeout(Duration::from_millis(1), drain.over()).await.is_err());
            drain.begin(&state, Duration::from_millis(1));
            assert_eq!(reader.get(), ServerState::Draining);
            // The second call must not extend the time to an hour.
            let left = drain.begin(&state, Duration::from_secs(3600));
            assert!(left <= Duration::from_millis(1), "{left:?}");
            drain.over().await;
        });
    }
}
