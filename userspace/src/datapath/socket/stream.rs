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

use super::is_missing_family;
use crate::config::{self, Listen};
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stun::Policy;
use admission::Admission;
use arc_swap::ArcSwap;
use certificate::Identity;
use std::io;
use std::net::{SocketAddr, TcpListener as Bound};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stopping::{Order, Stopping};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::mpsc;

/// Niceness of the thread: handshakes cost much, and datagrams go before them.
const NICENESS: i32 = 5;

/// How often the thread shows that it turns.
const BEAT: Duration = Duration::from_secs(1);

/// Listeners for TCP and TLS and the thread that serves their connections. Dropping it stops taking
/// connections, answers what has been received, and closes all, within two seconds or so.
pub struct Service {
    transports: Vec<Transport>,
    identity: Option<Arc<Identity>>,
    order: Order,
    thread: Option<JoinHandle<()>>,
}

/// One of the two transports.
#[derive(Debug)]
pub struct Transport {
    /// `tcp` or `tls`.
    pub name: &'static str,
    /// Where it is listened on.
    pub addresses: Vec<SocketAddr>,
    /// Its counters, which outlive the service.
    pub stats: Arc<StreamStats>,
}

/// All that connections of one transport have in common.
struct Door {
    stats: Arc<StreamStats>,
    /// None for plain TCP.
    identity: Option<Arc<Identity>>,
    policy: Arc<ArcSwap<Policy>>,
    admission: Arc<Admission>,
    idle: Duration,
}

/// Reads certificate and key, as [`Service::start`] would.
///
/// # Errors
/// What is wrong with them.
pub fn check(config: &config::Stream) -> Result<()> {
    config.tls.as_ref().map_or(Ok(()), |tls| Identity::load(tls).map(drop))
}

impl Service {
    /// Binds TCP on `listen` and TLS where `config` says, as far as they are switched on, and serves
    /// them. A change of `policy` holds from the next message.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is left bound.
    pub fn start(listen: &Listen, config: &config::Stream, policy: &Arc<ArcSwap<Policy>>) -> Result<Self> {
        let (order, stopping) = stopping::channel();
        let identity = match &config.tls {
            Some(tls) => Some(Arc::new(Identity::load(tls)?)),
            None => None,
        };
        let mut service = Service { transports: Vec::new(), identity, order, thread: None };
        let tcp = config.tcp.then_some(("tcp", listen, None));
        let tls = config.tls.as_ref().map(|tls| ("tls", &tls.listen, service.identity.clone()));
        if tcp.is_none() && tls.is_none() {
            return Ok(service);
        }
        let admission = Arc::new(Admission::new(files::make_room(config.connections), config.per_source));
        let mut doors = Vec::new();
        for (name, listen, identity) in tcp.into_iter().chain(tls) {
            let bound = bind(listen)?;
            let addresses: Vec<_> = bound.iter().filter_map(|socket| socket.local_addr().ok()).collect();
            let stats = Arc::new(StreamStats::default());
            let door = Arc::new(Door {
                stats: Arc::clone(&stats),
                identity,
                policy: Arc::clone(policy),
                admission: Arc::clone(&admission),
                idle: config.idle,
            });
            service.transports.push(Transport { name, addresses, stats });
            doors.extend(bound.into_iter().map(|socket| (socket, Arc::clone(&door))));
        }
        let failed = |error: io::Error| Failure::system("cannot start serving TCP and TLS").because(error);
        let (begun, beginning) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("streams".into())
            .spawn(move || run(doors, stopping, &begun))
            .map_err(failed)?;
        service.thread = Some(thread);
        match beginning.recv() {
            Ok(Ok(())) => Ok(service),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Failure::system("the thread for TCP and TLS ended before it began")),
        }
    }

    /// The transports that are served; none if all are switched off.
    pub fn transports(&self) -> &[Transport] {
        &self.transports
    }

    /// Reads certificate and key again, for the connections to come. False if there are none.
    ///
    /// # Errors
    /// What is wrong with the files; the certificate in force stays so.
    pub fn reload(&self) -> Result<bool> {
        self.identity.as_ref().map_or(Ok(false), |identity| identity.reload().map(|()| true))
    }

    /// What the thread ended of, if it ended by itself.
    pub fn failure(&mut self) -> Option<Failure> {
        self.thread.take_if(|thread| thread.is_finished())?;
        Some(Failure::system("the thread for TCP and TLS ended unasked"))
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

fn bind(listen: &Listen) -> Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for address in listen.all() {
        match listen::bind(listen.flag(&address), address) {
            Ok(socket) => bound.push(socket),
            // Nobody asked for IPv6 by name on a host that has none.
            Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(bound)
}

/// The thread: tells how it began, and returns when every connection has ended after the order to
/// stop.
fn run(doors: Vec<(Bound, Arc<Door>)>, stopping: Stopping, begun: &SyncSender<io::Result<()>>) {
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
        let stats = doors.iter().map(|(_, door)| Arc::clone(&door.stats)).collect();
        tokio::spawn(beat(stats));
        for (socket, door) in doors {
            match TcpListener::from_std(socket) {
                Ok(listener) => {
                    tokio::spawn(listen::keep(listener, door, stopping.clone(), alive.clone()));
                }
                Err(error) => return tell(begun, Err(error)),
            }
        }
        drop(alive);
        tell(begun, Ok(()));
        let _ = ended.recv().await;
    });
}

/// Shows once a second that the thread turns.
async fn beat(stats: Vec<Arc<StreamStats>>) {
    let mut interval = tokio::time::interval(BEAT);
    loop {
        interval.tick().await;
        for stats in &stats {
            stats.messages.idle.add(1);
        }
    }
}

/// Tells the one who started the thread, who waits for it.
fn tell(begun: &SyncSender<io::Result<()>>, how: io::Result<()>) {
    let _ = begun.send(how);
}

#[cfg(test)]
mod tests;
