//! One worker's loop over its sockets.

use super::BoundSocket;
use super::batch::{self, Batch, Datagram, Sent};
use super::roster::Roster;
use crate::outcome::Outcome;
use crate::source::{self, NoSourceRules, Seen};
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::{Answer, Exchange, Policy, respond};
use arc_swap::{ArcSwap, Cache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;

/// Batches from one socket before the next socket has its turn.
const ROUNDS: usize = 4;

/// Batches from one socket after the order to stop, so that requests already here are answered:
/// what a receive buffer holds, and an end to it also under a flood.
const LAST_ROUNDS: usize = 192;

// The kernel doubles the size asked for, and books at least 768 bytes for the smallest datagram.
const _: () = assert!(LAST_ROUNDS * batch::SIZE * 768 > 2 * super::RECEIVE_BUFFER);

/// Longest sleep: how often an idle worker shows that it turns.
const SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Pause after an error that is no stranger's doing (no memory, say), so that it cannot make the
/// worker spin.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Answers what arrives at `sockets` until `stop` is ordered; then answers what is already there and
/// returns. Each datagram is counted once in `stats`. A change of `policy` holds from the next batch.
///
/// # Errors
/// Only what the program itself must have caused, such as a file descriptor that is no socket.
pub fn run<S: AsRef<BoundSocket>>(
    sockets: &[S],
    policy: &ArcSwap<Policy>,
    stats: &WorkerStats,
    stop: &Stop,
) -> io::Result<()> {
    let mut worker = Worker::new(policy, stats);
    worker.watch(sockets, stop, None)?;
    worker.finish(sockets, |_| true)
}

/// [`run`] over sockets that change. One that is taken out is served a last time, and then closed.
///
/// # Errors
/// As [`run`].
pub(super) fn run_roster(
    roster: &Roster,
    policy: &ArcSwap<Policy>,
    stats: &WorkerStats,
    stop: &Stop,
) -> io::Result<()> {
    let mut worker = Worker::new(policy, stats);
    let mut sockets = roster.read();
    while !stop.is_ordered() {
        worker.watch(&sockets, stop, Some(roster))?;
        let before = std::mem::replace(&mut sockets, roster.read());
        let stays = |socket: &Arc<_>| sockets.iter().any(|other| Arc::ptr_eq(socket, other));
        worker.finish(&before, |socket| !stays(socket))?;
    }
    worker.finish(&sockets, |_| true)
}

/// What one worker works with.
struct Worker<'a> {
    policy: Cache<&'a ArcSwap<Policy>, Arc<Policy>>,
    stats: &'a WorkerStats,
    batch: Batch,
    /// Of the batch; at most as many as that has datagrams.
    diverted: Vec<Diverted>,
}

