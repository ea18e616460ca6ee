//! One interface over AF_XDP: program, sockets and workers, brought up and down in the one order
//! that loses nothing. Up: attach, bind, fill, into the map. Down: out of the map, detach, close.

mod link;
mod patience;
pub mod program;
pub(crate) mod queue;
pub mod socket;
pub mod umem;
mod worker;

pub use program::{XdpMode, object_present};
pub use socket::BindMode;
pub use umem::{FRAME_SIZE, FRAMES, RING_SIZE};
pub use xstun_core::rings::Occupancy;

use super::drivers::{self, ZeroCopy};
use super::{InheritedLink, StepDown};
use crate::config::{BindModeArg, FixedConfig, XdpModeArg};
use crate::error::{Failure, Result};
use crate::interface::{self, Interface, NapiSettings};
use crate::kernel;
use crate::served::Served;
use crate::stats::WorkerStats;
use crate::stun::Policy;
use arc_swap::ArcSwap;
use program::Program;
use queue::Queue;
use std::io;
use std::sync::Arc;
use xstun_core::classify::Verdict;

/// An interface that is served over AF_XDP. Dropping it takes everything down.
pub struct AfXdp {
    interface: Interface,
    program: Program,
    mode: XdpMode,
    served: Arc<ArcSwap<Served>>,
    queues: Vec<Queue>,
    ended: Vec<Ended>,
    /// The queues were left to the kernel's stack for good.
    released: bool,
    napi: Option<NapiSettings>,
    /// What was stepped down from, and why.
    pub stepped_down: Vec<StepDown>,
}

/// What is left of a queue whose worker ended: what it counted did happen.
pub struct Ended {
    /// The queue's number.
    pub number: u32,
    /// Where its worker ran.
    pub core: usize,
    /// The worker's counters.
    pub stats: Arc<WorkerStats>,
}

/// What [`AfXdp::start`] needs beside the interface.
pub struct Request<'a> {
    /// The operator's wishes.
    pub config: &'a FixedConfig,
    /// What to serve at first.
    pub served: Served,
    /// The policy, shared by all workers.
    pub policy: Arc<ArcSwap<Policy>>,
    /// One core for each queue, in their order; taken in turn where there are fewer.
    pub cores: &'a [usize],
}

/// An attachment that another process hands over.
pub struct Inherited<'a> {
    /// The attachment.
    pub link: InheritedLink,
    /// Has the other process close its queues of the interface of this index.
    pub release: &'a mut dyn FnMut(u32) -> Result<()>,
}

/// Where the program of an inherited attachment runs, which is fixed.
///
/// # Errors
/// Another mode is pinned.
fn inherited_mode(link: &InheritedLink, wanted: XdpModeArg) -> Result<XdpMode> {
    let mode = if link.native { XdpMode::Native } else { XdpMode::Generic };
    let pinned = match wanted {
        XdpModeArg::Auto => mode,
        XdpModeArg::Native => XdpMode::Native,
        XdpModeArg::Generic => XdpMode::Generic,
    };
    if pinned == mode {
        return Ok(mode);
    }
    Err(Failure::usage(format!(
        "--xdp-mode {} cannot be had by --take-over: the XDP program on {} runs in {} mode, which is fixed",
        pinned.name(),
        link.interface,
        mode.name()
    ))
    .of_value("--xdp-mode", pinned.name())
    .remedy("use --xdp-mode auto, or stop the other server and start this one"))
}

