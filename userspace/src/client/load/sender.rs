//! One thread of the load: sends, receives, checks.

use super::outstanding::{Found, Outstanding};
use crate::client::message::{Id, mapped_address, random, transaction, write_request};
use crate::datapath::socket::{Batch, SIZE, Sent};
use crate::error::{Failure, Result};
use crate::stop::Stop;
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Requests on their way at a time without `--rate`: a few batches, and no more than the receive buffer
/// that any process may have (net.core.rmem_default) holds.
const WINDOW: u64 = 256;
/// Requests remembered without `--rate`; at a million a second, a quarter of a second.
const REMEMBERED: usize = 1 << 18;
/// Most requests remembered with `--rate`.
const MOST_REMEMBERED: usize = 1 << 22;
/// How long after the last request a reply may come.
const GRACE: Duration = Duration::from_secs(1);
/// Batches from one port before the next has its turn.
const ROUNDS: usize = 4;
/// Longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_millis(10);
/// Sleep when the kernel takes no more requests for now.
const BREATH: Duration = Duration::from_micros(100);

/// A connected socket.
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    /// The address that every reply must tell; learnt from the first where it cannot be known.
    pub(super) mapped: Option<SocketAddr>,
}

/// What one thread is to do.
pub(super) struct Orders {
    pub(super) ports: Vec<Port>,
    /// Requests a second; as fast as replies come if `None`.
    pub(super) rate: Option<f64>,
    /// Part of the interval between two requests by which this thread is behind the first, so that
    /// the threads do not all send at the same moments.
    pub(super) phase: f64,
}

/// What one thread, or all, have counted.
pub(super) struct Tally {
    /// Requests that left.
    pub(super) sent: u64,
    /// Right replies.
    pub(super) received: u64,
    /// Of these, before the order to stop.
    pub(super) received_while_sending: u64,
    /// Datagrams that are no right reply to a request of ours.
    pub(super) wrong: u64,
    /// What the network said last when it refused a request.
    pub(super) refusal: Option<io::Error>,
    /// Nanoseconds from when a request was due to its reply.
    pub(super) latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)
            .expect("the bounds and three digits are within what the histogram documents");
        Tally { sent: 0, received: 0, received_while_sending: 0, wrong: 0, refusal: None, latency }
    }
}

impl Tally {
    /// Requests without a right reply.
    pub(super) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Adds another thread's.
    pub(super) fn add(&mut self, other: &Tally) {
        self.sent += other.sent;
        self.received += other.received;
        self.received_while_sending += other.received_while_sending;
        self.wrong += other.wrong;
        if let Some(errno) = other.refusal.as_ref().and_then(io::Error::raw_os_error) {
            self.refusal = Some(io::Error::from_raw_os_error(errno));
        }
        self.latency.add(&other.latency).expect("both have the same bounds");
    }
}

/// Sends until `stop` is ordered, then waits for the last replies.
///
/// # Errors
/// The kernel gave no random numbers or does not let this thread wait.
pub(super) fn run(orders: Orders, start: Instant, stop: &Stop) -> Result<Tally> {
    let mut sender = Sender::new(&orders, start, stop)?;
    while !stop.is_ordered() {
        let pause = sender.send();
        sender.receive(pause, Wait::Sending)?;
    }
    sender.tally.received_while_sending = sender.tally.received;
    let end = Instant::now() + GRACE;
    while sender.tally.lost() > 0 && Instant::now() < end {
        sender.receive(NAP, Wait::Ending)?;
    }
    Ok(sender.tally)
}

/// What cuts a wait for replies short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The order to stop.
    Sending,
    /// Nothing: the order is given.
    Ending,
}

struct Sender<'a> {
    orders: &'a Orders,
    start: Instant,
    /// First bytes of every transaction ID of this thread; the request's number follows.
    mark: [u8; 4],
    /// The address that every reply to a port must tell.
    expected: Vec<Option<SocketAddr>>,
    /// The ports in their order, then the order to stop.
    watched: Vec<PollFd<'a>>,
    outstanding: Outstanding,
    /// The port whose turn it is to send.
    turn: usize,
    requests: Batch,
    replies: Batch,
    tally: Tally,
}

