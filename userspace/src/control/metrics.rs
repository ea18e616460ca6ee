//! What the server tells of itself over HTTP: metrics for Prometheus, health for load balancers, a page
//! for a person.
//!
//! Every connection is one request: it takes one of a few places, and gives it back after
//! [`http::LIMIT`] at the latest, so that peers that are slow or silent cost a fixed amount. Counts are
//! read on the control loop, which is asked over a channel: an answer shows that it turns.

mod families;
mod http;
mod page;
mod trial;

use super::ready::Ready;
use crate::config::Config;
use crate::datapath::Inheritance;
use crate::datapath::socket::listen_tcp;
use crate::error::{Failure, Result};
use crate::status::Status;
use http::Teller;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Name of the listener among those that are handed over.
const NAME: &str = "metrics";

/// Who wants the status, and is waiting for it.
type Asker = oneshot::Sender<Status>;

/// Requests for the status that may wait. There is one for each connection at the most.
const WAITING: usize = http::PLACES;

/// The listener, once it is bound; or nothing, if no metrics are wanted.
pub(super) struct Metrics(Option<TcpListener>);

impl Metrics {
    /// Binds where `config` says.
    ///
    /// # Errors
    /// The address cannot be had: a sentence that names `--metrics-listen`.
    pub(super) fn bind(config: &Config, inheritance: &mut Inheritance) -> Result<Self> {
        let listener = config.metrics.map(|address| match inheritance.take_listener(NAME, &address) {
            Some(inherited) => Ok(TcpListener::from(inherited)),
            None => listen_tcp("--metrics-listen", address),
        });
        Ok(Metrics(listener.transpose()?))
    }

    /// Begins to answer, on this runtime; `ready` says whether clients are welcome.
    ///
    /// # Errors
    /// The runtime cannot take the listener.
    pub(super) fn open(self, ready: &Ready) -> Result<Desk> {
        let (ask, asked) = mpsc::channel(WAITING);
        let mut task = None;
        let failed = |error| Failure::system("cannot wait for connections (--metrics-listen)").because(error);
        let duplicate = self.0.as_ref().map(TcpListener::try_clone).transpose().map_err(failed)?;
        if let Some(listener) = self.0 {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let teller = Teller::new(ask.clone(), ready.clone());
            task = Some(tokio::spawn(http::keep(listener, teller)).abort_handle());
        }
        Ok(Desk { asked, _open: ask, listener: duplicate.zip(task) })
    }
}

/// Where the control loop learns that somebody wants the status.
pub(super) struct Desk {
    asked: mpsc::Receiver<Asker>,
    /// Keeps the channel open where nobody else does.
    _open: mpsc::Sender<Asker>,
    /// Another handle of the listener, and the task that takes its connections.
    listener: Option<(TcpListener, AbortHandle)>,
}

impl Desk {
    /// A duplicate of the listener, for another process.
    pub(super) fn bequeath(&self) -> Option<(String, SocketAddr, OwnedFd)> {
        let (listener, _) = self.listener.as_ref()?;
        Some((NAME.to_owned(), listener.local_addr().ok()?, listener.try_clone().ok()?.into()))
    }

    /// Takes no connections any more.
    pub(super) fn close(&mut self) {
        if let Some((_, task)) = self.listener.take() {
            task.abort();
        }
    }

    /// Waits for the next one who asks. Nothing is lost if the wait is given up.
    pub(super) async fn asked(&mut self) -> Asker {
        match self.asked.recv().await {
            Some(asker) => asker,
            None => unreachable!("`_open` is a sender of this channel"),
        }
    }
}