impl AfXdp {
    /// Takes `interface` as high on the ladder as it goes: native before generic, zero-copy before
    /// copy, every queue that can be had.
    ///
    /// # Errors
    /// Nothing could be had, or not what a flag pins, or too many queues were asked for. Nothing is
    /// left attached or changed.
    pub fn start(
        interface: Interface,
        request: &Request<'_>,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Self> {
        let config = request.config;
        let available = interface::receive_queues(&interface);
        let queues = config.queues.unwrap_or(available);
        if queues > available {
            return Err(Failure::usage(format!(
                "--queues {queues}: {} has {available} receive queue{}",
                interface.name,
                if available == 1 { "" } else { "s" }
            ))
            .of_value("--queues", queues)
            .remedy(format!(
                "`ethtool -L {} combined {queues}` makes more, where the NIC has them",
                interface.name
            )));
        }
        if let (Some(other), None) = (&interface.xdp, &inherited) {
            return Err(Failure::system(format!(
                "{} has an XDP program already (id {}, {}), and --interface {} would displace it",
                interface.name,
                other.program_id,
                other.mode.name(),
                interface.name
            ))
            .because(io::Error::from_raw_os_error(libc::EBUSY))
            .remedy(format!(
                "take it off (`bpftool prog show id {}` tells what it is, `ip link set dev {} xdp off` detaches \
                 it), or serve with --datapath socket",
                other.program_id, interface.name
            )));
        }
        let mut stepped_down = Vec::new();
        let mut program = Program::load(available, config.xdp_log)
            .map_err(|failure| if is_denied(&failure) { failure.remedy(GRANT) } else { failure })?;
        // Before it runs: with no socket in its map it passes all on, and one that takes another's place
        // must know the endpoints at once.
        program.serve(&request.served)?;
        let mut other = None;
        let mode = match inherited {
            None => attach(&mut program, &interface, config.xdp_mode, &mut stepped_down)
                .map_err(|failure| explain(failure, &interface))?,
            Some(Inherited { link, release: of_other }) => {
                let mode = inherited_mode(&link, config.xdp_mode)?;
                program.take_over(&interface, mode, link.link)?;
                other = Some((link.napi, of_other));
                mode
            }
        };
        let mut path = AfXdp {
            interface,
            program,
            mode,
            served: Arc::new(ArcSwap::from_pointee(request.served.clone())),
            queues: Vec::new(),
            ended: Vec::new(),
            released: false,
            napi: None,
            stepped_down,
        };
        let vacated = other.is_some();
        if let Some((napi, release)) = other {
            release(path.interface.index)?;
            // Before that they are the other's to put back, which may still be polling.
            path.napi = napi;
        }
        path.prepare_busy_poll(config)?;
        path.bind(queues, request, vacated)?;
        for queue in &mut path.queues {
            path.program.enter_socket(queue.number, queue.socket)?;
            queue.go();
        }
        Ok(path)
    }

    /// Defers the NIC's interrupts for `--busy-poll`, and remembers what to put back. Without it, puts back
    /// at once what another process changed: the right to do it later is given up.
    fn prepare_busy_poll(&mut self, config: &FixedConfig) -> Result<()> {
        if !config.busy_poll {
            self.put_napi_back();
            return Ok(());
        }
        let before = match self.napi {
            Some(before) => before,
            None => NapiSettings::read(&self.interface)?,
        };
        self.napi = Some(before);
        before.for_busy_polling().write(&self.interface)
    }

    /// Binds a socket and starts a worker on each of the first `queues` queues, which another process may
    /// have `vacated` just now.
    fn bind(&mut self, queues: u32, request: &Request<'_>, vacated: bool) -> Result<()> {
        let (modes, zero_copy) =
            bind_modes(&self.interface, self.mode, request.config.bind_mode, request.config.busy_poll)?;
        self.stepped_down.extend(zero_copy);
        for (number, &core) in (0..queues).zip(request.cores.iter().cycle()) {
            let place = queue::Place {
                interface: self.interface.name.clone(),
                number,
                core,
                modes: modes.clone(),
                busy_poll: request.config.busy_poll,
                vacated,
            };
            match Queue::start(place, Arc::clone(&self.served), Arc::clone(&request.policy)) {
                Ok(queue) => {
                    self.stepped_down.extend(queue.stepped_down.clone());
                    self.queues.push(queue);
                }
                Err(failure) if super::must_not_step_down(request.config, &failure) => return Err(failure),
                Err(failure) => self.stepped_down.push(StepDown::new(format!("queue {number}"), &failure)),
            }
        }
        if self.queues.is_empty() {
            let reasons: Vec<String> = self.stepped_down.iter().map(ToString::to_string).collect();
            return Err(Failure::system(format!("no queue of {} can be served", self.interface.name))
                .because(reasons.join("; ")));
        }
        Ok(())
    }

