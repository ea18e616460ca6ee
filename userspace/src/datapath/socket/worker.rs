//! One worker's loop over its sockets.

use super::BoundSocket;
use super::batch::{self, Batch, Datagram, Sent};
use crate::outcome::Outcome;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::{Policy, respond};
use arc_swap::{ArcSwap, Cache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

/// Batches from one socket before the next socket has its turn.
const ROUNDS: usize = 4;

/// Batches from one socket after the order to stop, so that requests already here are answered:
/// what a receive buffer holds, and an end to it also under a flood.
const LAST_ROUNDS: usize = 128;

/// Pause after an error that is no stranger's doing (no memory, say), so that it cannot make the
/// worker spin.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Answers what arrives at `sockets` until `stop` is ordered; then answers what is already there and
/// returns. Each datagram is counted once in `stats`. A change of `policy` holds from the next batch.
///
/// # Errors
/// Only what the program itself must have caused, such as a file descriptor that is no socket.
pub fn run(
    sockets: &[BoundSocket],
    policy: &ArcSwap<Policy>,
    stats: &WorkerStats,
    stop: &Stop,
) -> io::Result<()> {
    let mut batch = Batch::new();
    let mut policy = Cache::new(policy);
    let mut watched: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    watched.push(PollFd::new(stop, PollFlags::IN));
    while !stop.is_ordered() {
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(Errno::NOMEM | Errno::AGAIN) => pause(stop),
            Err(errno) => return Err(errno.into()),
        }
        for (socket, watch) in sockets.iter().zip(&watched) {
            if !watch.revents().is_empty() && !serve(socket, &mut batch, &mut policy, stats, ROUNDS)? {
                pause(stop);
            }
        }
    }
    for socket in sockets {
        serve(socket, &mut batch, &mut policy, stats, LAST_ROUNDS)?;
    }
    Ok(())
}

/// Answers up to `rounds` batches from one socket. False if receiving failed for a reason that may
/// pass.
fn serve(
    socket: &BoundSocket,
    batch: &mut Batch,
    policy: &mut Cache<&ArcSwap<Policy>, Arc<Policy>>,
    stats: &WorkerStats,
    rounds: usize,
) -> io::Result<bool> {
    let mut failures = 0;
    for _ in 0..rounds {
        stats.wakeups.add(1);
        let count = match batch.receive(socket) {
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
            answer(socket, batch, count, policy.load(), stats);
        }
        if count < batch::SIZE {
            break;
        }
    }
    Ok(true)
}

/// Whether an error of receiving says that this program is wrong. All others are the machine's
/// condition or an earlier packet's echo, and a server lives through them.
fn is_ours(error: &io::Error) -> bool {
    const OURS: [i32; 4] = [libc::EBADF, libc::ENOTSOCK, libc::EFAULT, libc::EINVAL];
    error.raw_os_error().is_none_or(|errno| OURS.contains(&errno))
}

/// Answers and counts the `count` datagrams of one batch.
fn answer(socket: &BoundSocket, batch: &mut Batch, count: usize, policy: &Policy, stats: &WorkerStats) {
    stats.received.add(count as u64);
    stats.batches.add(1);
    let mut outcomes = [Outcome::NotStun; batch::SIZE];
    for (index, outcome) in outcomes.iter_mut().enumerate().take(count) {
        let datagram = batch.datagram(index);
        if let Some(reason) = unanswerable(&datagram) {
            stats.count(reason);
            continue;
        }
        let answer = respond(datagram.buffer, datagram.length, &datagram.source, policy);
        if answer.length == 0 {
            stats.count(answer.outcome);
            continue;
        }
        *outcome = answer.outcome;
        batch.mark(index, answer.length);
    }
    let calls = batch.send(socket, |index, sent| {
        stats.count(match sent {
            Sent::Left => outcomes[index],
            Sent::Full => Outcome::TransmitFull,
            Sent::Refused(_) => Outcome::TransmitFailed,
        });
    });
    stats.wakeups.add(calls);
}

/// Why a datagram gets no answer whatever it says.
#[inline]
fn unanswerable(datagram: &Datagram<'_>) -> Option<Outcome> {
    let group_or_nobody = match datagram.source.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    if datagram.truncated {
        Some(Outcome::BadLength)
    } else if datagram.source.port() == 0 {
        Some(Outcome::SourcePortZero)
    } else if group_or_nobody {
        Some(Outcome::BadSource)
    } else if datagram.destination.is_none() {
        Some(Outcome::NotServed)
    } else {
        None
    }
}

/// Waits a moment, or until the order to stop. A wait cut short is no harm.
fn pause(stop: &Stop) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)], Some(&PAUSE));
}

#[cfg(test)]
mod tests;
