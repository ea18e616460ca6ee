//! Whether clients should be sent here: what a load balancer asks for, and what draining changes.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Where the server is in its life. It answers in every one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not everything that shall serve does yet.
    Starting,
    /// Clients are welcome.
    Serving,
    /// The server will end soon: clients should be sent elsewhere. Those that come are answered.
    Draining,
}

impl State {
    /// Name as the status tells it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Serving => "serving",
            State::Draining => "draining",
        }
    }
}

/// The state, shared between the control loop, which alone changes it, and who tells it to others.
#[derive(Clone, Debug)]
pub struct Ready(Arc<watch::Sender<State>>);

impl Ready {
    pub(super) fn new() -> Self {
        Ready(Arc::new(watch::Sender::new(State::Starting)))
    }

    /// The state of this moment. Never waits.
    pub fn state(&self) -> State {
        *self.0.borrow()
    }

    pub(super) fn set(&self, state: State) {
        self.0.send_replace(state);
    }
}

/// The time between "send no more clients" and the end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    end: Option<Instant>,
}

impl Drain {
    /// Says that the server will end in `time`. Said again, it changes nothing. Gives the time that is left.
    pub(super) fn begin(&mut self, ready: &Ready, time: Duration) -> Duration {
        if let Some(end) = self.end {
            tracing::info!("draining already; SIGTERM ends it at once");
            return end.saturating_duration_since(Instant::now());
        }
        ready.set(State::Draining);
        self.end = Some(Instant::now() + time);
        tracing::info!(seconds = time.as_secs_f64(), "draining: health checks fail, requests are answered");
        time
    }

    /// Waits until draining is over; for ever while nobody asked for it.
    pub(super) async fn over(&self) {
        match self.end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Drain, Ready, State};
    use std::time::Duration;

    #[test]
    fn draining_is_seen_by_every_holder_at_once_and_ends_when_its_time_is_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ready = Ready::new();
            let reader = ready.clone();
            let mut drain = Drain::default();
            assert_eq!(reader.state(), State::Starting);
            ready.set(State::Serving);
            assert!(tokio::time::timeout(Duration::from_millis(1), drain.over()).await.is_err());
            drain.begin(&ready, Duration::from_millis(1));
            assert_eq!(reader.state(), State::Draining);
            // Asked again it would end in an hour, and this test with it.
            let left = drain.begin(&ready, Duration::from_secs(3600));
            assert!(left <= Duration::from_millis(1), "{left:?}");
            drain.over().await;
        });
    }
}