    /// Serves `now` from here on: first the workers, then the program, so that no frame reaches a
    /// worker that does not know its address.
    ///
    /// # Errors
    /// The kernel refused a map update; the old state may then be partly in force.
    pub fn update(&mut self, interface: Interface, now: Served) -> Result<()> {
        self.interface = interface;
        if **self.served.load() == now {
            return Ok(());
        }
        let result = self.program.serve(&now);
        self.served.store(Arc::new(now));
        result
    }

    /// Leaves queues whose worker ended (the interface went away) to the kernel's stack; gives what
    /// they ended of.
    pub fn reap(&mut self) -> Vec<(u32, Failure)> {
        let mut ended = Vec::new();
        let (alive, dead): (Vec<Queue>, Vec<Queue>) =
            std::mem::take(&mut self.queues).into_iter().partition(|queue| !queue.has_ended());
        self.queues = alive;
        for queue in dead {
            self.program.remove_socket(queue.number);
            let number = queue.number;
            if let Err(failure) = self.bury(queue) {
                ended.push((number, failure));
            }
        }
        ended
    }

    /// Leaves every queue to the kernel's stack, workers and sockets as they are.
    pub fn release_queues(&mut self) {
        self.released = true;
        for queue in &self.queues {
            self.program.remove_socket(queue.number);
        }
    }

    /// Whether the queues were left to the kernel's stack; see [`AfXdp::release_queues`].
    pub fn is_released(&self) -> bool {
        self.released
    }

    /// The kernel's number of the XDP program, as `ip link` shows it while it is attached.
    pub fn program_id(&self) -> u32 {
        self.program.id()
    }

    /// What another process needs to go on where this one is. None if nothing is attached any more.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn bequeath(&self) -> Result<Option<InheritedLink>> {
        let link = self.program.bequeath()?;
        Ok(link.map(|link| InheritedLink {
            interface: self.interface.name.clone(),
            index: self.interface.index,
            native: self.mode == XdpMode::Native,
            napi: self.napi,
            link,
        }))
    }

    /// Answers what the queues hold and closes them, for another process to bind, whose program runs
    /// already. What the interface's settings were before is that one's to know from here on.
    pub fn let_go(&mut self) {
        self.released = true;
        self.napi = None;
        self.end_workers();
    }

    /// Puts the program back, where another process took its place and is gone. Queues that are closed
    /// stay so: frames pass to the sockets.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn restore(&mut self) -> Result<()> {
        self.program.restore()
    }

    fn put_napi_back(&mut self) {
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
            if let Err(failure) = self.bury(queue) {
                tracing::warn!("{failure}");
            }
        }
    }

    /// Waits for the end of a queue's worker and keeps its counters.
    fn bury(&mut self, queue: Queue) -> Result<()> {
        self.ended.push(Ended { number: queue.number, core: queue.core, stats: Arc::clone(&queue.stats) });
        queue.join()
    }

    /// The interface, as last seen.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Where the program runs.
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// What is served now.
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Each queue that is served: number, core, bind mode, counters.
    pub fn queues(&self) -> impl Iterator<Item = (u32, usize, BindMode, &Arc<WorkerStats>)> + '_ {
        self.queues.iter().map(|queue| (queue.number, queue.core, queue.mode, &queue.stats))
    }

    /// The queues whose worker ended.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// The program's verdicts so far.
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub fn verdicts(&self) -> Result<[u64; Verdict::ALL.len()]> {
        self.program.verdicts()
    }

    /// Passes the program's log on. See `--xdp-log`.
    pub fn flush_log(&mut self) {
        self.program.flush_log();
    }
}

impl Drop for AfXdp {
    fn drop(&mut self) {
        self.release_queues();
        self.program.detach();
        self.end_workers();
        self.put_napi_back();
    }
}

