//! The loop: one thread, one core, one queue.

use super::patience::Patience;
use super::socket::{XdpSocket, is_passing};
use super::umem::UmemFrame;
use crate::answer::answer;
use crate::outcome::Outcome;
use crate::served::Served;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::Policy;
use arc_swap::{ArcSwap, Cache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use xstun_core::rings::{BATCH, Rings};

/// Longest sleep: the age of what is published, and how often an idle worker shows that it turns.
const SLEEP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Batches, or empty rounds of a worker that polls, between two publications on a queue that never
/// sleeps.
const PUBLISH_ROUNDS: u64 = 4096;
/// Time between two publications on a queue that sleeps.
const PUBLISH_PERIOD: Duration = Duration::from_secs(1);
/// How long replies may take to leave when the worker stops.
const DRAIN: Duration = Duration::from_millis(200);
/// Calls that one wake-up may take while the kernel says that its budget for a call is used up (32
/// frames before Linux 6.18).
const WAKE_CALLS: u32 = (BATCH / 32) as u32 + 1;

/// What a worker reads of the rest of the program.
pub struct Shared {
    /// What is served on the worker's interface.
    pub served: Arc<ArcSwap<Served>>,
    /// The operator's policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The worker's counters.
    pub stats: Arc<WorkerStats>,
    /// The order to stop.
    pub stop: Arc<Stop>,
}

/// A queue's worker, once its socket is bound and its fill ring filled.
pub struct Worker {
    rings: Rings<XdpSocket>,
    shared: Shared,
    busy_poll: bool,
    received: Vec<UmemFrame>,
    replies: Vec<UmemFrame>,
    /// How each of `replies` ends if it leaves.
    endings: Vec<Outcome>,
    /// When the kernel's counts and the levels of the rings were last told.
    published: Instant,
}

impl Worker {
    /// Fills the fill ring, and asks the kernel once to look at each ring: some drivers bind a
    /// socket and can not serve it.
    ///
    /// # Errors
    /// What the kernel said to the first wake-up, where that means that it never will.
    pub fn new(
        socket: XdpSocket,
        frames: Vec<UmemFrame>,
        shared: Shared,
        busy_poll: bool,
    ) -> io::Result<Self> {
        let mut worker = Worker {
            rings: Rings::new(socket, frames),
            shared,
            busy_poll,
            received: Vec::with_capacity(BATCH),
            replies: Vec::with_capacity(BATCH),
            endings: Vec::with_capacity(BATCH),
            published: Instant::now(),
        };
        worker.rings.refill();
        let socket = worker.rings.queues();
        for probe in [socket.wake_transmit(), socket.wake_receive()] {
            judge(probe)?;
        }
        worker.publish();
        Ok(worker)
    }

    /// Serves until told to stop, then lets what was received be answered and leave.
    ///
    /// # Errors
    /// The interface is gone. A stranger cannot bring that about; everything that one can is counted
    /// and lived with.
    pub fn run(mut self) -> io::Result<()> {
        let mut served = Cache::new(Arc::clone(&self.shared.served));
        let mut policy = Cache::new(Arc::clone(&self.shared.policy));
        let mut patience = Patience::default();
        let mut polls: u64 = 0;
        while !self.shared.stop.is_ordered() {
            if self.turn(served.load(), policy.load())? {
                patience.found();
            } else if self.busy_poll {
                self.shared.stats.idle.add(1);
                self.wake_receive()?;
                polls += 1;
                if polls.is_multiple_of(PUBLISH_ROUNDS) {
                    self.publish();
                }
            } else if patience.looks_again() {
                std::hint::spin_loop();
            } else {
                self.sleep()?;
            }
        }
        self.drain(served.load(), policy.load())
    }

    /// One batch; whether there was one.
    #[inline]
    fn turn(&mut self, served: &Served, policy: &Policy) -> io::Result<bool> {
        self.rings.reclaim();
        self.rings.refill();
        let received = self.rings.receive(&mut self.received);
        if received == 0 {
            return Ok(false);
        }
        let stats = &self.shared.stats;
        stats.received.add(received as u64);
        stats.batches.add(1);
        for mut frame in self.received.drain(..) {
            let answered = self.rings.queues().umem().edit(&mut frame, |buffer, length| {
                let answered = answer(buffer, length, served, policy);
                (answered.length, answered)
            });
            if answered.unfinished_checksum {
                stats.unfinished_checksums.add(1);
            }
            if answered.length > 0 {
                self.replies.push(frame);
                self.endings.push(answered.outcome);
            } else {
                self.rings.recycle(frame);
                stats.count(answered.outcome);
            }
        }
        self.transmit()?;
        if self.shared.stats.batches.get().is_multiple_of(PUBLISH_ROUNDS) {
            self.publish();
        }
        Ok(true)
    }

    #[inline]
    fn transmit(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let unsent = self.rings.send(&mut self.replies);
        let sent = self.endings.len() - unsent;
        for (index, ending) in self.endings.drain(..).enumerate() {
            self.shared.stats.count(if index < sent { ending } else { Outcome::TransmitFull });
        }
        if self.busy_poll || self.rings.queues().transmit_needs_wakeup() {
            self.wake_transmit()?;
        }
        if self.rings.queues().fill_needs_wakeup() {
            self.wake_receive()?;
        }
        Ok(())
    }

    fn wake_transmit(&mut self) -> io::Result<()> {
        for _ in 0..WAKE_CALLS {
            self.shared.stats.wakeups.add(1);
            match self.rings.queues().wake_transmit() {
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                other => return judge(other),
            }
        }
        Ok(())
    }

    fn wake_receive(&mut self) -> io::Result<()> {
        self.shared.stats.wakeups.add(1);
        judge(self.rings.queues().wake_receive())
    }

    /// Waits for a frame, the order to stop, or [`SLEEP`].
    fn sleep(&mut self) -> io::Result<()> {
        self.shared.stats.idle.add(1);
        // Before the sleep, which costs far more than the look at the clock.
        if self.published.elapsed() >= PUBLISH_PERIOD {
            self.publish();
        }
        let stop = Arc::clone(&self.shared.stop);
        let mut waiting =
            [PollFd::new(self.rings.queues(), PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        match poll(&mut waiting, Some(&SLEEP)) {
            // A socket whose interface was removed never turns readable; asked, it says so.
            Ok(0) => self.wake_receive(),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers what was received before the socket left the map, and lets replies leave.
    fn drain(&mut self, served: &Served, policy: &Policy) -> io::Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.turn(served, policy)? && Instant::now() < deadline {}
        while self.rings.occupancy().transmit > 0 && Instant::now() < deadline {
            self.wake_transmit()?;
            self.rings.reclaim();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.publish();
        Ok(())
    }

    /// Tells the kernel's counts and where the frames are. Never on a frame's way: between batches, now
    /// and then.
    #[cold]
    fn publish(&mut self) {
        self.published = Instant::now();
        let occupancy = self.rings.occupancy();
        let frames = &self.shared.stats.frames;
        frames.free.set(occupancy.free as u64);
        frames.fill.set(occupancy.fill as u64);
        frames.held.set(occupancy.held as u64);
        frames.transmit.set(occupancy.transmit as u64);
        // Refused only on a closed socket; counts that stand still are then the truth.
        if let Ok(told) = self.rings.queues().statistics() {
            let kernel = &self.shared.stats.kernel;
            kernel.rx_dropped.set(told.rx_dropped());
            kernel.rx_ring_full.set(told.rx_ring_full());
            kernel.rx_fill_ring_empty.set(told.rx_fill_ring_empty_descs());
            kernel.rx_invalid.set(told.rx_invalid_descs());
            kernel.tx_invalid.set(told.tx_invalid_descs());
        }
    }
}

/// Tells a wake-up that may succeed later from one that never will.
fn judge(woken: io::Result<()>) -> io::Result<()> {
    match woken {
        Err(error) if !is_passing(&error) => Err(error),
        _ => Ok(()),
    }
}
