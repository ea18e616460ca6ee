//! A worker of the generator: sends on the queues of its core, and checks the replies that arrive there.

use super::frame::{self, FrameTemplates};
use crate::client::is_same_endpoint;
use crate::client::load::checker::ReplyChecker;
use crate::client::load::id::RequestStamp;
use crate::client::load::plan::{LoadPlan, Pace};
use crate::client::load::pool::LoadStep;
use crate::client::load::tally::Tally;
use crate::datapath::af_xdp::frame_queue::FrameQueue;
use crate::datapath::af_xdp::socket::ignore_transient;
use crate::error::{Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use xstun_core::classify::classify;
use xstun_core::rings::BATCH;
use xstun_core::served::Served;

/// Most calls for one batch. In copy mode the kernel returns at each frame that it could not queue, and
/// when its budget for one call is used up.
const WAKE_CALLS: usize = BATCH + 3;
/// Shorter waits spin, because a sleep may take this much longer than requested (the kernel's timer slack
/// is 50 µs).
const MIN_SLEEP: Duration = Duration::from_micros(150);
/// Longest sleep before the worker reads the clock again.
const MAX_SLEEP: Duration = Duration::from_millis(2);

/// What the workers of an interface share; nothing in it changes.
pub(super) struct XdpLoadPlan {
    pub(super) plan: Arc<LoadPlan>,
    pub(super) frames: FrameTemplates,
    /// What the XDP program redirects: the addresses and ports of this generator.
    pub(super) served: Served,
    pub(super) flows: FlowIndex,
}

/// The flows by address and port.
pub(super) struct FlowIndex(Vec<(u16, IpAddr, u32)>);

impl FlowIndex {
    pub(super) fn new(sources: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut flows: Vec<_> =
            (0..).zip(sources).map(|(flow, source)| (source.port(), source.ip(), flow)).collect();
        flows.sort_unstable();
        FlowIndex(flows)
    }

    /// Returns the index of the flow with this source.
    #[inline]
    pub(super) fn find(&self, source: SocketAddr) -> Option<usize> {
        let key = (source.port(), source.ip());
        let found = self.0.binary_search_by_key(&key, |&(port, ip, _)| (port, ip)).ok()?;
        Some(self.0[found].2 as usize)
    }
}

/// A bound queue.
pub(super) struct LoadQueue {
    pub(super) frames: FrameQueue,
    /// Whether requests leave here. Replies arrive on every queue.
    pub(super) sends: bool,
}

/// A worker and its queues.
pub(super) struct XdpLoadWorker {
    shared: Arc<XdpLoadPlan>,
    /// The worker's index, which its transaction IDs contain.
    index: usize,
    /// How many workers send: the first ones.
    senders: usize,
    queues: Vec<LoadQueue>,
    /// The queue that sends next.
    next_queue: usize,
    checker: ReplyChecker,
}

impl XdpLoadWorker {
    pub(super) fn new(
        shared: Arc<XdpLoadPlan>,
        index: usize,
        senders: usize,
        queues: Vec<LoadQueue>,
    ) -> Self {
        let checker = ReplyChecker::new(Arc::clone(&shared.plan));
        XdpLoadWorker { shared, index, senders, queues, next_queue: 0, checker }
    }

    /// Sends until the step's stop is ordered, then waits for the last replies.
    ///
    /// # Errors
    /// System: the interface is gone.
    pub(super) fn step(&mut self, step: &LoadStep) -> Result<Tally> {
        let shared = Arc::clone(&self.shared);
        let (plan, own) = (&*shared.plan, shared.plan.tracker.worker(self.index));
        let pace = Pace::new(step.start, step.rate, self.index, self.senders);
        let is_sender = self.index < self.senders;
        let mut sent = 0;
        while !step.stop.is_ordered() {
            let mut busy = self.receive(&shared, plan.now());
            if is_sender {
                let left = self.send(&shared, &pace, sent).map_err(gone)?;
                busy |= left > 0;
                sent += left;
            }
            if !busy {
                let pause = if is_sender { pace.pause(sent, plan.now()) } else { MAX_SLEEP };
                self.idle(pause)?;
            }
        }
        self.checker.end_sending();
        own.end_sending();
        let end = plan.now() + step.grace.as_nanos() as u64;
        while !(plan.tracker.is_settled() && self.is_drained()) && plan.now() < end {
            for queue in &mut self.queues {
                queue.frames.reclaim();
                wake(&mut queue.frames).map_err(gone)?;
            }
            if !self.receive(&shared, plan.now()) {
                self.idle(MAX_SLEEP)?;
            }
        }
        Ok(Tally { sent, ..self.checker.take() })
    }

    /// Whether no frame waits to leave.
    fn is_drained(&self) -> bool {
        self.queues.iter().all(|queue| queue.frames.occupancy().transmit == 0)
    }

    /// Sends at most one batch of the requests that are due, on the next sending queue. Returns how many left.
    #[inline]
    fn send(&mut self, shared: &XdpLoadPlan, pace: &Pace, sent: u64) -> io::Result<u64> {
        let plan = &*shared.plan;
        let (own, now) = (plan.tracker.worker(self.index), plan.now());
        let batch = pace.backlog(sent, now).min(BATCH as u64) as usize;
        if batch == 0 {
            return Ok(0);
        }
        let sending = self.queues.iter().filter(|queue| queue.sends).count();
        let frames = &mut self.queues[self.next_queue].frames;
        // The sending queues are the first.
        self.next_queue = (self.next_queue + 1) % sending;
        frames.reclaim();
        let first = own.next();
        let taken = frames.write(batch, |index, buffer| {
            let number = first.wrapping_add(index as u32);
            // Each sender starts at another flow, so that they do not all use the same one at a time.
            let flow = (number as usize + self.index * plan.flows.len() / self.senders) % plan.flows.len();
            let due = pace.due(sent + index as u64, now);
            let id = plan.key.encode(RequestStamp { worker: self.index as u8, number, due }, flow as u32);
            own.clear(number);
            shared.frames.write(buffer, plan.mix.at(number), flow, &id)
        });
        // The next batch reuses the numbers of requests that found no room, because nobody has seen them.
        let left = taken - frames.send();
        own.add_sent(left as u32, left as u64);
        wake(frames)?;
        Ok(left as u64)
    }

    /// Checks at most one batch of replies from each queue. Returns whether there were any.
    #[inline]
    fn receive(&mut self, shared: &XdpLoadPlan, now: u64) -> bool {
        let mut any = false;
        for queue in &mut self.queues {
            let frames = &mut queue.frames;
            frames.refill();
            if frames.receive() == 0 {
                continue;
            }
            any = true;
            let checker = &mut self.checker;
            frames.rewrite(|buffer, length| {
                check(shared, checker, &buffer[..length], now);
                0
            });
        }
        if any {
            self.checker.publish(self.index);
        }
        any
    }

    /// Waits at most `pause`, or until a frame arrives.
    fn idle(&mut self, pause: Duration) -> Result<()> {
        for queue in &mut self.queues {
            let socket = queue.frames.socket();
            if socket.fill_needs_wakeup() {
                socket.wake_receive().map_err(gone)?;
            }
        }
        if pause < MIN_SLEEP {
            std::hint::spin_loop();
            return Ok(());
        }
        let pause = (pause - MIN_SLEEP / 2).min(MAX_SLEEP);
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.as_nanos() as _ };
        let sockets = self.queues.iter_mut().map(|queue| PollFd::new(queue.frames.socket(), PollFlags::IN));
        let mut sockets: Vec<_> = sockets.collect();
        match poll(&mut sockets, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Failure::system("cannot wait for replies").because(errno)),
        }
    }
}

