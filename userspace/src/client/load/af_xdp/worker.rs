//! One core of the generator: sends on its queues, and judges what comes to them.

use super::frame::{self, Frames};
use crate::client::load::checker::Checker;
use crate::client::load::crew::Step;
use crate::client::load::id::Stamp;
use crate::client::load::plan::{Pace, Plan};
use crate::client::load::tally::Tally;
use crate::datapath::af_xdp::rings::{BATCH, Frame, Rings};
use crate::datapath::af_xdp::socket::{XdpSocket, is_passing};
use crate::error::{Failure, Result};
use crate::served::Served;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use xsk_rs::umem::frame::FrameDesc;
use xstun_ebpf::classify;

/// Calls that one batch may take: in copy mode the kernel comes back at each frame that found no room
/// on the way, and when its budget for a call is used up.
const WAKE_CALLS: usize = BATCH + 3;
/// Shorter waits are spun away: a sleep may take this much longer than asked for (the kernel's timer
/// slack is 50 µs).
const SHORT: Duration = Duration::from_micros(150);
/// Longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_millis(2);

/// What all workers of an interface share, and none changes.
pub(super) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) frames: Frames,
    /// What the XDP program takes: this generator's own addresses and ports.
    pub(super) served: Served,
    pub(super) places: Places,
}

/// Flows by their address and port.
pub(super) struct Places(Vec<(u16, IpAddr, u32)>);

impl Places {
    pub(super) fn new(sources: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut places: Vec<_> =
            (0..).zip(sources).map(|(flow, source)| (source.port(), source.ip(), flow)).collect();
        places.sort_unstable();
        Places(places)
    }

    /// Number of the flow from this address and port.
    #[inline]
    pub(super) fn find(&self, source: SocketAddr) -> Option<usize> {
        let wanted = (source.port(), source.ip());
        let found = self.0.binary_search_by_key(&wanted, |&(port, ip, _)| (port, ip)).ok()?;
        Some(self.0[found].2 as usize)
    }
}

/// A bound queue.
pub(super) struct Queue {
    rings: Rings<XdpSocket>,
    /// Whether requests leave here; replies come everywhere.
    sends: bool,
}

impl Queue {
    /// Takes over a socket and fills its fill ring.
    pub(super) fn new(socket: XdpSocket, frames: Vec<Frame<FrameDesc>>, sends: bool) -> Self {
        let mut rings = Rings::new(socket, frames);
        rings.refill();
        Queue { rings, sends }
    }
}

