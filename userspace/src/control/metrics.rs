//! HTTP: metrics for Prometheus, health checks for load balancers, a status page for people.
//!
//! Every connection carries one request. Their number and, by [`http::LIMIT`], their duration are limited, so
//! that slow or silent peers cost a fixed amount. The control loop fills in the status when asked over a
//! channel: an answer shows that it runs.

mod families;
mod http;
mod page;
mod self_test;

use super::state::SharedState;
use crate::config::FixedConfig;
use crate::datapath::Inheritance;
use crate::datapath::socket::listen_tcp;
use crate::error::{Failure, Result};
use crate::status::ServerStatus;
use http::Responder;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Name of the listener in a hand-over.
const NAME: &str = "metrics";

/// Channel that returns a requested status.
pub(super) type StatusReply = oneshot::Sender<ServerStatus>;

/// Most requests for the status that wait: one per connection.
const WAITING: usize = http::CONNECTIONS;

/// The bound listener, if metrics are wanted.
pub(super) struct MetricsListener(Option<TcpListener>);

impl MetricsListener {
    /// Binds the address of `config`, or takes its listener over from `inheritance`.
    ///
    /// # Errors
    /// System: the address cannot be bound; the sentence names `--metrics-listen`.
    pub(super) fn bind(config: &FixedConfig, inheritance: &mut Inheritance) -> Result<Self> {
        let listener = config.metrics.map(|address| match inheritance.take_listener(NAME, &address) {
            Some(inherited) => Ok(TcpListener::from(inherited)),
            None => listen_tcp("--metrics-listen", address),
        });
        Ok(MetricsListener(listener.transpose()?))
    }

    /// Begins to answer, on this runtime; `state` is the state of the server.
    ///
    /// # Errors
    /// System: the runtime cannot take the listener.
    pub(super) fn open(self, state: &SharedState) -> Result<MetricsServer> {
        let (ask, requests) = mpsc::channel(WAITING);
        let mut task = None;
        let failed = |error| {
            Failure::system("cannot wait for connections (--metrics-listen)")
                .of("--metrics-listen")
                .because(error)
        };
        let duplicate = self.0.as_ref().map(TcpListener::try_clone).transpose().map_err(failed)?;
        if let Some(listener) = self.0 {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let responder = Responder::new(ask.clone(), state.clone());
            task = Some(tokio::spawn(http::serve(listener, responder)).abort_handle());
        }
        Ok(MetricsServer { requests, _open: ask, listener: duplicate.zip(task) })
    }
}

/// The HTTP server, or nothing if no metrics are wanted.
pub(super) struct MetricsServer {
    requests: mpsc::Receiver<StatusReply>,
    /// Keeps the channel open without a listener.
    _open: mpsc::Sender<StatusReply>,
    /// A duplicate of the listener, and the task that accepts its connections.
    listener: Option<(TcpListener, AbortHandle)>,
}

impl MetricsServer {
    /// Returns a duplicate of the listener, for a successor.
    pub(super) fn bequeath(&self) -> Option<(String, SocketAddr, OwnedFd)> {
        let (listener, _) = self.listener.as_ref()?;
        Some((NAME.to_owned(), listener.local_addr().ok()?, listener.try_clone().ok()?.into()))
    }

    /// Stops accepting connections.
    pub(super) fn close(&mut self) {
        if let Some((_, task)) = self.listener.take() {
            task.abort();
        }
    }

    /// Waits for the next request for the status. Cancel safe.
    pub(super) async fn status_request(&mut self) -> StatusReply {
        match self.requests.recv().await {
            Some(reply) => reply,
            None => unreachable!("`_open` is a sender of this channel"),
        }
    }
}
