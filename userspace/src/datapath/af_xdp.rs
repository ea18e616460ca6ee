//! One interface over AF_XDP: its program, sockets and workers, started and stopped in the one order
//! that loses nothing. Up: attach, bind, fill, then into the map. Down: out of the map, detach, close.

mod answers;
pub(crate) mod bind;
mod ended;
mod fallback;
pub mod frame_queue;
mod kernel_answers;
mod link;
mod mode;
mod outbox;
mod poll_budget;
pub mod program;
mod queue;
mod reception;
mod request;
pub mod socket;
mod solicitation;
mod start;
pub mod umem;
mod worker;

pub(crate) use fallback::{attach, bind_modes};
pub(crate) use kernel_answers::{
    ANSWERS_RUNG, AnswerDecision, decide_by_default, no_kernel_answers, pinned_kernel_answers,
};
pub use mode::{BindMode, XdpMode};
pub(crate) use program::object_present;
pub(crate) use request::{AfXdpRequest, EndedQueue, ServedQueue, TakenOverLink};
pub use umem::{FRAME_SIZE, FRAMES, RING_SIZE};

use super::{InheritedLink, StepDown};
use crate::error::{Failure, Result};
use crate::interface::{Interface, NapiSettings};
use answers::KernelAnswers;
use arc_swap::ArcSwap;
use ended::EndedQueues;
use program::XdpProgram;
use queue::QueueThread;
use std::sync::Arc;
use xstun_core::classify::Verdict;
use xstun_core::served::Served;
use xstun_core::stun::Policy;
use xstun_ebpf::loss::DriverLoss;

/// An interface that is served over AF_XDP. Dropping it takes everything down.
pub(crate) struct AfXdp {
    interface: Interface,
    program: XdpProgram,
    mode: XdpMode,
    served: Arc<ArcSwap<Served>>,
    policy: Arc<ArcSwap<Policy>>,
    answers: KernelAnswers,
    busy_poll: bool,
    queues: Vec<QueueThread>,
    ended: EndedQueues,
    /// The kernel's stack has the frames of all queues, for good.
    down: bool,
    napi: Option<NapiSettings>,
    step_downs: Vec<StepDown>,
    /// Requests to the neighbours that answered the kernel just before the queues were bound.
    solicitations: Vec<Vec<u8>>,
    /// Why what the driver loses is not counted; `None` if it is.
    uncounted_losses: Option<Failure>,
}

impl AfXdp {
    /// Serves `now` from here on, by the policy in force. The program follows before the workers, so that frames on
    /// their way to a removed address are still answered. Between the two, a worker counts a frame to an added
    /// address as not served.
    ///
    /// # Errors
    /// The kernel refused a map update; the old state may then be partly in force, until a later call succeeds.
    pub(crate) fn update(&mut self, interface: Interface, now: Served) -> Result<()> {
        self.interface = interface;
        let permissions = answers::permissions(&now, &self.policy.load(), self.answers.decision().on);
        let result = self.program.serve_with(&now, &permissions);
        if **self.served.load() != now {
            self.served.store(Arc::new(now));
        }
        result
    }

