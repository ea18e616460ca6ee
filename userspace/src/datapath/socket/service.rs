//! The socket path's threads: one a core, each with sockets of its own.

use super::{BoundSocket, bind_named, is_missing_family, run};
use crate::config::Listen;
use crate::datapath::cores;
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::Policy;
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

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
    thread: Option<JoinHandle<Result<()>>>,
}

impl Service {
    /// Binds every address once for each of `cores` and starts a thread on each.
    ///
    /// # Errors
    /// An address cannot be bound, or a thread not started; nothing is left bound.
    pub fn start(listen: &Listen, cores: &[usize], policy: Arc<ArcSwap<Policy>>) -> Result<Self> {
        let mut of_core: Vec<Vec<BoundSocket>> = cores.iter().map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for address in listen.all() {
            match bind_named(address, cores.len(), listen.flag(&address)) {
                Ok(sockets) => {
                    addresses.push(address);
                    for (all, socket) in of_core.iter_mut().zip(sockets) {
                        all.push(socket);
                    }
                }
                // Nobody asked for IPv6 by name on a host that has none.
                Err(failure) if listen.by_default && address.is_ipv6() && is_missing_family(&failure) => {
                    tracing::info!("IPv6 is not served: {failure}");
                }
                Err(failure) => return Err(failure),
            }
        }
        let stop = Stop::new().map_err(|error| Failure::system("cannot make an eventfd").because(error))?;
        let mut service = Service { workers: Vec::new(), addresses, stop: Arc::new(stop) };
        for (&core, sockets) in cores.iter().zip(of_core) {
            service.add_worker(core, sockets, Arc::clone(&policy))?;
        }
        Ok(service)
    }

    fn add_worker(
        &mut self,
        core: usize,
        sockets: Vec<BoundSocket>,
        policy: Arc<ArcSwap<Policy>>,
    ) -> Result<()> {
        let stats = Arc::new(WorkerStats::default());
        let (counted, stop) = (Arc::clone(&stats), Arc::clone(&self.stop));
        let serve = move || {
            privileges::give_up()?;
            cores::pin(core)?;
            run(&sockets, &policy, &counted, &stop)
                .map_err(|error| Failure::system("a socket worker ended").because(error))
        };
        let thread = thread::Builder::new()
            .name(format!("socket-{core}"))
            .spawn(serve)
            .map_err(|error| Failure::system("cannot start a worker thread").because(error))?;
        self.workers.push(Worker { core, stats, thread: Some(thread) });
        Ok(())
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
        self.stop.order();
        for worker in &mut self.workers {
            if let Some(Ok(Err(failure))) = worker.thread.take().map(JoinHandle::join) {
                tracing::warn!("{failure}");
            }
        }
    }
}