/// A worker with its queues.
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// The worker's lane, and so its number in transaction IDs.
    turn: usize,
    /// How many workers send: the first ones.
    senders: usize,
    queues: Vec<Queue>,
    /// The queue whose turn it is to send.
    next_queue: usize,
    checker: Checker,
    received: Vec<Frame<FrameDesc>>,
    outgoing: Vec<Frame<FrameDesc>>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, turn: usize, senders: usize, queues: Vec<Queue>) -> Self {
        let checker = Checker::new(Arc::clone(&shared.plan));
        let [received, outgoing] = [0, 1].map(|_| Vec::with_capacity(BATCH));
        Worker { shared, turn, senders, queues, next_queue: 0, checker, received, outgoing }
    }

    /// Sends until the step's stop is ordered, then waits for the last replies.
    ///
    /// # Errors
    /// The interface is gone.
    pub(super) fn step(&mut self, step: &Step) -> Result<Tally> {
        let shared = Arc::clone(&self.shared);
        let (plan, lane) = (&*shared.plan, shared.plan.board.lane(self.turn));
        let pace = Pace::new(step.start, step.rate, self.turn, self.senders);
        let is_sender = self.turn < self.senders;
        let mut sent = 0;
        while !step.stop.is_ordered() {
            let mut busy = self.receive(&shared, plan.now());
            if is_sender {
                let left = self.send(&shared, &pace, sent).map_err(gone)?;
                busy |= left > 0;
                sent += left;
            }
            if !busy {
                let pause = if is_sender { pace.pause(sent, plan.now()) } else { NAP };
                self.idle(pause)?;
            }
        }
        self.checker.sending_ended();
        lane.finish();
        let end = plan.now() + step.grace.as_nanos() as u64;
        while !(plan.board.is_settled() && self.is_drained()) && plan.now() < end {
            for queue in &mut self.queues {
                queue.rings.reclaim();
                wake(&mut queue.rings).map_err(gone)?;
            }
            if !self.receive(&shared, plan.now()) {
                self.idle(NAP)?;
            }
        }
        Ok(Tally { sent, ..self.checker.take() })
    }

    /// Whether nothing waits to leave.
    fn is_drained(&self) -> bool {
        self.queues.iter().all(|queue| queue.rings.places().transmit == 0)
    }

    /// Sends one batch of what is due on the next of the sending queues; gives how many left.
    #[inline]
    fn send(&mut self, shared: &Shared, pace: &Pace, sent: u64) -> io::Result<u64> {
        let plan = &*shared.plan;
        let (lane, now) = (plan.board.lane(self.turn), plan.now());
        let batch = pace.owed(sent, now).min(BATCH as u64) as usize;
        if batch == 0 {
            return Ok(0);
        }
        let sending = self.queues.iter().filter(|queue| queue.sends).count();
        let rings = &mut self.queues[self.next_queue].rings;
        // The sending queues are the first.
        self.next_queue = (self.next_queue + 1) % sending;
        rings.reclaim();
        rings.take(&mut self.outgoing, batch);
        let first = lane.next();
        for (index, frame) in self.outgoing.iter_mut().enumerate() {
            let number = first.wrapping_add(index as u32);
            // Each sender begins elsewhere, so that they do not all use the same flow at a time.
            let flow = (number as usize + self.turn * plan.flows.len() / self.senders) % plan.flows.len();
            let due = pace.due(sent + index as u64, now);
            let id = plan.key.seal(Stamp { worker: self.turn as u8, number, due }, flow as u32);
            lane.prepare(number);
            let shape = plan.mix.at(number);
            rings
                .queues()
                .umem()
                .edit(frame, |buffer, _| (shared.frames.write(buffer, shape, flow, &id), ()));
        }
        let taken = self.outgoing.len();
        // What finds no room keeps its number for the next batch: it was seen by nobody.
        let left = taken - rings.send(&mut self.outgoing);
        lane.left(left as u32, left as u64);
        wake(rings)?;
        Ok(left as u64)
    }

    /// Judges up to one batch from each queue; whether there was any.
    #[inline]
    fn receive(&mut self, shared: &Shared, now: u64) -> bool {
        let mut any = false;
        for queue in &mut self.queues {
            let rings = &mut queue.rings;
            rings.refill();
            if rings.receive(&mut self.received) == 0 {
                continue;
            }
            any = true;
            for mut frame in self.received.drain(..) {
                let checker = &mut self.checker;
                rings.queues().umem().edit(&mut frame, |buffer, length| {
                    judge(shared, checker, &buffer[..length], now);
                    (length, ())
                });
                rings.recycle(frame);
            }
        }
        if any {
            self.checker.publish(self.turn);
        }
        any
    }

    /// Lets `pause` pass, or a part of it, or the time until a frame comes.
    fn idle(&mut self, pause: Duration) -> Result<()> {
        for queue in &mut self.queues {
            let socket = queue.rings.queues();
            if socket.fill_needs_wakeup() {
                judge_wake(socket.wake_receive()).map_err(gone)?;
            }
        }
        if pause < SHORT {
            std::hint::spin_loop();
            return Ok(());
        }
        let pause = (pause - SHORT / 2).min(NAP);
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.as_nanos() as _ };
        let sockets = self.queues.iter_mut().map(|queue| PollFd::new(queue.rings.queues(), PollFlags::IN));
        let mut sockets: Vec<_> = sockets.collect();
        match poll(&mut sockets, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Failure::system("cannot wait for replies").because(errno)),
        }
    }
}

/// Judges a frame that the XDP program sent here.
#[inline]
fn judge(shared: &Shared, checker: &mut Checker, bytes: &[u8], now: u64) {
    // Whatever else was sent to one of our ports is no reply, and to judge it would be wrong; another
    // XDP program may even send other frames here.
    let Ok(datagram) = classify(bytes, &shared.served) else { return };
    match frame::read(bytes, &datagram) {
        Some(reply) if is_same(reply.from, shared.plan.server) => match shared.places.find(reply.to) {
            Some(flow) => drop(checker.check(reply.payload, flow, now)),
            None => checker.reject(),
        },
        _ => checker.reject(),
    }
}

/// Whether two are the same address and port; frames know no IPv6 scope.
#[inline]
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

/// Tells the kernel to transmit what is in the ring.
#[inline]
fn wake(rings: &mut Rings<XdpSocket>) -> io::Result<()> {
    if rings.places().transmit == 0 || !rings.queues().transmit_needs_wakeup() {
        return Ok(());
    }
    for _ in 0..WAKE_CALLS {
        match rings.queues().wake_transmit() {
            // Frames are left: the budget is used up, or one was dropped on the way.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {}
            other => return judge_wake(other),
        }
    }
    Ok(())
}

/// Tells a wake-up that may succeed later from one that never will.
fn judge_wake(woken: io::Result<()>) -> io::Result<()> {
    match woken {
        Err(error) if !is_passing(&error) => Err(error),
        _ => Ok(()),
    }
}

fn gone(error: io::Error) -> Failure {
    Failure::system("cannot send on the interface any more (--interface)").because(error)
}

#[cfg(test)]
mod tests {
    use super::Places;
    use std::net::SocketAddr;

    #[test]
    fn a_flow_is_found_by_its_address_and_port() {
        let sources = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.1:8", "[fd00::1]:9"];
        let sources = sources.map(|source| source.parse::<SocketAddr>().unwrap());
        let places = Places::new(sources);
        for (flow, source) in sources.into_iter().enumerate() {
            assert_eq!(places.find(source), Some(flow), "{source}");
        }
        for other in ["10.0.0.2:8", "10.0.0.3:9", "[fd00::2]:9"] {
            assert_eq!(places.find(other.parse().unwrap()), None, "{other}");
        }
    }
}
