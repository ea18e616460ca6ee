//! The order to stop, as connections see it: what has been received is answered, but not for ever.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long connections may go on answering what was received before the order.
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
        self.0.send_replace(Some(Instant::now() + GRACE));
    }
}

impl Stopping {
    /// Waits until the order is given.
    pub(super) async fn ordered(&mut self) {
        // An error is the end of the one who would give it.
        let _ = self.0.wait_for(Option::is_some).await;
    }

    /// Waits until the order is given and the grace is over.
    pub(super) async fn over(&mut self) {
        let end = self.0.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        if let Some(end) = end {
            sleep_until(end).await;
        }
    }

    /// Whether the order is given and the grace is over.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_some_and(|end| end <= Instant::now())
    }
}
