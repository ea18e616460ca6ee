//! One interface over AF_XDP: its program, sockets and workers, started and stopped in the one order
//! that loses nothing. Up: attach, bind, fill, then into the map. Down: out of the map, detach, close.

pub(crate) mod bind;
mod fallback;
pub mod frame_queue;
mod link;
mod mode;
mod poll_budget;
pub mod program;
mod queue;
mod request;
pub mod socket;
pub mod umem;
mod worker;

pub(crate) use fallback::{attach, bind_modes};
pub use mode::{BindMode, XdpMode};
pub(crate) use program::object_present;
pub(crate) use request::{AfXdpRequest, EndedQueue, ServedQueue, TakenOverLink};
pub use umem::{FRAME_SIZE, FRAMES, RING_SIZE};

use super::step_down::{is_denied, must_not_step_down};
use super::{InheritedLink, StepDown};
use crate::config::FixedConfig;
use crate::error::{Failure, Result};
use crate::interface::{self, Interface, NapiSettings};
use crate::served::Served;
use arc_swap::ArcSwap;
use bind::QueuePlan;
use program::XdpProgram;
use queue::QueueThread;
use std::io;
use std::sync::Arc;
use xstun_core::classify::Verdict;

/// An interface that is served over AF_XDP. Dropping it takes everything down.
pub(crate) struct AfXdp {
    interface: Interface,
    program: XdpProgram,
    mode: XdpMode,
    served: Arc<ArcSwap<Served>>,
    queues: Vec<QueueThread>,
    ended: Vec<EndedQueue>,
    /// The kernel's stack has the frames of all queues, for good.
    down: bool,
    napi: Option<NapiSettings>,
    step_downs: Vec<StepDown>,
}

impl AfXdp {
    /// Takes `interface` as high on the ladder as it goes: native before generic, zero-copy before copy,
    /// and every queue that can be bound.
    ///
    /// # Errors
    /// Nothing is available, or not what a flag pins, or there are fewer queues than asked for. Nothing is
    /// left attached or changed.
    pub(crate) fn start(
        interface: Interface,
        request: &AfXdpRequest<'_>,
        taken_over: Option<TakenOverLink<'_>>,
    ) -> Result<Self> {
        let config = request.config;
        let available = interface::receive_queues(&interface);
        let queues = wanted_queues(&interface, config, available)?;
        if taken_over.is_none() {
            refuse_other_program(&interface)?;
        }
        let mut step_downs = Vec::new();
        let mut program = XdpProgram::load(available, config.xdp_log)
            .map_err(|failure| if is_denied(&failure) { failure.remedy(fallback::GRANT) } else { failure })?;
        // Before it runs: while its map of sockets is empty it passes everything, and a program that
        // replaces the predecessor's must know the endpoints at once.
        program.serve(&request.served)?;
        let mut predecessor = None;
        let mode = match taken_over {
            None => attach(&mut program, &interface, config.xdp_mode, &mut step_downs)
                .map_err(|failure| fallback::explain(failure, &interface))?,
            Some(TakenOverLink { link, release }) => {
                let mode = fallback::inherited_mode(&link, config.xdp_mode)?;
                program.take_over(&interface, mode, link.link)?;
                predecessor = Some((link.napi, release));
                mode
            }
        };
        let served = Arc::new(ArcSwap::from_pointee(request.served.clone()));
        let mut path = AfXdp {
            interface,
            program,
            mode,
            served,
            queues: Vec::new(),
            ended: Vec::new(),
            down: false,
            napi: None,
            step_downs,
        };
        let vacated = predecessor.is_some();
        if let Some((napi, release)) = predecessor {
            release(path.interface.index)?;
            // Until then the predecessor restores the settings, since it may still be polling.
            path.napi = napi;
        }
        path.prepare_busy_poll(config)?;
        path.bind(queues, request, vacated)?;
        path.enter_sockets()?;
        Ok(path)
    }

    /// Defers the NIC's interrupts for `--busy-poll`, and keeps the settings to restore. Without the flag,
    /// restores at once what the predecessor changed, while this thread still may: it gives that
    /// capability up later.
    fn prepare_busy_poll(&mut self, config: &FixedConfig) -> Result<()> {
        if !config.busy_poll {
            self.restore_napi();
            return Ok(());
        }
        let before = match self.napi {
            Some(before) => before,
            None => NapiSettings::read(&self.interface)?,
        };
        self.napi = Some(before);
        before.for_busy_polling().write(&self.interface)
    }

