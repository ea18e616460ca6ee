//! The loop of one worker over its sockets.

use super::BoundSocket;
use super::batch::{self, Batch, ReceivedDatagram, Sent};
use super::worker_sockets::WorkerSockets;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use arc_swap::{ArcSwap, Cache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use xstun_core::outcome::Outcome;
use xstun_core::source::{self, NoSourceRules, Seen};
use xstun_core::stun::{Answer, Exchange, Policy, respond};

/// Batches from one socket before the next socket is served.
const BATCHES: usize = 4;

/// Batches from one socket before it is closed, so that requests already received are answered. Holds what
/// a receive buffer holds, and bounds the work under a flood.
const LAST_BATCHES: usize = 192;

// The kernel doubles the requested size, and accounts at least 768 bytes for the smallest datagram.
const _: () = assert!(LAST_BATCHES * batch::SIZE * 768 > 2 * super::RECEIVE_BUFFER);

/// Longest sleep: how often an idle worker shows that it runs.
const SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Pause after an error of the machine, such as no memory, so that the worker does not spin.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Answers what arrives at `sockets` until `stop` is ordered; then answers what is already there and
/// returns. A socket that is removed meanwhile is served a last time, and then closed. Counts each datagram
/// once in `stats`. A change of `policy` holds from the next batch.
///
/// # Errors
/// Only those that this program must have caused itself, such as a file descriptor that is no socket.
pub(super) fn run(
    sockets: &WorkerSockets,
    policy: &ArcSwap<Policy>,
    stats: &WorkerStats,
    stop: &Stop,
) -> io::Result<()> {
    let mut worker = Worker::new(policy, stats);
    let mut current = sockets.read();
    while !stop.is_ordered() {
        worker.watch(&current, stop, sockets)?;
        let before = std::mem::replace(&mut current, sockets.read());
        let stays = |socket: &Arc<_>| current.iter().any(|other| Arc::ptr_eq(socket, other));
        worker.finish(&before, |socket| !stays(socket))?;
    }
    worker.finish(&current, |_| true)
}

struct Worker<'a> {
    policy: Cache<&'a ArcSwap<Policy>, Arc<Policy>>,
    stats: &'a WorkerStats,
    batch: Batch,
    /// The replies of the current batch that are diverted.
    diverted: Vec<Diverted>,
}

/// A reply that leaves from another endpoint than the one that received the request, or goes to another port.
struct Diverted {
    index: usize,
    answer: Answer,
    origin: SocketAddr,
}

impl<'a> Worker<'a> {
    fn new(policy: &'a ArcSwap<Policy>, stats: &'a WorkerStats) -> Self {
        let diverted = Vec::with_capacity(batch::SIZE);
        Worker { policy: Cache::new(policy), stats, batch: Batch::new(), diverted }
    }

