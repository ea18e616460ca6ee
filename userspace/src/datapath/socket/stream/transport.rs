//! One transport, TCP or TLS: its listeners, and what its connections share.

use super::admission::ConnectionAdmission;
use super::certificate::TlsIdentity;
use super::files;
use super::stats::StreamStats;
use crate::config::StreamConfig;
use arc_swap::ArcSwap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::sync::oneshot;
use xstun_core::stun::Policy;

/// One of the two transports.
pub(crate) struct StreamTransport {
    /// `tcp` or `tls`.
    pub(crate) name: &'static str,
    /// The addresses of its listeners.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Its counters, which outlive the service.
    pub(crate) stats: Arc<StreamStats>,
    pub(super) context: Arc<ConnectionContext>,
    /// For each of `addresses`, in the same order.
    pub(super) listeners: Vec<ListenerHandle>,
}

/// The control loop's side of a listener that the thread accepts from.
pub(super) struct ListenerHandle {
    /// The thread closes the listener when this is dropped.
    pub(super) close: oneshot::Sender<()>,
    /// Disconnected once the listener is closed.
    pub(super) closed: Receiver<()>,
    /// A duplicate of the listener.
    pub(super) socket: TcpListener,
}

impl ListenerHandle {
    /// Closes the listener, and waits until it is closed, so that the address can be bound again.
    pub(super) fn close(self) {
        drop((self.close, self.socket));
        let _ = self.closed.recv_timeout(Duration::from_secs(1));
    }
}

/// What the connections of both transports share.
#[derive(Clone)]
pub(super) struct StreamSettings {
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) admission: Arc<ConnectionAdmission>,
    /// In milliseconds.
    idle: Arc<AtomicU64>,
}

impl StreamSettings {
    pub(super) fn new(policy: &Arc<ArcSwap<Policy>>) -> Self {
        let admission = Arc::new(ConnectionAdmission::new(1, 1));
        StreamSettings { policy: Arc::clone(policy), admission, idle: Arc::default() }
    }

    /// Puts the limits of `config` in force.
    pub(super) fn limit(&self, config: &StreamConfig) {
        let most = files::make_room(config.connections, self.admission.count());
        self.admission.limit(most, config.per_source);
        let idle = u64::try_from(config.idle.as_millis()).unwrap_or(u64::MAX);
        self.idle.store(idle, Ordering::Relaxed);
    }
}

/// What all connections of one transport share.
pub(super) struct ConnectionContext {
    pub(super) stats: Arc<StreamStats>,
    /// `None` for plain TCP.
    pub(super) identity: Option<Arc<TlsIdentity>>,
    pub(super) settings: StreamSettings,
}

impl ConnectionContext {
    /// How long a connection may be idle.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_millis(self.settings.idle.load(Ordering::Relaxed))
    }
}
