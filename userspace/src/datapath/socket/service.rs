//! The socket path's threads: one for each core, each with its own sockets.

use super::worker::run;
use super::worker_sockets::WorkerSockets;
use super::{BoundSocket, adopt, bind, is_missing_family, open};
use crate::config::{Listen, collide};
use crate::datapath::{Inheritance, cores};
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use xstun_core::stun::Policy;

/// How long workers may take to answer what a socket has received before it is closed.
const DRAIN: Duration = Duration::from_secs(1);

/// Sockets on every configured address, and the threads that serve them. Dropping it stops them.
pub struct SocketService {
    workers: Vec<Worker>,
    addresses: Vec<SocketAddr>,
    stop: Arc<Stop>,
}

struct Worker {
    core: usize,
    stats: Arc<WorkerStats>,
    sockets: Arc<WorkerSockets>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Sockets that are bound and not served yet. Dropping it closes them.
#[derive(Debug, Default)]
pub struct BoundSockets {
    /// Each address, with a socket for each worker.
    sockets: Vec<(SocketAddr, Vec<BoundSocket>)>,
}

impl BoundSockets {
    /// Binds each address of `listen` that is not in `served`, once for each of `workers`. Inherited sockets
    /// are used first.
    ///
    /// # Errors
    /// An address cannot be bound; nothing is left bound.
    fn bind(
        listen: &Listen,
        served: &[SocketAddr],
        workers: usize,
        inheritance: &mut Inheritance,
    ) -> Result<Self> {
        let inherited: Vec<_> = inheritance.udp.iter().map(|(address, _)| *address).collect();
        let mut sockets = Vec::new();
        for address in listen.all().filter(|address| !served.contains(address)) {
            let from_predecessor = inheritance.take_udp(&address);
            if !from_predecessor.is_empty() {
                sockets.push((address, inherit(address, from_predecessor, workers)?));
                continue;
            }
            let beside_own = served.iter().chain(&inherited).any(|own| collide(own, &address));
            match bind(address, workers, listen.flag(&address), beside_own) {
                Ok(bound) => sockets.push((bound.first().map_or(address, BoundSocket::local), bound)),
                // The host has no IPv6, and the operator did not name an IPv6 address.
                Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {
                    tracing::info!("IPv6 is not served: {failure}");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(BoundSockets { sockets })
    }
}

/// Takes over sockets that another process bound, and binds more if there are more workers. All of them must
/// be served: the kernel spreads datagrams over them.
fn inherit(address: SocketAddr, sockets: Vec<OwnedFd>, workers: usize) -> Result<Vec<BoundSocket>> {
    let unfit = |error| {
        Failure::system(format!("cannot take over UDP {address} (--listen)"))
            .of_value("--listen", address)
            .because(error)
    };
    let mut sockets = sockets.into_iter().map(adopt).collect::<io::Result<Vec<_>>>().map_err(unfit)?;
    for _ in sockets.len()..workers {
        match open(address, true) {
            Ok(socket) => sockets.push(socket),
            // Sockets of another user cannot be joined; the inherited ones serve everything.
            Err(error) => {
                tracing::info!("UDP {address} has {} sockets for {workers} workers: {error}", sockets.len());
                break;
            }
        }
    }
    Ok(sockets)
}

impl SocketService {
    /// Binds every address once for each of `cores` and starts a thread on each.
    ///
    /// # Errors
    /// An address cannot be bound, or a thread not started; nothing is left bound.
    pub fn start(
        listen: &Listen,
        cores: &[usize],
        policy: Arc<ArcSwap<Policy>>,
        inheritance: &mut Inheritance,
    ) -> Result<Self> {
        let bound = BoundSockets::bind(listen, &[], cores.len(), inheritance)?;
        let stop = Stop::new().map_err(|error| Failure::system("cannot create an eventfd").because(error))?;
        let mut service = SocketService { workers: Vec::new(), addresses: Vec::new(), stop: Arc::new(stop) };
        for &core in cores {
            service.add_worker(core, Arc::clone(&policy))?;
        }
        service.add(bound);
        Ok(service)
    }

    fn add_worker(&mut self, core: usize, policy: Arc<ArcSwap<Policy>>) -> Result<()> {
        let stats = Arc::new(WorkerStats::default());
        let sockets = WorkerSockets::new(Vec::new())
            .map_err(|error| Failure::system("cannot create an eventfd").because(error))?;
        let sockets = Arc::new(sockets);
        let (counted, stop, served) = (Arc::clone(&stats), Arc::clone(&self.stop), Arc::clone(&sockets));
        let serve = move || {
            privileges::drop_all()?;
            cores::pin(core)?;
            run(&served, &policy, &counted, &stop)
                .map_err(|error| Failure::system("a socket worker ended").because(error))
        };
        let thread = thread::Builder::new()
            .name(format!("socket-{core}"))
            .spawn(serve)
            .map_err(|error| Failure::system("cannot start a worker thread").because(error))?;
        self.workers.push(Worker { core, stats, sockets, thread: Some(thread) });
        Ok(())
    }

    /// Binds the addresses of `listen` that are not served yet.
    ///
    /// # Errors
    /// An address cannot be bound; nothing is changed.
    pub fn bind(&self, listen: &Listen) -> Result<BoundSockets> {
        BoundSockets::bind(listen, &self.addresses, self.workers.len(), &mut Inheritance::default())
    }

    /// Serves these sockets from now on.
    pub fn add(&mut self, bound: BoundSockets) {
        let mut of_worker: Vec<Vec<Arc<BoundSocket>>> = self.workers.iter().map(|_| Vec::new()).collect();
        for (address, sockets) in bound.sockets {
            self.addresses.push(address);
            // There are more sockets than workers if the predecessor had more workers.
            for (index, socket) in sockets.into_iter().enumerate() {
                let worker = index % of_worker.len().max(1);
                of_worker[worker].push(Arc::new(socket));
            }
        }
        for (worker, sockets) in self.workers.iter().zip(of_worker) {
            worker.sockets.add(sockets);
        }
    }

    /// Stops the kernel from delivering to the sockets of addresses that `listen` does not have. If another
    /// socket matches the same destinations, such as a wildcard's, it gets the datagrams. Returns whether there
    /// are such sockets.
    pub(crate) fn quiesce(&self, listen: &Listen) -> bool {
        let of_all = self.workers.iter().flat_map(|worker| worker.sockets.peek());
        let retired: Vec<_> = of_all.filter(|socket| !listen.has(&socket.local)).collect();
        retired.iter().for_each(|socket| socket.quiesce());
        !retired.is_empty()
    }

    /// Closes the sockets of addresses that `listen` does not have, once what they have received is answered.
    /// Waits until they are closed, so that the addresses can be bound again. To lose no datagram that comes
    /// between the last receive and the close, call [`SocketService::quiesce`] first, and wait for what the
    /// kernel is delivering.
    pub(crate) fn retain(&mut self, listen: &Listen) {
        self.addresses.retain(|address| listen.has(address));
        let closing: Vec<_> = self
            .workers
            .iter()
            .flat_map(|worker| worker.sockets.retain(|socket| listen.has(&socket.local)))
            .collect();
        let deadline = Instant::now() + DRAIN;
        while closing.iter().any(|socket| socket.strong_count() > 0) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Duplicates all sockets, by address.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(crate) fn duplicate(&self) -> io::Result<Vec<(SocketAddr, Vec<OwnedFd>)>> {
        let duplicates = |address: &SocketAddr| {
            let sockets = self.workers.iter().flat_map(|worker| worker.sockets.peek());
            let sockets = sockets.filter(|socket| socket.local() == *address);
            let sockets = sockets.map(|socket| socket.as_fd().try_clone_to_owned());
            Ok((*address, sockets.collect::<io::Result<_>>()?))
        };
        self.addresses.iter().map(duplicates).collect()
    }

    /// Answers what has arrived, ends the threads and closes the sockets. The successor may have duplicates of
    /// them; a socket that it does not have must not keep receiving datagrams that no worker answers.
    pub(crate) fn stop(&mut self) {
        self.stop.order();
        for worker in &mut self.workers {
            if let Some(Ok(Err(failure))) = worker.thread.take().map(JoinHandle::join) {
                tracing::warn!("{failure}");
            }
            worker.sockets.retain(|_| false);
        }
    }

    /// The addresses that are served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Each worker's core and counters.
    pub fn workers(&self) -> impl Iterator<Item = (usize, &Arc<WorkerStats>)> + '_ {
        self.workers.iter().map(|worker| (worker.core, &worker.stats))
    }

    /// Returns why a worker ended by itself: then the whole service has failed.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        let ended = |worker: &&mut Worker| worker.thread.as_ref().is_some_and(JoinHandle::is_finished);
        let worker = self.workers.iter_mut().find(ended)?;
        let result = worker.thread.take()?.join();
        match result {
            Ok(Ok(())) => Some(Failure::system("a socket worker ended without an order to stop")),
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::system("a socket worker panicked")),
        }
    }
}

impl Drop for SocketService {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