    /// Binds a socket and starts a worker for each of the first `queues` queues. `vacated`: the
    /// predecessor has just closed its sockets of these.
    fn bind(&mut self, queues: u32, request: &AfXdpRequest<'_>, vacated: bool) -> Result<()> {
        let busy_poll = request.config.busy_poll;
        let (modes, zero_copy) = bind_modes(&self.interface, self.mode, request.config.bind_mode, busy_poll)?;
        self.step_downs.extend(zero_copy);
        for (number, &core) in (0..queues).zip(request.cores.iter().cycle()) {
            let (interface, modes) = (self.interface.name.clone(), modes.clone());
            let plan = QueuePlan { interface, number, core, modes, busy_poll, vacated };
            match QueueThread::start(plan, Arc::clone(&self.served), Arc::clone(&request.policy)) {
                Ok(queue) => {
                    self.step_downs.extend(queue.step_downs.clone());
                    self.queues.push(queue);
                }
                Err(failure) if must_not_step_down(request.config, &failure) => return Err(failure),
                Err(failure) => self.step_downs.push(StepDown::new(format!("queue {number}"), &failure)),
            }
        }
        if self.queues.is_empty() {
            let reasons: Vec<String> = self.step_downs.iter().map(ToString::to_string).collect();
            return Err(Failure::system(format!("no queue of {} can be served", self.interface.name))
                .because(reasons.join("; ")));
        }
        Ok(())
    }

    /// Enters each socket into the program's map, and lets its worker begin.
    fn enter_sockets(&mut self) -> Result<()> {
        for queue in &mut self.queues {
            self.program.enter_socket(queue.number, queue.socket)?;
            queue.begin();
        }
        Ok(())
    }

    /// Serves `now` from here on. The workers learn it before the program does, so that no frame reaches a
    /// worker that does not know its address.
    ///
    /// # Errors
    /// The kernel refused a map update; the old state may then be partly in force.
    pub(crate) fn update(&mut self, interface: Interface, now: Served) -> Result<()> {
        self.interface = interface;
        if **self.served.load() == now {
            return Ok(());
        }
        let result = self.program.serve(&now);
        self.served.store(Arc::new(now));
        result
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

    /// Puts the program back after a successor replaced it and ended. Queues that are closed stay closed:
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
        self.ended.push(EndedQueue { number: queue.number, core: queue.core, stats });
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

    /// The queues whose worker ended.
    pub(crate) fn ended(&self) -> &[EndedQueue] {
        &self.ended
    }

    /// The program's verdicts so far.
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(crate) fn verdicts(&self) -> Result<[u64; Verdict::ALL.len()]> {
        self.program.verdicts()
    }

    /// Writes the program's log records to the log. See `--xdp-log`.
    pub(crate) fn flush_log(&mut self) {
        self.program.flush_log();
    }
}

impl Drop for AfXdp {
    fn drop(&mut self) {
        self.step_down();
        self.program.detach();
        self.end_workers();
        self.restore_napi();
    }
}

/// Returns how many queues to serve: all, or as many as `--queues` says.
///
/// # Errors
/// Usage: the interface has fewer.
fn wanted_queues(interface: &Interface, config: &FixedConfig, available: u32) -> Result<u32> {
    let queues = config.queues.unwrap_or(available);
    if queues <= available {
        return Ok(queues);
    }
    let name = &interface.name;
    let plural = if available == 1 { "" } else { "s" };
    Err(Failure::usage(format!("--queues {queues}: {name} has {available} receive queue{plural}"))
        .of_value("--queues", queues)
        .remedy(format!("`ethtool -L {name} combined {queues}` makes more, where the NIC has them")))
}

/// Refuses an interface that has an XDP program, which ours would displace.
fn refuse_other_program(interface: &Interface) -> Result<()> {
    let Some(other) = &interface.xdp else { return Ok(()) };
    let (name, id) = (&interface.name, other.program_id);
    Err(Failure::system(format!(
        "{name} has an XDP program already (id {id}, {}), and --interface {name} would displace it",
        other.mode.name()
    ))
    .because(io::Error::from_raw_os_error(libc::EBUSY))
    .remedy(format!(
        "detach it (`bpftool prog show id {id}` shows what it is, `ip link set dev {name} xdp off` detaches it), \
         or serve with --datapath socket"
    )))
}
