//! The order to stop, as connections see it: what has been received is answered, but not for ever.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long after the order a connection still listens: what its peer has sent before may not have
/// been noticed yet.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long after the order a connection that goes on receiving goes on answering.
const GRACE: Duration = Duration::from_secs(1);

/// Gives the order. Dropping it gives the order too, without grace.
#[derive(Debug)]
pub(super) struct Order(watch::Sender<Option<Instant>>);

/// Waits for the order.
#[derive(Clone, Debug)]
pub(super) struct Stopping(watch::Receiver<Option<Instant>>);

/// The order, and one who waits for it.
pub(super) fn channel() -> (Order, Stopping) {
    let (sender, receiver) = watch::channel(None);
    (Order(sender), Stopping(receiver))
}

impl Order {
    /// Orders all to stop.
    pub(super) fn give(&self) {
        self.0.send_replace(Some(Instant::now()));
    }
}

impl Stopping {
    /// Waits until the order is given.
    pub(super) async fn ordered(&mut self) {
        self.since(Duration::ZERO).await;
    }

    /// Waits until a connection that receives nothing has to end.
    pub(super) async fn last_call(&mut self) {
        self.since(LAST_CALL).await;
    }

    /// Waits until every connection has to end.
    pub(super) async fn over(&mut self) {
        self.since(GRACE).await;
    }

    /// Whether every connection has to end.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_some_and(|order| order.elapsed() >= GRACE)
    }

    async fn since(&mut self, time: Duration) {
        // An error is the end of the one who would give the order.
        let order = self.0.wait_for(Option::is_some).await.ok().and_then(|order| *order);
        if let Some(order) = order {
            sleep_until(order + time).await;
        }
    }
}
