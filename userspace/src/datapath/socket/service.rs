//! The socket path's threads: one a core, each with sockets of its own.

use super::roster::Roster;
use super::worker::run_roster;
use super::{BoundSocket, adopt, bind_named, is_missing_family, open, overlap};
use crate::config::Listen;
use crate::datapath::{Inheritance, cores};
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::Policy;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long workers may take to answer what a socket has received that is to be closed.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Sockets on every address that is listened on, and the threads that serve them. Dropping it stops
/// them.
pub struct Service {
    workers: Vec<Worker>,
    addresses: Vec<SocketAddr>,
    stop: Arc<Stop>,
}

struct Worker {
    core: usize,
    stats: Arc<WorkerStats>,
    roster: Arc<Roster>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Sockets that are bound and not yet served. Dropping it closes them.
#[derive(Debug, Default)]
pub struct Bound {
    /// Each address with a socket for each worker.
    sockets: Vec<(SocketAddr, Vec<BoundSocket>)>,
}

impl Bound {
    /// Binds each address of `listen`, but those of `served`, once for each of `workers`, as far as it is
    /// not inherited.
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
            let heirloom = inheritance.take_udp(&address);
            if !heirloom.is_empty() {
                sockets.push((address, inherit(address, heirloom, workers)?));
                continue;
            }
            let beside_own = served.iter().chain(&inherited).any(|own| overlap(own, &address));
            match bind_named(address, workers, listen.flag(&address), beside_own) {
                Ok(bound) => sockets.push((address, bound)),
                // Nobody asked for IPv6 by name on a host that has none.
                Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {
                    tracing::info!("IPv6 is not served: {failure}");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Bound { sockets })
    }
}

/// Sockets that another process bound, and more beside them where there are more workers. All of them
/// must be served: the kernel spreads datagrams over them.
fn inherit(address: SocketAddr, heirloom: Vec<OwnedFd>, workers: usize) -> Result<Vec<BoundSocket>> {
    let unfit = |error| {
        Failure::system(format!("cannot take over UDP {address} (--listen)"))
            .of_value("--listen", address)
            .because(error)
    };
    let mut sockets = heirloom.into_iter().map(adopt).collect::<io::Result<Vec<_>>>().map_err(unfit)?;
    for _ in sockets.len()..workers {
        match open(address, true) {
            Ok(socket) => sockets.push(socket),
            // Another user's sockets cannot be joined; those that there are serve all.
            Err(error) => {
                tracing::info!("UDP {address} has {} sockets for {workers} workers: {error}", sockets.len());
                break;
            }
        }
    }
    Ok(sockets)
}

impl Service {
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
        let bound = Bound::bind(listen, &[], cores.len(), inheritance)?;
        let stop = Stop::new().map_err(|error| Failure::system("cannot make an eventfd").because(error))?;
        let mut service = Service { workers: Vec::new(), addresses: Vec::new(), stop: Arc::new(stop) };
        for &core in cores {
            service.add_worker(core, Arc::clone(&policy))?;
        }
        service.add(bound);
        Ok(service)
    }

    fn add_worker(&mut self, core: usize, policy: Arc<ArcSwap<Policy>>) -> Result<()> {
        let stats = Arc::new(WorkerStats::default());
        let roster = Roster::new(Vec::new())
            .map_err(|error| Failure::system("cannot make an eventfd").because(error))?;
        let roster = Arc::new(roster);
        let (counted, stop, sockets) = (Arc::clone(&stats), Arc::clone(&self.stop), Arc::clone(&roster));
        let serve = move || {
            privileges::give_up()?;
            cores::pin(core)?;
            run_roster(&sockets, &policy, &counted, &stop)
                .map_err(|error| Failure::system("a socket worker ended").because(error))
        };
        let thread = thread::Builder::new()
            .name(format!("socket-{core}"))
            .spawn(serve)
            .map_err(|error| Failure::system("cannot start a worker thread").because(error))?;
        self.workers.push(Worker { core, stats, roster, thread: Some(thread) });
        Ok(())
    }

