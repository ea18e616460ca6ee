//! One queue: its thread is started, reports what it could bind, and is told when to begin.

use super::socket::{BindMode, XdpSocket};
use super::umem::{Umem, UmemFrame};
use super::worker::{Shared, Worker};
use crate::datapath::{StepDown, cores};
use crate::error::{Failure, Result};
use crate::privileges;
use crate::served::Served;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use crate::stun::Policy;
use arc_swap::ArcSwap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use xsk_rs::socket::SocketCreateError;
use xsk_rs::umem::UmemCreateError;

/// A queue's budget of frames for one preferred busy poll: a batch.
const BUSY_POLL_BUDGET: i32 = xstun_core::rings::BATCH as i32;
/// A queue is released some time after its last socket was closed, by a kernel worker: a bind that
/// finds it busy is tried again this often.
const BUSY_RETRIES: u32 = 10;
/// The same where another process is known to have closed its socket just now. A busy machine's kernel
/// worker takes seconds; the sockets serve meanwhile, and to give up would end the take-over.
const VACATED_RETRIES: u32 = 150;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Where a worker works, and how it may bind.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) interface: String,
    pub(crate) number: u32,
    pub(crate) core: usize,
    pub(crate) modes: Vec<BindMode>,
    pub(crate) busy_poll: bool,
    /// Another process has just closed its socket of this queue.
    pub(crate) vacated: bool,
}

impl Place {
    /// How often to try again what the kernel refuses for the sake of a socket that is closed.
    fn retries(&self) -> u32 {
        if self.vacated { VACATED_RETRIES } else { BUSY_RETRIES }
    }
}

/// A queue that is bound, and the thread that serves it.
pub(super) struct Queue {
    pub(super) number: u32,
    pub(super) core: usize,
    pub(super) mode: BindMode,
    /// The AF_XDP socket, to be entered into the map. The thread owns it.
    pub(super) socket: RawFd,
    pub(super) stats: Arc<WorkerStats>,
    pub(super) stepped_down: Vec<StepDown>,
    stop: Arc<Stop>,
    begin: Option<SyncSender<()>>,
    thread: JoinHandle<Result<()>>,
}

/// What the thread tells of its bind.
struct Bound {
    socket: RawFd,
    mode: BindMode,
    stepped_down: Vec<StepDown>,
}

impl Queue {
    /// Starts the thread and waits for its bind.
    ///
    /// # Errors
    /// The thread could not be started or pinned, or no mode could be bound.
    pub(super) fn start(
        place: Place,
        served: Arc<ArcSwap<Served>>,
        policy: Arc<ArcSwap<Policy>>,
    ) -> Result<Self> {
        let stats = Arc::new(WorkerStats::default());
        let stop = Stop::new().map_err(|error| Failure::system("cannot make an eventfd").because(error))?;
        let stop = Arc::new(stop);
        let shared = Shared { served, policy, stats: Arc::clone(&stats), stop: Arc::clone(&stop) };
        let (report, reported) = mpsc::sync_channel(1);
        let (begin, begun) = mpsc::sync_channel(1);
        let (number, core) = (place.number, place.core);
        let thread = thread::Builder::new()
            .name(thread_name(&place))
            .spawn(move || serve(&place, shared, &report, &begun))
            .map_err(|error| Failure::system("cannot start a worker thread").because(error))?;
        match reported.recv() {
            Ok(Bound { socket, mode, stepped_down }) => {
                let begin = Some(begin);
                Ok(Queue { number, core, mode, socket, stats, stepped_down, stop, begin, thread })
            }
            // The thread ended without a report: its result says why.
            Err(_) => Err(finish(thread).err().unwrap_or_else(|| Failure::system("a worker ended at once"))),
        }
    }

    /// Lets the worker begin, once its socket is in the map.
    pub(super) fn go(&mut self) {
        // Dropping the sender is the signal: it cannot fail, also if the thread is gone.
        self.begin = None;
    }

    /// Tells the worker to stop.
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
    /// What it ended of.
    pub(super) fn join(mut self) -> Result<()> {
        self.go();
        finish(self.thread)
    }
}

/// Short enough for the 15 bytes that the kernel keeps of a thread's name.
fn thread_name(place: &Place) -> String {
    let interface: String = place.interface.chars().take(9).collect();
    format!("{interface}-q{}", place.number)
}

fn finish(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(Failure::system("a worker thread panicked")))
}

