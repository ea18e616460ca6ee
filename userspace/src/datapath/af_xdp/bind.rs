//! Binds an AF_XDP socket to one queue, in the first mode that is available.

use super::mode::BindMode;
use super::socket::XdpSocket;
use super::umem::Umem;
use crate::datapath::StepDown;
use crate::error::{Failure, Result};
use std::io;
use std::thread;
use std::time::Duration;
use xsk_rs::socket::SocketCreateError;
use xsk_rs::umem::UmemCreateError;

/// A queue is released some time after its last socket was closed, by a kernel worker: a bind that
/// finds it busy is tried again this often.
const BUSY_RETRIES: u32 = 10;
/// The same where another process is known to have closed its socket just now. On a busy machine the kernel
/// worker takes seconds; the sockets serve meanwhile, and to give up would end the take-over.
const VACATED_RETRIES: u32 = 150;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// The queue that a worker serves, and how to bind it.
#[derive(Clone, Debug)]
pub(crate) struct QueuePlan {
    pub(crate) interface: String,
    pub(crate) number: u32,
    pub(crate) core: usize,
    /// The best first.
    pub(crate) modes: Vec<BindMode>,
    pub(crate) busy_poll: bool,
    /// Another process has just closed its socket of this queue.
    pub(crate) vacated: bool,
}

impl QueuePlan {
    /// How often to retry what the kernel refuses while it still cleans up after a closed socket.
    fn retries(&self) -> u32 {
        if self.vacated { VACATED_RETRIES } else { BUSY_RETRIES }
    }
}

/// A bound socket, its mode, and the steps down before it.
pub(crate) type Binding = (XdpSocket, BindMode, Vec<StepDown>);

/// Binds in the first mode of the plan that is available. Call it on the pinned thread of the worker; see
/// [`Umem::create`].
///
/// # Errors
/// No packet memory, or the kernel's refusal of the last mode.
pub(crate) fn bind(plan: &QueuePlan) -> Result<Binding> {
    let name = plan.interface.parse().map_err(|error| {
        Failure::usage(format!("--interface {} is not a valid interface name", plan.interface))
            .of_value("--interface", &plan.interface)
            .because(error)
    })?;
    let mut umem = create_umem(plan).map_err(|error| no_umem(plan, error))?;
    let mut step_downs = Vec::new();
    let mut busy = 0;
    let mut modes = plan.modes.iter().copied();
    let mut mode = modes.next();
    while let Some(wanted) = mode {
        let error = match XdpSocket::bind(umem, &name, plan.number, wanted) {
            Ok(socket) => {
                confirm(plan, &socket, wanted)?;
                return Ok((socket, wanted, step_downs));
            }
            Err((returned, error)) => {
                umem = returned;
                error
            }
        };
        if errno(&error) == Some(libc::EBUSY) && busy < plan.retries() {
            busy += 1;
            thread::sleep(BUSY_PAUSE);
            continue;
        }
        let failure = refusal(plan, wanted, error);
        mode = modes.next();
        if mode.is_none() {
            return Err(failure);
        }
        step_downs.push(StepDown::new(wanted.name(), &failure));
    }
    Err(Failure::system(format!("no bind mode to try on {}", plan.interface)))
}

/// Reads back the mode of the bind.
///
/// # Errors
/// It is another one than `wanted`, or cannot be read.
fn confirm(plan: &QueuePlan, socket: &XdpSocket, wanted: BindMode) -> Result<()> {
    let bound = socket
        .bind_mode()
        .map_err(|error| Failure::system("cannot read back the mode of the bind").because(error))?;
    if bound == wanted {
        return Ok(());
    }
    let (wanted, bound) = (wanted.name(), bound.name());
    Err(Failure::system(format!(
        "requested {wanted} mode on {}, but the kernel bound {bound} mode",
        plan.interface
    ))
    .remedy("use --bind-mode auto"))
}

/// [`Umem::create`], retried while the limit on locked memory is reached: the limit is per user, and the
/// kernel still counts the packet memory of a server that ended, or that closed a queue for this one, for a
/// while (`xdp_umem_release_deferred`).
fn create_umem(plan: &QueuePlan) -> Result<Umem, UmemCreateError> {
    let mut tries = 0;
    loop {
        match Umem::create() {
            Err(error) if tries < plan.retries() && errno(&error) == Some(libc::ENOBUFS) => tries += 1,
            created => return created,
        }
        thread::sleep(BUSY_PAUSE);
    }
}

fn no_umem(plan: &QueuePlan, error: UmemCreateError) -> Failure {
    let failure = Failure::system(format!("cannot set up packet memory for {}", plan.interface));
    let failure = failure.because(error);
    match failure.errno() {
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            failure.remedy("raise the limit on locked memory (`ulimit -l unlimited`), or grant CAP_IPC_LOCK")
        }
        Some(libc::EAFNOSUPPORT) => failure.remedy(
            "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS), or the service manager forbids it \
             (RestrictAddressFamilies must list AF_XDP)",
        ),
        Some(libc::EPERM) => failure.remedy("run as root, or grant CAP_NET_RAW"),
        _ => failure,
    }
}

/// The errno behind an error of xsk-rs.
fn errno(error: &impl std::error::Error) -> Option<i32> {
    error.source()?.downcast_ref::<io::Error>()?.raw_os_error()
}

fn refusal(plan: &QueuePlan, mode: BindMode, error: SocketCreateError) -> Failure {
    let QueuePlan { interface, number, .. } = plan;
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