impl<'a> Sender<'a> {
    fn new(orders: &'a Orders, start: Instant, stop: &'a Stop) -> Result<Self> {
        let mut mark = [0; 4];
        random(&mut mark)?;
        let remembered = match orders.rate {
            None => REMEMBERED,
            Some(rate) => ((rate * 2.0 * GRACE.as_secs_f64()) as usize).clamp(SIZE, MOST_REMEMBERED),
        };
        let sockets = orders.ports.iter().map(|port| PollFd::new(&port.socket, PollFlags::IN));
        Ok(Sender {
            orders,
            start,
            mark,
            expected: orders.ports.iter().map(|port| port.mapped).collect(),
            watched: sockets.chain([PollFd::new(stop, PollFlags::IN)]).collect(),
            outstanding: Outstanding::new(remembered),
            turn: 0,
            requests: Batch::connected(),
            replies: Batch::connected(),
            tally: Tally::default(),
        })
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Sends up to one batch of what is due, from one port. Gives how long nothing more is due.
    fn send(&mut self) -> Duration {
        let now = self.now();
        let first = self.outstanding.next();
        let (phase, interval) = (self.orders.phase, self.orders.rate.map(|rate| 1e9 / rate));
        let due_at =
            |number: u64| interval.map_or(now, |interval| ((number as f64 + phase) * interval) as u64);
        let due = match interval {
            None => {
                self.outstanding.give_up(now);
                WINDOW.saturating_sub(self.outstanding.waiting())
            }
            Some(_) => (0..SIZE as u64).take_while(|ahead| due_at(first + ahead) <= now).count() as u64,
        };
        let batch = due.min(SIZE as u64) as usize;
        for index in 0..batch {
            let id = self.id(first + index as u64);
            let length = write_request(self.requests.buffer(index), &id, false);
            self.requests.mark(index, length);
        }
        let turn = self.turn;
        let mut full = false;
        if batch > 0 {
            let Sender { requests, orders, outstanding, tally, .. } = self;
            requests.send(&orders.ports[turn].socket, |index, sent| match sent {
                Sent::Left => {
                    outstanding.sent(turn, due_at(first + index as u64));
                    tally.sent += 1;
                }
                Sent::Refused(errno) => {
                    outstanding.skipped();
                    tally.refusal = Some(io::Error::from_raw_os_error(errno));
                }
                Sent::Full => full = true,
            });
            self.turn = (turn + 1) % self.orders.ports.len();
        }
        let next = due_at(self.outstanding.next());
        match interval {
            _ if full => BREATH,
            None if due > batch as u64 => Duration::ZERO,
            None => NAP,
            Some(_) => Duration::from_nanos(next.saturating_sub(self.now())).min(NAP),
        }
    }

    fn id(&self, number: u64) -> Id {
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.mark);
        transaction[4..].copy_from_slice(&number.to_be_bytes());
        Id::new(transaction)
    }

    /// Waits up to `pause` for replies and takes those that are there.
    fn receive(&mut self, pause: Duration, wait: Wait) -> Result<()> {
        let pause = Timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos() as _ };
        let watched = match wait {
            Wait::Sending => self.watched.len(),
            Wait::Ending => self.orders.ports.len(),
        };
        match poll(&mut self.watched[..watched], Some(&pause)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(Failure::system("cannot wait for replies").because(errno)),
        }
        for port in 0..self.orders.ports.len() {
            if !self.watched[port].revents().is_empty() {
                self.drain(port);
            }
        }
        Ok(())
    }

    /// Takes what came to one port.
    fn drain(&mut self, port: usize) {
        for _ in 0..ROUNDS {
            match self.replies.receive(&self.orders.ports[port].socket) {
                Ok(taken) => {
                    let now = self.now();
                    (0..taken).for_each(|reply| self.check(port, reply, now));
                    if taken < SIZE {
                        return;
                    }
                }
                Err(error) => self.tally.refusal = Some(error),
            }
        }
    }

    /// Counts the datagram at `reply` of the batch that came to `port`.
    fn check(&mut self, port: usize, reply: usize, now: u64) {
        let bytes = self.replies.payload(reply);
        let number = transaction(bytes).and_then(|transaction| {
            let (mark, number) = transaction.split_first_chunk::<4>()?;
            (*mark == self.mark).then_some(u64::from_be_bytes(number.try_into().ok()?))
        });
        let (Some(number), Some((mapped, _))) = (number, mapped_address(bytes)) else {
            self.tally.wrong += 1;
            return;
        };
        let expected = self.expected[port].get_or_insert(mapped);
        let right = (mapped.ip(), mapped.port()) == (expected.ip(), expected.port());
        match self.outstanding.answered(number, port) {
            Found::Request { due } if right => {
                self.tally.received += 1;
                self.tally.latency.saturating_record(now.saturating_sub(due).max(1));
            }
            Found::Forgotten if right => {}
            _ => self.tally.wrong += 1,
        }
    }
}