/// Counts a frame as wrong that holds no datagram from the server to a flow.
fn reject(checker: &mut ReplyChecker) {
    checker.tally.wrong += 1;
}

/// Checks a frame that an XDP program redirected here.
#[inline]
fn check(shared: &XdpLoadPlan, checker: &mut ReplyChecker, bytes: &[u8], now: u64) {
    // Another XDP program may redirect any frame here. One that is not for a flow is ignored, not counted
    // as wrong.
    let Ok((datagram, ())) = classify(bytes, &shared.served) else { return };
    match frame::parse(bytes, &datagram) {
        Some(reply) if is_same_endpoint(&reply.from, &shared.plan.server) => {
            match shared.flows.find(reply.to) {
                Some(flow) => drop(checker.check(reply.payload, flow, now)),
                None => reject(checker),
            }
        }
        _ => reject(checker),
    }
}

/// Makes the kernel transmit the frames in the ring.
#[inline]
fn wake(frames: &mut FrameQueue) -> io::Result<()> {
    if frames.occupancy().transmit == 0 || !frames.socket().transmit_needs_wakeup() {
        return Ok(());
    }
    for _ in 0..WAKE_CALLS {
        match frames.socket().wake_transmit() {
            // Frames are left: the budget is used up, or the kernel dropped one.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {}
            other => return ignore_transient(other),
        }
    }
    Ok(())
}

fn gone(error: io::Error) -> Failure {
    Failure::system("sending on the interface failed (--interface)").because(error)
}

#[cfg(test)]
mod tests {
    use super::FlowIndex;
    use std::net::SocketAddr;

    #[test]
    fn a_flow_is_found_by_its_source() {
        let sources = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.1:8", "[fd00::1]:9"];
        let sources = sources.map(|source| source.parse::<SocketAddr>().unwrap());
        let flows = FlowIndex::new(sources);
        for (flow, source) in sources.into_iter().enumerate() {
            assert_eq!(flows.find(source), Some(flow), "{source}");
        }
        for other in ["10.0.0.2:8", "10.0.0.3:9", "[fd00::2]:9"] {
            assert_eq!(flows.find(other.parse().unwrap()), None, "{other}");
        }
    }
}