/// The thread: pin, map, bind, fill, report; when told, serve.
fn serve(place: &Place, shared: Shared, report: &SyncSender<Bound>, begun: &Receiver<()>) -> Result<()> {
    cores::pin(place.core)?;
    let (socket, frames, mode, stepped_down) = bind(place)?;
    let served = || format!("queue {} of {}", place.number, place.interface);
    if place.busy_poll {
        socket.prefer_busy_poll(BUSY_POLL_BUDGET).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::Unsupported => "leave --busy-poll out: interrupts serve it",
                _ => "preferred busy polling needs Linux 5.11 and CAP_NET_ADMIN",
            };
            Failure::system(format!("cannot busy-poll {} (--busy-poll)", served()))
                .of("--busy-poll")
                .because(error)
                .remedy(remedy)
        })?;
    }
    // Older kernels know no such option and transmit 32 frames a call.
    let _ = socket.set_transmit_budget(xstun_core::rings::BATCH as u32);
    let fd = socket.as_raw_fd();
    let worker = Worker::new(socket, frames, shared, place.busy_poll).map_err(|error| {
        Failure::system(format!("the driver bound {} and then would not serve it", served())).because(error)
    })?;
    privileges::give_up()?;
    // The other side waits for exactly this.
    let _ = report.send(Bound { socket: fd, mode, stepped_down });
    // Ends when `Queue::go` or the end of the program drops the sender.
    let _ = begun.recv();
    worker.run().map_err(|error| Failure::system(format!("the worker of {} ended", served())).because(error))
}

/// [`Umem::create`], asked again for a while where the limit on locked memory is reached: it is the user's,
/// and the kernel counts the packet memory of a server that ended, or let go of a queue for this one, until
/// some time after it (`xdp_umem_release_deferred`).
fn create_umem(place: &Place) -> Result<(Umem, Vec<UmemFrame>), UmemCreateError> {
    let mut tries = 0;
    loop {
        match Umem::create() {
            Err(error) if tries < place.retries() && errno(&error) == Some(libc::ENOBUFS) => tries += 1,
            made => return made,
        }
        thread::sleep(BUSY_PAUSE);
    }
}

/// A bound socket, all frames of its UMEM, how it was bound, and what was stepped down from.
pub(crate) type Binding = (XdpSocket, Vec<UmemFrame>, BindMode, Vec<StepDown>);

/// Binds in the first mode that can be had. To be called where the worker is pinned; see
/// [`Umem::create`].
///
/// # Errors
/// No packet memory, or the kernel's refusal of the last mode.
pub(crate) fn bind(place: &Place) -> Result<Binding> {
    let name = place.interface.parse().map_err(|error| {
        Failure::usage(format!("--interface {}: no such name can be", place.interface))
            .of_value("--interface", &place.interface)
            .because(error)
    })?;
    let (mut umem, frames) = create_umem(place).map_err(|error| {
        let failure = Failure::system(format!("cannot set up packet memory for {}", place.interface));
        let failure = failure.because(error);
        match failure.errno() {
            Some(libc::ENOBUFS | libc::ENOMEM) => failure
                .remedy("raise the limit on locked memory (`ulimit -l unlimited`), or grant CAP_IPC_LOCK"),
            Some(libc::EAFNOSUPPORT) => failure.remedy(
                "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS), or the service manager forbids it \
                 (RestrictAddressFamilies must list AF_XDP)",
            ),
            Some(libc::EPERM) => failure.remedy("run as root, or grant CAP_NET_RAW"),
            _ => failure,
        }
    })?;
    let mut stepped_down = Vec::new();
    let mut busy = 0;
    let mut modes = place.modes.iter().copied();
    let mut mode = modes.next();
    while let Some(wanted) = mode {
        let error = match XdpSocket::bind(umem, &name, place.number, wanted) {
            Ok(socket) => match socket.bind_mode() {
                Ok(got) if got == wanted => return Ok((socket, frames, got, stepped_down)),
                Ok(got) => {
                    return Err(Failure::system(format!(
                        "{} was asked for {} and bound in {}",
                        place.interface,
                        wanted.name(),
                        got.name()
                    )));
                }
                Err(error) => {
                    return Err(Failure::system("cannot read back what the bind gave").because(error));
                }
            },
            Err((returned, error)) => {
                umem = returned;
                error
            }
        };
        if errno(&error) == Some(libc::EBUSY) && busy < place.retries() {
            busy += 1;
            thread::sleep(BUSY_PAUSE);
            continue;
        }
        let failure = refused(place, wanted, error);
        mode = modes.next();
        if mode.is_none() {
            return Err(failure);
        }
        stepped_down.push(StepDown::new(wanted.name(), &failure));
    }
    Err(Failure::system(format!("no bind mode to try on {}", place.interface)))
}

/// The kernel's, behind an error of xsk-rs.
fn errno(error: &impl std::error::Error) -> Option<i32> {
    error.source()?.downcast_ref::<io::Error>()?.raw_os_error()
}

fn refused(place: &Place, mode: BindMode, error: SocketCreateError) -> Failure {
    let Place { interface, number, .. } = place;
    let errno = errno(&error);
    let cause = errno.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
    let failure =
        Failure::system(format!("cannot bind queue {number} of {interface} in {} mode", mode.name()))
            .because(cause);
    match (errno, mode) {
        (Some(libc::EBUSY), _) => failure.remedy("another AF_XDP socket holds the queue: stop its program"),
        (Some(libc::EPERM), _) => failure.remedy("run as root, or grant CAP_NET_RAW"),
        (Some(libc::EOPNOTSUPP | libc::EINVAL), BindMode::ZeroCopy) => {
            failure.remedy("the driver has no zero-copy here: use --bind-mode copy")
        }
        _ => failure,
    }
}