    /// Whether the program's maps lack a part of what was wanted last, because the kernel refused an update.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.queues.is_empty() && !self.program.is_complete()
    }

    /// Leaves queues whose worker ended (the interface was removed) to the kernel's stack. Returns their
    /// numbers and why they ended.
    pub(crate) fn reap(&mut self) -> Vec<(u32, Failure)> {
        let mut failures = Vec::new();
        let (alive, dead): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queues).into_iter().partition(|queue| !queue.has_ended());
        self.queues = alive;
        for queue in dead {
            self.program.remove_socket(queue.number);
            let number = queue.number;
            if let Err(failure) = self.join(queue) {
                failures.push((number, failure));
            }
        }
        failures
    }

    /// Leaves every queue to the kernel's stack, for good. Workers and sockets stay as they are.
    pub(crate) fn step_down(&mut self) {
        self.down = true;
        for queue in &self.queues {
            self.program.remove_socket(queue.number);
        }
    }

    /// Whether the kernel's stack has all queues, after [`AfXdp::step_down`] or [`AfXdp::close_queues`].
    pub(crate) fn has_stepped_down(&self) -> bool {
        self.down
    }

    /// The kernel's ID of the XDP program, as `ip link` shows it while it is attached.
    pub(crate) fn program_id(&self) -> u32 {
        self.program.id()
    }

    /// Duplicates the attachment for the successor. `None` if nothing is attached any more.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(crate) fn duplicate_link(&self) -> Result<Option<InheritedLink>> {
        let link = self.program.duplicate_link()?;
        Ok(link.map(|link| InheritedLink {
            interface: self.interface.name.clone(),
            index: self.interface.index,
            native: self.mode == XdpMode::Native,
            napi: self.napi,
            link,
        }))
    }

    /// Answers what the queues hold and closes them, so that the successor, whose program runs already, can
    /// bind them. From here on the successor restores the NAPI settings.
    pub(crate) fn close_queues(&mut self) {
        self.down = true;
        self.napi = None;
        self.end_workers();
    }

    /// Restores the program after a successor replaced it and ended. Queues that are closed stay closed:
    /// their frames pass to the sockets.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn restore(&mut self) -> Result<()> {
        self.program.restore()
    }

    fn restore_napi(&mut self) {
        if let Some(before) = self.napi.take()
            && let Err(failure) = before.write(&self.interface)
        {
            tracing::warn!("{failure}");
        }
    }

    fn end_workers(&mut self) {
        for queue in &self.queues {
            queue.stop();
        }
        for queue in std::mem::take(&mut self.queues) {
            if let Err(failure) = self.join(queue) {
                tracing::warn!("{failure}");
            }
        }
    }

    /// Waits for the end of a queue's worker and keeps its counters.
    fn join(&mut self, queue: QueueThread) -> Result<()> {
        let stats = Arc::clone(&queue.stats);
        self.ended.add(EndedQueue { number: queue.number, core: queue.core, stats });
        queue.join()
    }

    /// The interface, as last seen.
    pub(crate) fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Where the program runs.
    pub(crate) fn mode(&self) -> XdpMode {
        self.mode
    }

    /// The endpoints that are served now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// The queues that have a worker.
    pub(crate) fn queues(&self) -> impl Iterator<Item = ServedQueue<'_>> {
        self.queues.iter().map(|queue| ServedQueue {
            number: queue.number,
            core: queue.core,
            mode: queue.mode,
            stats: &queue.stats,
        })
    }

    /// The steps down at the start.
    pub(crate) fn step_downs(&self) -> &[StepDown] {
        &self.step_downs
    }

    /// The queues whose worker ended, and that no other worker serves.
    pub(crate) fn ended(&self) -> &[EndedQueue] {
        self.ended.as_slice()
    }

    /// The program's verdicts so far.
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(crate) fn verdicts(&self) -> Result<[u64; Verdict::COUNT]> {
        self.program.verdicts()
    }

    /// What the driver lost so far after the program's verdicts, in the order of [`DriverLoss::ALL`]; `None` if
    /// that is not counted.
    pub(crate) fn losses(&self) -> Option<[u64; DriverLoss::COUNT]> {
        if self.uncounted_losses.is_some() { None } else { self.program.losses().ok() }
    }

    /// Why what the driver loses is not counted; `None` if it is.
    pub(crate) fn uncounted_losses(&self) -> Option<&Failure> {
        self.uncounted_losses.as_ref()
    }

    /// Writes the program's log records to the log. See `--xdp-log`.
    pub(crate) fn flush_log(&mut self) {
        self.program.flush_log();
    }
}

impl Drop for AfXdp {
    fn drop(&mut self) {
        self.detach();
    }
}