/// The bind modes to try, best first, and why zero-copy is not among them.
///
/// # Errors
/// Zero-copy is asked for, and the program does not run in the driver, or the driver's zero-copy cannot
/// be busy-polled as is asked for too.
pub(crate) fn bind_modes(
    interface: &Interface,
    mode: XdpMode,
    wanted: BindModeArg,
    busy_poll: bool,
) -> Result<(Vec<BindMode>, Option<StepDown>)> {
    let driver = interface::driver(interface).unwrap_or_default();
    let unpolled = drivers::no_busy_poll(&driver).filter(|_| busy_poll);
    match wanted {
        BindModeArg::Copy => return Ok((vec![BindMode::Copy], None)),
        BindModeArg::ZeroCopy if mode == XdpMode::Native => {
            return match unpolled {
                None => Ok((vec![BindMode::ZeroCopy], None)),
                Some(why) => Err(Failure::system(format!(
                    "--bind-mode zero-copy cannot be had on {} together with --busy-poll: {why}",
                    interface.name
                ))
                .of_value("--bind-mode", "zero-copy")
                .of("--busy-poll")
                .remedy("leave one of them away")),
            };
        }
        BindModeArg::ZeroCopy => {
            return Err(Failure::system(format!(
                "--bind-mode zero-copy cannot be had: the driver of {} has no native XDP",
                interface.name
            ))
            .of_value("--bind-mode", "zero-copy")
            .remedy("use --bind-mode auto"));
        }
        BindModeArg::Auto => {}
    }
    if mode == XdpMode::Generic {
        return Ok((vec![BindMode::Copy], None));
    }
    let why_not = match drivers::zero_copy(&driver, kernel::running()) {
        ZeroCopy::Trusted => unpolled,
        ZeroCopy::Untrusted(why) | ZeroCopy::Unsupported(why) => Some(why),
    };
    Ok(match why_not {
        None => (vec![BindMode::ZeroCopy, BindMode::Copy], None),
        Some(why) => (vec![BindMode::Copy], Some(StepDown { from: "zero-copy".into(), reason: why.into() })),
    })
}

/// Attaches in the best mode that `wanted` allows.
///
/// # Errors
/// The kernel's refusal of the last mode that was tried.
pub(crate) fn attach(
    program: &mut Program,
    interface: &Interface,
    wanted: XdpModeArg,
    stepped_down: &mut Vec<StepDown>,
) -> Result<XdpMode> {
    if wanted != XdpModeArg::Generic {
        match program.attach(interface, XdpMode::Native) {
            Ok(()) => return Ok(XdpMode::Native),
            Err(failure) if wanted == XdpModeArg::Native || is_denied(&failure) => return Err(failure),
            Err(failure) => stepped_down.push(StepDown::new("native", &failure)),
        }
    }
    program.attach(interface, XdpMode::Generic)?;
    Ok(XdpMode::Generic)
}

/// Whether the failure is about rights, which no lower rung has more of.
pub fn is_denied(failure: &Failure) -> bool {
    matches!(failure.errno(), Some(libc::EPERM | libc::EACCES))
}

/// What to do about a lack of rights.
const GRANT: &str = "run as root, or grant CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON and CAP_NET_RAW, or serve with --datapath socket";

/// Adds what to do about a refused attachment.
fn explain(failure: Failure, interface: &Interface) -> Failure {
    let Interface { name, mtu, .. } = interface;
    let remedy = match failure.errno() {
        Some(libc::EPERM | libc::EACCES) => GRANT.into(),
        Some(libc::EBUSY) => format!(
            "another XDP program is there: `ip link set dev {name} xdp off` detaches it, or serve with \
             --datapath socket"
        ),
        Some(libc::ERANGE | libc::EINVAL | libc::EOPNOTSUPP) if *mtu > 1500 => format!(
            "its MTU of {mtu} may be too large for the driver: lower it (`ip link set dev {name} mtu 1500`), or \
             use --xdp-mode generic"
        ),
        Some(libc::EOPNOTSUPP) => "its driver has no native XDP: use --xdp-mode auto or generic".into(),
        Some(libc::ENOTCONN) => "bring the other end of the veth pair up first".into(),
        _ => format!("`xstun doctor --interface {name}` tells more; --datapath socket serves without XDP"),
    };
    failure.remedy(remedy)
}
