//! The order to stop, for connections: what was received is answered, within a bounded time.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long after the order a connection still reads: what its peer sent before may not have been noticed
/// yet.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long after the order a connection answers a peer that keeps sending.
const GRACE: Duration = Duration::from_secs(1);

/// Gives the order. Dropping it gives the order too, without grace.
#[derive(Debug)]
pub(super) struct StopOrder(watch::Sender<Option<Instant>>);

/// Waits for the order.
#[derive(Clone, Debug)]
pub(super) struct StopSignal(watch::Receiver<Option<Instant>>);

/// Creates an order and the signal that waits for it.
pub(super) fn channel() -> (StopOrder, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (StopOrder(sender), StopSignal(receiver))
}

impl StopOrder {
    /// Orders all to stop.
    pub(super) fn give(&self) {
        self.0.send_replace(Some(Instant::now()));
    }
}

impl StopSignal {
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
        // An error means that the order was dropped.
        let order = self.0.wait_for(Option::is_some).await.ok().and_then(|order| *order);
        if let Some(order) = order {
            sleep_until(order + time).await;
        }
    }
}
