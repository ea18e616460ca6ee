//! TCP and TLS (RFC 8489 §6.2.2, §6.2.3). One thread of their own serves all connections, so that neither
//! the UDP workers nor the control loop are slowed down.
//!
//! A connection stays open after a reply, since the NAT bindings that its client learnt last as long as
//! the connection. It is closed when it is idle for too long, when it receives anything that is no valid
//! STUN message, and when the server stops.

mod admission;
mod certificate;
mod conversation;
mod files;
mod framing;
pub(super) mod listen;
mod stats;
mod stopping;
mod thread;
mod transport;

pub use stats::StreamStats;
pub(crate) use stats::{CloseReason, RefusalReason};
pub(crate) use transport::StreamTransport;

use super::is_missing_family;
use crate::config::{Listen, StreamConfig, collide};
use crate::datapath::Inheritance;
use crate::error::{Failure, Result};
use arc_swap::ArcSwap;
use certificate::TlsIdentity;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use stopping::StopOrder;
use thread::NewListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::ServerConfig;
use transport::{ConnectionContext, ListenerHandle, StreamSettings};
use xstun_core::stun::Policy;

/// Listeners for TCP and TLS, and the thread that serves their connections. Dropping it stops accepting,
/// answers what was received, and closes everything, within about two seconds.
pub(crate) struct StreamService {
    transports: Vec<StreamTransport>,
    settings: StreamSettings,
    tls: Option<Arc<TlsIdentity>>,
    stop: StopOrder,
    new_listeners: mpsc::UnboundedSender<NewListener>,
    thread: Option<JoinHandle<()>>,
}

/// Listeners that are bound and not served yet, and the certificate for TLS. Dropping it closes them.
#[derive(Default)]
pub(crate) struct BoundListeners {
    sockets: Vec<(&'static str, TcpListener)>,
    certificate: Option<ServerConfig>,
}

/// Reads certificate and key, as [`StreamService::start`] would.
///
/// # Errors
/// One of them cannot be used.
pub(crate) fn check(config: &StreamConfig) -> Result<()> {
    config.tls.as_ref().map_or(Ok(()), |tls| certificate::read(tls).map(drop))
}

impl StreamService {
    /// Binds TCP on `listen` and TLS where `config` says, as far as they are switched on, and serves them. A
    /// change of `policy` holds from the next message.
    ///
    /// # Errors
    /// A message for the operator; nothing is left bound.
    pub(crate) fn start(
        listen: &Listen,
        config: &StreamConfig,
        policy: &Arc<ArcSwap<Policy>>,
        inheritance: &mut Inheritance,
    ) -> Result<Self> {
        let (stop, signal) = stopping::channel();
        let (new_listeners, listeners) = mpsc::unbounded_channel();
        let mut service = StreamService {
            transports: Vec::new(),
            settings: StreamSettings::new(policy),
            tls: None,
            stop,
            new_listeners,
            thread: None,
        };
        let bound = service.bind_or_inherit(listen, config, inheritance)?;
        let (begun, beginning) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("streams".into())
            .spawn(move || thread::run(listeners, signal, &begun))
            .map_err(failed)?;
        service.thread = Some(thread);
        match beginning.recv() {
            Ok(begun) => begun.map_err(failed)?,
            Err(_) => return Err(Failure::system("the thread for TCP and TLS failed to start")),
        }
        service.add(bound, config)?;
        Ok(service)
    }

    /// Binds the configured addresses that are not served yet, and reads certificate and key.
    ///
    /// # Errors
    /// A message for the operator; nothing is changed.
    pub(crate) fn bind(&self, listen: &Listen, config: &StreamConfig) -> Result<BoundListeners> {
        self.bind_or_inherit(listen, config, &mut Inheritance::default())
    }

