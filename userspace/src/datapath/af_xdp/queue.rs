//! The thread of one queue: it binds, reports the result, and serves once its socket is in the map.

use super::bind::{QueuePlan, bind};
use super::frame_queue::FrameQueue;
use super::mode::BindMode;
use super::outbox::Outbox;
use super::worker::{QueueWorker, WorkerContext};
use crate::datapath::{StepDown, cores};
use crate::error::{Failure, Result};
use crate::privileges;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use arc_swap::ArcSwap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use xstun_core::served::Served;
use xstun_core::stun::Policy;

/// How many frames of a queue one preferred busy poll may take: a batch.
const BUSY_POLL_BUDGET: i32 = xstun_core::rings::BATCH as i32;

/// A bound queue, and the thread that serves it.
pub(super) struct QueueThread {
    pub(super) number: u32,
    pub(super) core: usize,
    pub(super) mode: BindMode,
    /// The AF_XDP socket, for the program's map. The thread owns it.
    pub(super) socket: RawFd,
    pub(super) stats: Arc<WorkerStats>,
    pub(super) step_downs: Vec<StepDown>,
    /// What the worker sends beside the replies.
    pub(super) outbox: Arc<Outbox>,
    stop: Arc<Stop>,
    begin: Option<SyncSender<()>>,
    thread: JoinHandle<Result<()>>,
}

/// What the thread reports of its bind.
struct Bound {
    socket: RawFd,
    mode: BindMode,
    step_downs: Vec<StepDown>,
}

impl QueueThread {
    /// Starts the thread and waits for its bind. The worker adds to `stats`, which no other worker does any more.
    ///
    /// # Errors
    /// The thread cannot be started or pinned, or no mode is available.
    pub(super) fn start(
        plan: QueuePlan,
        served: Arc<ArcSwap<Served>>,
        policy: Arc<ArcSwap<Policy>>,
        stats: Arc<WorkerStats>,
    ) -> Result<Self> {
        let stop = Stop::new().map_err(|error| Failure::system("cannot create an eventfd").because(error))?;
        let stop = Arc::new(stop);
        let outbox = Arc::new(Outbox::default());
        let context = WorkerContext {
            served,
            policy,
            stats: Arc::clone(&stats),
            stop: Arc::clone(&stop),
            outbox: Arc::clone(&outbox),
        };
        let (report, reported) = mpsc::sync_channel(1);
        let (begin, begun) = mpsc::sync_channel(1);
        let (number, core) = (plan.number, plan.core);
        let thread = thread::Builder::new()
            .name(thread_name(&plan))
            .spawn(move || run(&plan, context, &report, &begun))
            .map_err(|error| Failure::system("cannot start a worker thread").because(error))?;
        match reported.recv() {
            Ok(Bound { socket, mode, step_downs }) => {
                let begin = Some(begin);
                Ok(QueueThread { number, core, mode, socket, stats, step_downs, outbox, stop, begin, thread })
            }
            // The thread ended without a report: its result says why.
            Err(_) => Err(finish(thread)
                .err()
                .unwrap_or_else(|| Failure::system("a worker exited during its start"))),
        }
    }

    /// Lets the worker begin, once its socket is in the map.
    pub(super) fn begin(&mut self) {
        // Dropping the sender is the signal: it cannot fail, even if the thread has ended.
        self.begin = None;
    }

    /// Orders the worker to stop.
    pub(super) fn stop(&self) {
        self.stop.order();
    }

    /// Whether the worker ended by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker's end.
    ///
    /// # Errors
    /// Why it ended.
    pub(super) fn join(mut self) -> Result<()> {
        self.begin();
        finish(self.thread)
    }
}

/// The thread's name, within the 15 bytes that the kernel keeps.
fn thread_name(plan: &QueuePlan) -> String {
    let interface: String = plan.interface.chars().take(9).collect();
    format!("{interface}-q{}", plan.number)
}

fn finish(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(Failure::system("a worker thread panicked")))
}

/// The thread: pins itself, binds, fills the fill ring, reports, waits for the signal, serves.
fn run(
    plan: &QueuePlan,
    context: WorkerContext,
    report: &SyncSender<Bound>,
    begun: &Receiver<()>,
) -> Result<()> {
    cores::pin(plan.core)?;
    let (socket, mode, step_downs) = bind(plan)?;
    let queue = || format!("queue {} of {}", plan.number, plan.interface);
    if plan.busy_poll {
        socket.prefer_busy_poll(BUSY_POLL_BUDGET).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::Unsupported => "leave --busy-poll out: interrupts serve it",
                _ => "preferred busy polling needs Linux 5.11 and CAP_NET_ADMIN",
            };
            Failure::system(format!("cannot busy-poll {} (--busy-poll)", queue()))
                .of("--busy-poll")
                .because(error)
                .remedy(remedy)
        })?;
    }
    // Kernels before 6.18 have no such option and transmit 32 frames a call.
    let _ = socket.set_transmit_budget(xstun_core::rings::BATCH as u32);
    let fd = socket.as_raw_fd();
    let frames = FrameQueue::new(socket);
    let worker = QueueWorker::new(frames, context, plan.busy_poll).map_err(|error| {
        Failure::system(format!("the driver bound {} but does not serve it", queue())).because(error)
    })?;
    privileges::drop_all()?;
    // `QueueThread::start` waits for exactly this.
    let _ = report.send(Bound { socket: fd, mode, step_downs });
    // Returns when `QueueThread::begin`, or the end of the program, drops the sender.
    let _ = begun.recv();
    worker.run().map_err(|error| Failure::system(format!("the worker of {} ended", queue())).because(error))
}
