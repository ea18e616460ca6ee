//! TCP and TLS (RFC 8489 §6.2.2, §6.2.3): every connection on one thread of its own, so that neither
//! the workers of datagrams nor the control loop feel them.
//!
//! A connection stays open after a reply, since the NAT bindings that its client learnt of live as
//! long as it does. It is closed when it is idle for too long, when it brings anything that is no
//! sound STUN message, and when the server stops.

mod admission;
mod certificate;
mod conversation;
mod files;
mod framing;
pub(super) mod listen;
mod stats;
mod stopping;

pub use framing::LONGEST;
pub use stats::{Ending, StreamStats};

use super::{is_missing_family, overlap};
use crate::config::{Listen, StreamConfig};
use crate::datapath::Inheritance;
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stun::Policy;
use admission::Admission;
use arc_swap::ArcSwap;
use certificate::Identity;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stopping::{Order, Stopping};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::ServerConfig;

/// Niceness of the thread: handshakes cost much, and datagrams go before them.
const NICENESS: i32 = 5;

/// How often the thread shows that it turns.
const BEAT: Duration = Duration::from_secs(1);

/// Listeners for TCP and TLS and the thread that serves their connections. Dropping it stops taking
/// connections, answers what has been received, and closes all, within two seconds or so.
pub struct Service {
    transports: Vec<Transport>,
    shared: Shared,
    tls: Option<Arc<Identity>>,
    order: Order,
    openings: mpsc::UnboundedSender<Opening>,
    thread: Option<JoinHandle<()>>,
}

/// One of the two transports.
pub struct Transport {
    /// `tcp` or `tls`.
    pub name: &'static str,
    /// Where it is listened on.
    pub addresses: Vec<SocketAddr>,
    /// Its counters, which outlive the service.
    pub stats: Arc<StreamStats>,
    door: Arc<Door>,
    /// Of each of `addresses`.
    closers: Vec<Closer>,
}

/// Closes a listener.
struct Closer {
    /// Dropped, it has the listener closed.
    close: oneshot::Sender<()>,
    /// Has no sender any more when the listener is closed.
    closed: Receiver<()>,
    /// Another handle of the listener.
    socket: TcpListener,
}

impl Closer {
    /// Closes, and waits until it is done, so that the address can be bound again.
    fn close(self) {
        drop((self.close, self.socket));
        let _ = self.closed.recv_timeout(Duration::from_secs(1));
    }
}

/// What connections of both transports have in common.
#[derive(Clone)]
struct Shared {
    policy: Arc<ArcSwap<Policy>>,
    admission: Arc<Admission>,
    /// In milliseconds.
    idle: Arc<AtomicU64>,
}

/// All that connections of one transport have in common.
struct Door {
    stats: Arc<StreamStats>,
    /// None for plain TCP.
    identity: Option<Arc<Identity>>,
    shared: Shared,
}