    /// Binds what `listen` has and is not served yet.
    ///
    /// # Errors
    /// An address cannot be bound; nothing is changed.
    pub fn bind(&self, listen: &Listen) -> Result<Bound> {
        Bound::bind(listen, &self.addresses, self.workers.len(), &mut Inheritance::default())
    }

    /// Serves sockets from here on.
    pub fn add(&mut self, bound: Bound) {
        let mut of_worker: Vec<Vec<Arc<BoundSocket>>> = self.workers.iter().map(|_| Vec::new()).collect();
        for (address, sockets) in bound.sockets {
            self.addresses.push(address);
            // There can be more than workers, if inherited from one with more.
            for (index, socket) in sockets.into_iter().enumerate() {
                let worker = index % of_worker.len().max(1);
                of_worker[worker].push(Arc::new(socket));
            }
        }
        for (worker, sockets) in self.workers.iter().zip(of_worker) {
            worker.roster.add(sockets);
        }
    }

    /// Has the kernel deliver nothing more to the sockets of all addresses that `listen` has not. Where
    /// another socket is next in line, a wildcard's for one, that gets it. True if there are such sockets.
    pub fn deafen(&self, listen: &Listen) -> bool {
        let of_all = self.workers.iter().flat_map(|worker| worker.roster.read_all());
        let leaving: Vec<_> = of_all.filter(|socket| !listen.has(&socket.local)).collect();
        leaving.iter().for_each(|socket| socket.deafen());
        !leaving.is_empty()
    }

    /// Closes the sockets of all addresses that `listen` has not, once what they have received is
    /// answered. Waits until they are closed, so that the addresses can be bound again. What came between
    /// a last look and the close would be lost: [`Service::deafen`] comes first, and then a moment for what
    /// the kernel was delivering.
    pub fn retain(&mut self, listen: &Listen) {
        self.addresses.retain(|address| listen.has(address));
        let closing: Vec<_> = self
            .workers
            .iter()
            .flat_map(|worker| worker.roster.retain(|socket| listen.has(&socket.local)))
            .collect();
        let deadline = Instant::now() + LAST_LOOK;
        while closing.iter().any(|socket| socket.strong_count() > 0) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Duplicates of all sockets, by address.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn bequeath(&self) -> io::Result<Vec<(SocketAddr, Vec<OwnedFd>)>> {
        let duplicates = |address: &SocketAddr| {
            let sockets = self.workers.iter().flat_map(|worker| worker.roster.read_all());
            let sockets = sockets.filter(|socket| socket.local() == *address);
            let sockets = sockets.map(|socket| socket.as_fd().try_clone_to_owned());
            Ok((*address, sockets.collect::<io::Result<_>>()?))
        };
        self.addresses.iter().map(duplicates).collect()
    }

    /// Answers what has arrived, ends the threads and closes the sockets: another process may have
    /// duplicates of them, and those that it has not must not go on to take what nobody answers.
    pub fn stop(&mut self) {
        self.stop.order();
        for worker in &mut self.workers {
            if let Some(Ok(Err(failure))) = worker.thread.take().map(JoinHandle::join) {
                tracing::warn!("{failure}");
            }
            worker.roster.retain(|_| false);
        }
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Each worker's core and counters.
    pub fn workers(&self) -> impl Iterator<Item = (usize, &Arc<WorkerStats>)> + '_ {
        self.workers.iter().map(|worker| (worker.core, &worker.stats))
    }

    /// What a worker that ended by itself ended of: the whole service is then at an end.
    pub fn failure(&mut self) -> Option<Failure> {
        let ended = |worker: &&mut Worker| worker.thread.as_ref().is_some_and(JoinHandle::is_finished);
        let worker = self.workers.iter_mut().find(ended)?;
        let result = worker.thread.take()?.join();
        match result {
            Ok(Ok(())) => Some(Failure::system("a socket worker ended unasked")),
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::system("a socket worker panicked")),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