    fn bind_or_inherit(
        &self,
        listen: &Listen,
        config: &StreamConfig,
        inheritance: &mut Inheritance,
    ) -> Result<BoundListeners> {
        let inherited: Vec<_> = inheritance.listeners.iter().map(|(_, address, _)| *address).collect();
        let certificate = config.tls.as_ref().map(certificate::read).transpose()?;
        let mut sockets = Vec::new();
        for (name, listen) in wanted(listen, config) {
            // TCP and TLS never have a port at the same time, but one may take it over from the other.
            let served: Vec<_> = self.addresses().collect();
            let of_name = self.find(name).map_or(&[][..], |transport| &transport.addresses);
            for address in listen.all().filter(|address| !of_name.contains(address)) {
                if let Some(socket) = inheritance.take_listener(name, &address) {
                    sockets.push((name, TcpListener::from(socket)));
                    continue;
                }
                let beside_own = served.iter().chain(&inherited).any(|own| collide(own, &address));
                match listen::bind(listen.flag(&address), address, beside_own) {
                    Ok(socket) => sockets.push((name, socket)),
                    // The host has no IPv6, and the operator did not name an IPv6 address.
                    Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(BoundListeners { sockets, certificate })
    }

    /// Serves these listeners too. The certificate and the limits of `config` hold for connections from now on.
    ///
    /// # Errors
    /// The runtime cannot accept from a listener.
    pub(crate) fn add(&mut self, bound: BoundListeners, config: &StreamConfig) -> Result<()> {
        self.settings.limit(config);
        if let Some(certificate) = bound.certificate {
            match &self.tls {
                Some(identity) => identity.replace(certificate),
                None => self.tls = Some(Arc::new(TlsIdentity::new(certificate))),
            }
        }
        for (name, socket) in bound.sockets {
            let address = socket.local_addr().map_err(failed)?;
            let duplicate = socket.try_clone().map_err(failed)?;
            let (close, closing) = oneshot::channel();
            let (open, closed) = sync_channel(1);
            let (opened, opening) = sync_channel(1);
            let transport = self.transport(name);
            let context = Arc::clone(&transport.context);
            transport.addresses.push(address);
            transport.listeners.push(ListenerHandle { close, closed, socket: duplicate });
            // If the thread has ended, `recv` below fails too.
            let _ = self.new_listeners.send(NewListener { socket, context, close: closing, open, opened });
            match opening.recv() {
                Ok(opened) => opened.map_err(failed)?,
                Err(_) => return Err(Failure::system("the thread for TCP and TLS has ended")),
            }
        }
        Ok(())
    }

    /// Makes the kernel drop new connections to listeners that are no longer configured. Dropped SYNs are
    /// retried after 1 s, by which time another listener of the address answers. Returns whether there are
    /// such listeners.
    pub(crate) fn quiesce(&self, listen: &Listen, config: &StreamConfig) -> bool {
        let mut any = false;
        for transport in &self.transports {
            for (address, listener) in transport.addresses.iter().zip(&transport.listeners) {
                if !is_wanted(transport.name, address, listen, config) {
                    listen::quiesce(&listener.socket);
                    any = true;
                }
            }
        }
        any
    }

    /// Closes the listeners that are no longer configured. Their connections stay open. To refuse no client,
    /// call [`StreamService::quiesce`] first, and wait for the time of a handshake.
    pub(crate) fn retain(&mut self, listen: &Listen, config: &StreamConfig) {
        for transport in &mut self.transports {
            let stays = |address: &SocketAddr| is_wanted(transport.name, address, listen, config);
            let pairs = transport.addresses.drain(..).zip(transport.listeners.drain(..));
            let (staying, retired): (Vec<_>, Vec<_>) = pairs.partition(|(address, _)| stays(address));
            (transport.addresses, transport.listeners) = staying.into_iter().unzip();
            retired.into_iter().for_each(|(_, listener)| listener.close());
        }
    }

    /// Duplicates all listeners, by transport and address.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(crate) fn duplicate(&self) -> io::Result<Vec<(String, SocketAddr, OwnedFd)>> {
        let mut all = Vec::new();
        for transport in &self.transports {
            for (address, listener) in transport.addresses.iter().zip(&transport.listeners) {
                all.push((transport.name.to_owned(), *address, listener.socket.try_clone()?.into()));
            }
        }
        Ok(all)
    }

    /// Stops accepting. Open connections stay.
    pub(crate) fn close(&mut self) {
        for transport in &mut self.transports {
            transport.addresses.clear();
            transport.listeners.drain(..).for_each(ListenerHandle::close);
        }
    }

    /// The number of open connections.
    pub(crate) fn connections(&self) -> usize {
        self.settings.admission.count()
    }

    /// The transports that were ever served.
    pub(crate) fn transports(&self) -> &[StreamTransport] {
        &self.transports
    }

    /// Returns why nothing is served any more, if the thread has ended.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        self.thread.take_if(|thread| thread.is_finished())?;
        Some(Failure::system("the thread for TCP and TLS ended without an order to stop"))
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.transports.iter().flat_map(|transport| transport.addresses.iter().copied())
    }

    fn find(&self, name: &str) -> Option<&StreamTransport> {
        self.transports.iter().find(|transport| transport.name == name)
    }

    /// The transport with this name, created if there is none.
    fn transport(&mut self, name: &'static str) -> &mut StreamTransport {
        let index = self.transports.iter().position(|transport| transport.name == name);
        let index = index.unwrap_or_else(|| {
            let stats = Arc::new(StreamStats::default());
            let identity = self.tls.clone().filter(|_| name == TLS);
            let settings = self.settings.clone();
            let context = Arc::new(ConnectionContext { stats: Arc::clone(&stats), identity, settings });
            let (addresses, listeners) = (Vec::new(), Vec::new());
            self.transports.push(StreamTransport { name, addresses, stats, context, listeners });
            self.transports.len() - 1
        });
        &mut self.transports[index]
    }
}

impl Drop for StreamService {
    fn drop(&mut self) {
        self.stop.give();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::warn!("the thread for TCP and TLS panicked");
        }
    }
}

const TCP: &str = "tcp";
const TLS: &str = "tls";

/// The transports that are switched on, with their addresses.
fn wanted<'a>(
    listen: &'a Listen,
    config: &'a StreamConfig,
) -> impl Iterator<Item = (&'static str, &'a Listen)> {
    let tcp = config.tcp.then_some((TCP, listen));
    tcp.into_iter().chain(config.tls.as_ref().map(|tls| (TLS, &tls.listen)))
}

/// Whether the configuration has this transport on this address.
fn is_wanted(name: &str, address: &SocketAddr, listen: &Listen, config: &StreamConfig) -> bool {
    let mut of_name = wanted(listen, config).filter(|(wanted, _)| *wanted == name);
    of_name.any(|(_, listen)| listen.has(address))
}

fn failed(error: io::Error) -> Failure {
    Failure::system("cannot start serving TCP and TLS").because(error)
}

#[cfg(test)]
mod tests;