/// Listeners that are bound and not yet served, and the certificate of those for TLS. Dropping it closes
/// them.
#[derive(Default)]
pub struct Bound {
    sockets: Vec<(&'static str, TcpListener)>,
    certificate: Option<ServerConfig>,
}

/// A listener on its way to the thread.
struct Opening {
    socket: TcpListener,
    door: Arc<Door>,
    closing: oneshot::Receiver<()>,
    open: SyncSender<()>,
    opened: SyncSender<io::Result<()>>,
}

impl Door {
    fn idle(&self) -> Duration {
        Duration::from_millis(self.shared.idle.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn limit(&self, config: &StreamConfig) {
        let most = files::make_room(config.connections, self.admission.count());
        self.admission.limit(most, config.per_source);
        let idle = u64::try_from(config.idle.as_millis()).unwrap_or(u64::MAX);
        self.idle.store(idle, Ordering::Relaxed);
    }
}

/// Reads certificate and key, as [`Service::start`] would.
///
/// # Errors
/// What is wrong with them.
pub fn check(config: &StreamConfig) -> Result<()> {
    config.tls.as_ref().map_or(Ok(()), |tls| certificate::read(tls).map(drop))
}

impl Service {
    /// Binds TCP on `listen` and TLS where `config` says, as far as they are switched on, and serves
    /// them. A change of `policy` holds from the next message.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is left bound.
    pub fn start(
        listen: &Listen,
        config: &StreamConfig,
        policy: &Arc<ArcSwap<Policy>>,
        inheritance: &mut Inheritance,
    ) -> Result<Self> {
        let shared = Shared {
            policy: Arc::clone(policy),
            admission: Arc::new(Admission::new(1, 1)),
            idle: Arc::default(),
        };
        let (order, stopping) = stopping::channel();
        let (openings, opening) = mpsc::unbounded_channel();
        let mut service =
            Service { transports: Vec::new(), shared, tls: None, order, openings, thread: None };
        let bound = service.bind_or_inherit(listen, config, inheritance)?;
        let (begun, beginning) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("streams".into())
            .spawn(move || run(opening, stopping, &begun))
            .map_err(failed)?;
        service.thread = Some(thread);
        match beginning.recv() {
            Ok(begun) => begun.map_err(failed)?,
            Err(_) => return Err(Failure::system("the thread for TCP and TLS ended before it began")),
        }
        service.add(bound, config)?;
        Ok(service)
    }

    /// Binds what is wanted and not served yet, and reads certificate and key.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is changed.
    pub fn bind(&self, listen: &Listen, config: &StreamConfig) -> Result<Bound> {
        self.bind_or_inherit(listen, config, &mut Inheritance::default())
    }

    fn bind_or_inherit(
        &self,
        listen: &Listen,
        config: &StreamConfig,
        inheritance: &mut Inheritance,
    ) -> Result<Bound> {
        let inherited: Vec<_> = inheritance.listeners.iter().map(|(_, address, _)| *address).collect();
        let certificate = config.tls.as_ref().map(certificate::read).transpose()?;
        let mut sockets = Vec::new();
        for (name, listen) in wanted(listen, config) {
            // A port is never TCP's and TLS's at once, but one may take it over from the other.
            let served: Vec<_> = self.addresses().collect();
            let of_name = self.find(name).map_or(&[][..], |transport| &transport.addresses);
            for address in listen.all().filter(|address| !of_name.contains(address)) {
                if let Some(socket) = inheritance.take_listener(name, &address) {
                    sockets.push((name, TcpListener::from(socket)));
                    continue;
                }
                let beside_own = served.iter().chain(&inherited).any(|own| overlap(own, &address));
                match listen::bind(listen.flag(&address), address, beside_own) {
                    Ok(socket) => sockets.push((name, socket)),
                    // Nobody asked for IPv6 by name on a host that has none.
                    Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(Bound { sockets, certificate })
    }

    /// Serves these listeners too, and has the certificate and the limits of `config` hold for the
    /// connections to come.
    ///
    /// # Errors
    /// The kernel refused to watch a listener.
    pub fn add(&mut self, bound: Bound, config: &StreamConfig) -> Result<()> {
        self.shared.limit(config);
        if let Some(certificate) = bound.certificate {
            match &self.tls {
                Some(identity) => identity.replace(certificate),
                None => self.tls = Some(Arc::new(Identity::new(certificate))),
            }
        }
        for (name, socket) in bound.sockets {
            let address = socket.local_addr().map_err(failed)?;
            let duplicate = socket.try_clone().map_err(failed)?;
            let (close, closing) = oneshot::channel();
            let (open, closed) = sync_channel(1);
            let (opened, opening) = sync_channel(1);
            let transport = self.transport(name);
            let door = Arc::clone(&transport.door);
            transport.addresses.push(address);
            transport.closers.push(Closer { close, closed, socket: duplicate });
            // Without a thread the answer fails, too.
            let _ = self.openings.send(Opening { socket, door, closing, open, opened });
            match opening.recv() {
                Ok(opened) => opened.map_err(failed)?,
                Err(_) => return Err(Failure::system("the thread for TCP and TLS has ended")),
            }
        }
        Ok(())
    }

    /// Lets nobody connect any more to the listeners that are not wanted: who tries is kept waiting for the
    /// second until it tries again, and by then meets whoever is next in line. True if there are such
    /// listeners.
    pub fn deafen(&self, listen: &Listen, config: &StreamConfig) -> bool {
        let mut any = false;
        for transport in &self.transports {
            let pairs = transport.addresses.iter().zip(&transport.closers);
            for (_, closer) in
                pairs.filter(|(address, _)| !is_wanted(transport.name, address, listen, config))
            {
                listen::deafen(&closer.socket);
                any = true;
            }
        }
        any
    }

    /// Closes the listeners that are not wanted. Their connections go on. For nobody to be turned away,
    /// [`Service::deafen`] comes first, and then the time of a handshake.
    pub fn retain(&mut self, listen: &Listen, config: &StreamConfig) {
        for transport in &mut self.transports {
            let stays = |address: &SocketAddr| is_wanted(transport.name, address, listen, config);
            let pairs = transport.addresses.drain(..).zip(transport.closers.drain(..));
            let (staying, going): (Vec<_>, Vec<_>) = pairs.partition(|(address, _)| stays(address));
            (transport.addresses, transport.closers) = staying.into_iter().unzip();
            going.into_iter().for_each(|(_, closer)| closer.close());
        }
    }

    /// Duplicates of all listeners, by transport and address.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn bequeath(&self) -> io::Result<Vec<(String, SocketAddr, OwnedFd)>> {
        let mut all = Vec::new();
        for transport in &self.transports {
            for (address, closer) in transport.addresses.iter().zip(&transport.closers) {
                all.push((transport.name.to_owned(), *address, closer.socket.try_clone()?.into()));
            }
        }
        Ok(all)
    }

    /// Takes no connections any more. Those that are open go on.
    pub fn close(&mut self) {
        for transport in &mut self.transports {
            transport.addresses.clear();
            transport.closers.drain(..).for_each(Closer::close);
        }
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.shared.admission.count()
    }

    /// The transports that were ever served.
    pub fn transports(&self) -> &[Transport] {
        &self.transports
    }

    /// Why nothing is served any more, if so.
    pub fn failure(&mut self) -> Option<Failure> {
        self.thread.take_if(|thread| thread.is_finished())?;
        Some(Failure::system("the thread for TCP and TLS ended unasked"))
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.transports.iter().flat_map(|transport| transport.addresses.iter().copied())
    }

    fn find(&self, name: &str) -> Option<&Transport> {
        self.transports.iter().find(|transport| transport.name == name)
    }

    fn transport(&mut self, name: &'static str) -> &mut Transport {
        let index = self.transports.iter().position(|transport| transport.name == name);
        let index = index.unwrap_or_else(|| {
            let stats = Arc::new(StreamStats::default());
            let identity = self.tls.clone().filter(|_| name == TLS);
            let door = Arc::new(Door { stats: Arc::clone(&stats), identity, shared: self.shared.clone() });
            let (addresses, closers) = (Vec::new(), Vec::new());
            self.transports.push(Transport { name, addresses, stats, door, closers });
            self.transports.len() - 1
        });
        &mut self.transports[index]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.order.give();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::warn!("the thread for TCP and TLS panicked");
        }
    }
}

const TCP: &str = "tcp";
const TLS: &str = "tls";

/// The transports that are switched on, and where.
fn wanted<'a>(
    listen: &'a Listen,
    config: &'a StreamConfig,
) -> impl Iterator<Item = (&'static str, &'a Listen)> {
    let tcp = config.tcp.then_some((TCP, listen));
    tcp.into_iter().chain(config.tls.as_ref().map(|tls| (TLS, &tls.listen)))
}

/// Whether the transport of this name is to be served there.
fn is_wanted(name: &str, address: &SocketAddr, listen: &Listen, config: &StreamConfig) -> bool {
    let mut of_name = wanted(listen, config).filter(|(wanted, _)| *wanted == name);
    of_name.any(|(_, listen)| listen.has(address))
}

fn failed(error: io::Error) -> Failure {
    Failure::system("cannot start serving TCP and TLS").because(error)
}

/// The thread: tells how it began, and returns when every connection has ended after the order to
/// stop.
fn run(
    mut openings: mpsc::UnboundedReceiver<Opening>,
    mut stopping: Stopping,
    begun: &SyncSender<io::Result<()>>,
) {
    if let Err(failure) = privileges::give_up() {
        return tell(begun, Err(io::Error::other(failure)));
    }
    // On Linux this is the calling thread's own. One that must not be nicer serves as well.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    // Made here, since a runtime must not be dropped on the control loop's thread.
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(begun, Err(error)),
    };
    runtime.block_on(async {
        // Closed when the last task that holds a sender has ended.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        tell(begun, Ok(()));
        // Shows once a second that the thread turns.
        let mut beat = tokio::time::interval(BEAT);
        let mut served: Vec<Arc<StreamStats>> = Vec::new();
        loop {
            let opening = tokio::select! {
                biased;
                () = stopping.ordered() => break,
                opening = openings.recv() => opening,
                _ = beat.tick() => {
                    served.iter().for_each(|stats| stats.messages.idle.add(1));
                    continue;
                }
            };
            let Some(Opening { socket, door, closing, open, opened }) = opening else { break };
            if !served.iter().any(|stats| Arc::ptr_eq(stats, &door.stats)) {
                served.push(Arc::clone(&door.stats));
            }
            match tokio::net::TcpListener::from_std(socket) {
                Ok(listener) => {
                    let (stopping, alive) = (stopping.clone(), alive.clone());
                    tokio::spawn(async move {
                        listen::keep(listener, door, closing, stopping, alive).await;
                        drop(open);
                    });
                    tell(&opened, Ok(()));
                }
                Err(error) => tell(&opened, Err(error)),
            }
        }
        drop(alive);
        let _ = ended.recv().await;
    });
}

/// Tells the one who waits for it.
fn tell(waiting: &SyncSender<io::Result<()>>, how: io::Result<()>) {
    let _ = waiting.send(how);
}

#[cfg(test)]
mod tests;