    /// Serves until the order to stop, or until the list of sockets changed.
    fn watch(&mut self, sockets: &[Arc<BoundSocket>], stop: &Stop, list: &WorkerSockets) -> io::Result<()> {
        let mut watched: Vec<_> =
            sockets.iter().map(|socket| PollFd::new(&**socket, PollFlags::IN)).collect();
        watched.push(PollFd::new(stop, PollFlags::IN));
        watched.push(PollFd::new(list, PollFlags::IN));
        while !stop.is_ordered() {
            self.stats.idle.add(1);
            match poll(&mut watched, Some(&SLEEP)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::NOMEM | Errno::AGAIN) => pause(stop),
                Err(errno) => return Err(errno.into()),
            }
            for (socket, watch) in sockets.iter().zip(&watched) {
                if !watch.revents().is_empty() && !self.serve(sockets, socket, BATCHES)? {
                    pause(stop);
                }
            }
            if !watched[sockets.len() + 1].revents().is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Answers what the sockets for which `last` is true have received already.
    fn finish(
        &mut self,
        sockets: &[Arc<BoundSocket>],
        last: impl Fn(&Arc<BoundSocket>) -> bool,
    ) -> io::Result<()> {
        for socket in sockets.iter().filter(|socket| last(socket)) {
            self.serve(sockets, socket, LAST_BATCHES)?;
        }
        Ok(())
    }

    /// Answers up to `batches` batches from one of the sockets. Returns false if receiving failed for a reason
    /// that may pass.
    fn serve(
        &mut self,
        sockets: &[Arc<BoundSocket>],
        socket: &BoundSocket,
        batches: usize,
    ) -> io::Result<bool> {
        let mut failures = 0;
        for _ in 0..batches {
            self.stats.wakeups.add(1);
            let count = match self.batch.receive(socket) {
                Ok(count) => count,
                Err(error) if is_ours(&error) => return Err(error),
                // Reporting it clears an error that an earlier packet left in the socket.
                Err(_) if failures == 0 => {
                    failures += 1;
                    continue;
                }
                Err(_) => return Ok(false),
            };
            if count > 0 {
                self.answer(socket, count);
                if !self.diverted.is_empty() {
                    self.send_diverted(sockets);
                }
            }
            if count < batch::SIZE {
                break;
            }
        }
        Ok(true)
    }

    /// Answers and counts the `count` datagrams of one batch.
    fn answer(&mut self, socket: &BoundSocket, count: usize) {
        let Worker { policy, stats, batch, diverted, .. } = self;
        let policy = policy.load();
        stats.received.add(count as u64);
        stats.batches.add(1);
        let mut outcomes = [Outcome::NotStun; batch::SIZE];
        for (index, outcome) in outcomes.iter_mut().enumerate().take(count) {
            let datagram = batch.datagram(index);
            let destination = match destination_address(&datagram, socket.fixed_destination()) {
                Ok(ip) => SocketAddr::new(ip, socket.local().port()),
                Err(reason) => {
                    stats.count(reason);
                    continue;
                }
            };
            let exchange = Exchange::datagram(&datagram.source, || destination);
            let answer = respond(datagram.buffer, datagram.length, exchange, policy);
            if answer.length == 0 {
                stats.count(answer.outcome);
                continue;
            }
            *outcome = answer.outcome;
            if answer.is_diverted() {
                diverted.push(Diverted { index, answer, origin: policy.origin(&destination, answer.change) });
            } else {
                batch.mark(index, answer.length);
            }
        }
        let calls = batch.send(socket, |index, sent| stats.count(final_outcome(outcomes[index], sent)));
        stats.wakeups.add(calls);
    }

    /// Sends each diverted reply with the socket that it has to leave from (RFC 5780 §6.1).
    #[cold]
    fn send_diverted(&mut self, sockets: &[Arc<BoundSocket>]) {
        let Worker { stats, batch, diverted, .. } = self;
        for Diverted { index, answer, origin } in diverted.drain(..) {
            let Some(socket) = sockets.iter().find(|socket| socket.can_send_from(&origin)) else {
                stats.count(Outcome::TransmitFailed);
                continue;
            };
            batch.mark_diverted(index, answer.length, origin.ip(), answer.port);
            let calls = batch.send(&**socket, |_, sent| stats.count(final_outcome(answer.outcome, sent)));
            stats.wakeups.add(calls);
        }
    }
}

/// Whether an error of receiving shows a fault of this program. All others come from the machine's state or
/// from an earlier packet, and must not end a server.
fn is_ours(error: &io::Error) -> bool {
    const OURS: [i32; 4] = [libc::EBADF, libc::ENOTSOCK, libc::EFAULT, libc::EINVAL];
    error.raw_os_error().is_none_or(|errno| OURS.contains(&errno))
}

/// The outcome of a datagram after its reply was sent or not.
fn final_outcome(outcome: Outcome, sent: Sent) -> Outcome {
    match sent {
        Sent::Left => outcome,
        Sent::Full => Outcome::TransmitFull,
        Sent::Refused(_) => Outcome::TransmitFailed,
    }
}

/// Returns the address that a datagram was sent to, which is `fixed` if the socket has only one; or why it
/// gets no reply whatever it contains.
#[inline]
fn destination_address(datagram: &ReceivedDatagram<'_>, fixed: Option<IpAddr>) -> Result<IpAddr, Outcome> {
    if datagram.truncated {
        return Err(Outcome::BadLength);
    }
    source::judge(&datagram.source.ip(), datagram.source.port(), Seen::BySocket, &NoSourceRules)?;
    fixed.or(datagram.destination).ok_or(Outcome::NotServed)
}

/// Waits for [`PAUSE`], or until the order to stop. A shorter wait does no harm.
fn pause(stop: &Stop) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)], Some(&PAUSE));
}

#[cfg(test)]
mod tests;