/// A reply that leaves from another endpoint than the one that was asked, or goes to another port.
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

    /// Serves until the order to stop, or until the sockets changed.
    fn watch<S: AsRef<BoundSocket>>(
        &mut self,
        sockets: &[S],
        stop: &Stop,
        roster: Option<&Roster>,
    ) -> io::Result<()> {
        let mut watched: Vec<_> =
            sockets.iter().map(|socket| PollFd::new(socket.as_ref(), PollFlags::IN)).collect();
        watched.push(PollFd::new(stop, PollFlags::IN));
        watched.extend(roster.map(|roster| PollFd::new(roster, PollFlags::IN)));
        while !stop.is_ordered() {
            self.stats.idle.add(1);
            match poll(&mut watched, Some(&SLEEP)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::NOMEM | Errno::AGAIN) => pause(stop),
                Err(errno) => return Err(errno.into()),
            }
            for (socket, watch) in sockets.iter().zip(&watched) {
                if !watch.revents().is_empty() && !self.serve(sockets, socket.as_ref(), ROUNDS)? {
                    pause(stop);
                }
            }
            if watched.get(sockets.len() + 1).is_some_and(|roster| !roster.revents().is_empty()) {
                break;
            }
        }
        Ok(())
    }

    /// Answers what is already there at those sockets that `last` says yes to.
    fn finish<S: AsRef<BoundSocket>>(&mut self, sockets: &[S], last: impl Fn(&S) -> bool) -> io::Result<()> {
        for socket in sockets.iter().filter(|socket| last(socket)) {
            self.serve(sockets, socket.as_ref(), LAST_ROUNDS)?;
        }
        Ok(())
    }

    /// Answers up to `rounds` batches from one of the sockets. False if receiving failed for a reason
    /// that may pass.
    fn serve<S: AsRef<BoundSocket>>(
        &mut self,
        sockets: &[S],
        socket: &BoundSocket,
        rounds: usize,
    ) -> io::Result<bool> {
        let mut failures = 0;
        for _ in 0..rounds {
            self.stats.wakeups.add(1);
            let count = match self.batch.receive(socket) {
                Ok(count) => count,
                Err(error) if is_ours(&error) => return Err(error),
                // Being told of it clears what an earlier packet left behind.
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
            let asked = match askable(&datagram, socket.only()) {
                Ok(ip) => SocketAddr::new(ip, socket.local().port()),
                Err(reason) => {
                    stats.count(reason);
                    continue;
                }
            };
            let exchange = Exchange::datagram(&datagram.source, || asked);
            let answer = respond(datagram.buffer, datagram.length, exchange, policy);
            if answer.length == 0 {
                stats.count(answer.outcome);
                continue;
            }
            *outcome = answer.outcome;
            if answer.is_diverted() {
                diverted.push(Diverted { index, answer, origin: policy.origin(&asked, answer.change) });
            } else {
                batch.mark(index, answer.length);
            }
        }
        let calls = batch.send(socket, |index, sent| stats.count(ending(outcomes[index], sent)));
        stats.wakeups.add(calls);
    }

    /// Sends each by the socket that it has to leave from (RFC 5780 §6.1).
    #[cold]
    fn send_diverted<S: AsRef<BoundSocket>>(&mut self, sockets: &[S]) {
        let Worker { stats, batch, diverted, .. } = self;
        for Diverted { index, answer, origin } in diverted.drain(..) {
            let sockets = sockets.iter().map(AsRef::as_ref);
            let Some(socket) = { sockets }.find(|socket| socket.can_send_from(&origin)) else {
                stats.count(Outcome::TransmitFailed);
                continue;
            };
            batch.mark_diverted(index, answer.length, origin.ip(), answer.port);
            let calls = batch.send(socket, |_, sent| stats.count(ending(answer.outcome, sent)));
            stats.wakeups.add(calls);
        }
    }
}

/// Whether an error of receiving says that this program is wrong. All others are the machine's
/// condition or an earlier packet's echo, and a server lives through them.
fn is_ours(error: &io::Error) -> bool {
    const OURS: [i32; 4] = [libc::EBADF, libc::ENOTSOCK, libc::EFAULT, libc::EINVAL];
    error.raw_os_error().is_none_or(|errno| OURS.contains(&errno))
}

/// How a datagram ends whose reply was to be sent.
fn ending(outcome: Outcome, sent: Sent) -> Outcome {
    match sent {
        Sent::Left => outcome,
        Sent::Full => Outcome::TransmitFull,
        Sent::Refused(_) => Outcome::TransmitFailed,
    }
}

/// The address that a datagram asked, `only` where just that can have been; or why it gets no answer
/// whatever it says.
#[inline]
fn askable(datagram: &Datagram<'_>, only: Option<IpAddr>) -> Result<IpAddr, Outcome> {
    if datagram.truncated {
        return Err(Outcome::BadLength);
    }
    source::judge(&datagram.source, Seen::BySocket, &NoSourceRules)?;
    only.or(datagram.destination).ok_or(Outcome::NotServed)
}

/// Waits a moment, or until the order to stop. A wait cut short is no harm.
fn pause(stop: &Stop) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)], Some(&PAUSE));
}

#[cfg(test)]
mod tests;
