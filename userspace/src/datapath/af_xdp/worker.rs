//! The loop of one queue's worker: one thread, one core.

use super::frame_queue::FrameQueue;
use super::outbox::Outbox;
use super::poll_budget::PollBudget;
use super::socket::ignore_transient;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use arc_swap::{ArcSwap, Cache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xstun_core::answer::answer;
use xstun_core::outcome::Outcome;
use xstun_core::rings::BATCH;
use xstun_core::served::Served;
use xstun_core::stun::Policy;

/// Longest sleep: how old the published figures may be, and how often an idle worker shows that it runs.
const SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Batches, or vain polls of a worker that busy-polls, between two publications on a queue that never sleeps.
const PUBLISH_BATCHES: u64 = 4096;
/// Time between two publications on a queue that sleeps.
const PUBLISH_PERIOD: Duration = Duration::from_secs(1);
/// How long replies may take to leave when the worker stops.
const DRAIN: Duration = Duration::from_millis(200);
/// Calls that one wake-up may take while the kernel says that its budget for a call is used up (32
/// frames before Linux 6.18).
const WAKE_CALLS: u32 = (BATCH / 32) as u32 + 1;

/// What a worker shares with the rest of the program.
pub(super) struct WorkerContext {
    /// The endpoints that are served on the worker's interface.
    pub(super) served: Arc<ArcSwap<Served>>,
    /// The operator's policy.
    pub(super) policy: Arc<ArcSwap<Policy>>,
    /// The worker's counters.
    pub(super) stats: Arc<WorkerStats>,
    /// The order to stop.
    pub(super) stop: Arc<Stop>,
    /// What to send beside the replies.
    pub(super) outbox: Arc<Outbox>,
}

/// A queue's worker, once its socket is bound and its fill ring full.
pub(super) struct QueueWorker {
    frames: FrameQueue,
    context: WorkerContext,
    busy_poll: bool,
    /// The outcome of each reply that waits to be sent, if it leaves.
    outcomes: Vec<Outcome>,
    /// What the kernel counted for the queue's sockets before this one, in the order of `KernelStats::named`.
    former: [u64; 5],
    /// When the kernel's counts and the levels of the rings were last published.
    published: Instant,
}

impl QueueWorker {
    /// Wakes the kernel once for each ring: some drivers bind a socket that they cannot serve.
    ///
    /// # Errors
    /// The kernel's answer to a wake-up, where none will ever succeed.
    pub(super) fn new(frames: FrameQueue, context: WorkerContext, busy_poll: bool) -> io::Result<Self> {
        let outcomes = Vec::with_capacity(BATCH);
        let former = context.stats.kernel.named().map(|(_, count)| count);
        let published = Instant::now();
        let mut worker = QueueWorker { frames, context, busy_poll, outcomes, former, published };
        let socket = worker.frames.socket();
        ignore_transient(socket.wake_transmit())?;
        socket.wake_receive()?;
        worker.publish();
        Ok(worker)
    }

    /// Serves until the order to stop, then answers what was received and lets the replies leave.
    ///
    /// # Errors
    /// The interface was removed. No packet can cause that; every error that one can cause is counted and
    /// survived.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut served = Cache::new(Arc::clone(&self.context.served));
        let mut policy = Cache::new(Arc::clone(&self.context.policy));
        let mut poll_budget = PollBudget::default();
        let mut polls: u64 = 0;
        while !self.context.stop.is_ordered() {
            if self.serve_batch(served.load(), policy.load())? {
                poll_budget.found();
            } else if self.busy_poll {
                self.context.stats.idle.add(1);
                self.wake_receive()?;
                polls += 1;
                if polls.is_multiple_of(PUBLISH_BATCHES) {
                    self.publish();
                    self.send_outbox()?;
                }
            } else if poll_budget.polls_again() {
                std::hint::spin_loop();
            } else {
                self.sleep()?;
            }
        }
        self.drain(served.load(), policy.load())
    }

    /// Serves one batch; returns false if no frame was there.
    #[inline]
    fn serve_batch(&mut self, served: &Served, policy: &Policy) -> io::Result<bool> {
        self.frames.reclaim();
        self.frames.refill();
        let received = self.frames.receive();
        if received == 0 {
            return Ok(false);
        }
        let stats = &self.context.stats;
        stats.received.add(received as u64);
        stats.batches.add(1);
        let outcomes = &mut self.outcomes;
        self.frames.rewrite(|buffer, length| {
            let answered = answer(buffer, length, served, policy);
            if answered.unfinished_checksum {
                stats.unfinished_checksums.add(1);
            }
            if answered.length > 0 {
                outcomes.push(answered.outcome);
            } else {
                stats.count(answered.outcome);
            }
            answered.length
        });
        self.transmit()?;
        if self.context.stats.batches.get().is_multiple_of(PUBLISH_BATCHES) {
            self.publish();
        }
        Ok(true)
    }

    #[inline]
    fn transmit(&mut self) -> io::Result<()> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let unsent = self.frames.send();
        let sent = self.outcomes.len() - unsent;
        for (index, outcome) in self.outcomes.drain(..).enumerate() {
            self.context.stats.count(if index < sent { outcome } else { Outcome::TransmitFull });
        }
        if self.busy_poll || self.frames.socket().transmit_needs_wakeup() {
            self.wake_transmit()?;
        }
        if self.frames.socket().fill_needs_wakeup() {
            self.wake_receive()?;
        }
        Ok(())
    }

    /// Sends what the control thread has left. Frames that find no room are not sent.
    #[cold]
    fn send_outbox(&mut self) -> io::Result<()> {
        let frames = self.context.outbox.take();
        if frames.is_empty() {
            return Ok(());
        }
        self.frames.reclaim();
        self.frames.write(frames.len(), |index, buffer| {
            let frame = &frames[index];
            buffer[..frame.len()].copy_from_slice(frame);
            frame.len()
        });
        self.frames.send();
        self.wake_transmit()
    }

    fn wake_transmit(&mut self) -> io::Result<()> {
        for _ in 0..WAKE_CALLS {
            self.context.stats.wakeups.add(1);
            match self.frames.socket().wake_transmit() {
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                other => return ignore_transient(other),
            }
        }
        Ok(())
    }

    fn wake_receive(&mut self) -> io::Result<()> {
        self.context.stats.wakeups.add(1);
        self.frames.socket().wake_receive()
    }

    /// Waits for a frame or the order to stop, at most for [`SLEEP`].
    fn sleep(&mut self) -> io::Result<()> {
        self.context.stats.idle.add(1);
        // Before the sleep, which costs far more than reading the clock.
        if self.published.elapsed() >= PUBLISH_PERIOD {
            self.publish();
            self.send_outbox()?;
        }
        let stop = Arc::clone(&self.context.stop);
        let mut waiting =
            [PollFd::new(self.frames.socket(), PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        match poll(&mut waiting, Some(&SLEEP)) {
            // A socket whose interface was removed never becomes readable; a wake-up reports it.
            Ok(0) => self.wake_receive(),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers what was received before the socket left the map, and lets the replies leave.
    fn drain(&mut self, served: &Served, policy: &Policy) -> io::Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.serve_batch(served, policy)? && Instant::now() < deadline {}
        while self.frames.occupancy().transmit > 0 && Instant::now() < deadline {
            self.wake_transmit()?;
            self.frames.reclaim();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.publish();
        Ok(())
    }

    /// Publishes the kernel's counts and where the frames are: between batches, and not after every batch.
    #[cold]
    fn publish(&mut self) {
        self.published = Instant::now();
        let occupancy = self.frames.occupancy();
        let frames = &self.context.stats.frames;
        frames.free.set(occupancy.free as u64);
        frames.fill.set(occupancy.fill as u64);
        frames.held.set(occupancy.held as u64);
        frames.transmit.set(occupancy.transmit as u64);
        // Fails only on a closed socket, whose counts do not change any more.
        if let Ok(statistics) = self.frames.socket().statistics() {
            let kernel = &self.context.stats.kernel;
            let [rx_dropped, rx_ring_full, rx_fill_ring_empty, rx_invalid, tx_invalid] = self.former;
            kernel.rx_dropped.set(rx_dropped + statistics.rx_dropped());
            kernel.rx_ring_full.set(rx_ring_full + statistics.rx_ring_full());
            kernel.rx_fill_ring_empty.set(rx_fill_ring_empty + statistics.rx_fill_ring_empty_descs());
            kernel.rx_invalid.set(rx_invalid + statistics.rx_invalid_descs());
            kernel.tx_invalid.set(tx_invalid + statistics.tx_invalid_descs());
        }
    }
}
