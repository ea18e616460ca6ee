//! Linux capabilities, each held only as long as something needs it.
//!
//! Capabilities belong to threads, and a thread inherits those of its creator. So the program reduces them to
//! what a start needs before it creates any thread; each worker drops the rest once its socket is bound; and
//! the control thread keeps those that its own work needs.

use crate::error::{Failure, Result};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What a start may need: CAP_NET_ADMIN to attach the XDP program and to busy-poll, CAP_BPF and CAP_PERFMON to
/// load it, CAP_NET_RAW for AF_XDP sockets, CAP_IPC_LOCK for their memory if RLIMIT_MEMLOCK is too low, and
/// CAP_NET_BIND_SERVICE for ports below 1024.
const START: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// First kernel that allows access to the maps of a loaded program without CAP_BPF even if
/// `kernel.unprivileged_bpf_disabled` is set (commit c8644cd0efe7).
const OPEN_MAPS: (u32, u32) = (5, 19);

/// What the control thread does while the server serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duties {
    /// An interface is served over AF_XDP: its maps follow changes of addresses, its verdicts are read.
    pub(crate) maps: bool,
    /// NAPI settings of an interface are restored at the end (`--busy-poll`).
    pub(crate) napi: bool,
    /// Queues that are bound in zero-copy may have to be bound again, because nothing arrives.
    pub(crate) bind: bool,
}

/// Drops everything that a start does not need, for good: not even execve(2) can regain it. Must be called
/// before the first thread is created.
///
/// # Errors
/// System: the kernel refused, which is not expected.
pub fn begin() -> Result<()> {
    // First, since it needs CAP_SETPCAP. Without that, the service manager has already limited the bounding set.
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel has no capability of this number, or forbids to remove any.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(errno) => return Err(refused(errno)),
        }
    }
    set_no_new_privs(true).map_err(refused)?;
    keep(START)
}

/// Keeps for the calling thread what these duties need. Must be called by the thread that has the duties, once
/// everything is started.
///
/// # Errors
/// System: the kernel refused, which is not expected.
pub(crate) fn serve(duties: Duties) -> Result<()> {
    keep(needed(duties, crate::kernel::running()))
}

/// Drops all capabilities of the calling thread: for a worker whose sockets are bound.
///
/// # Errors
/// System: the kernel refused, which is not expected.
pub(crate) fn drop_all() -> Result<()> {
    keep(CapabilitySet::empty())
}

fn needed(duties: Duties, kernel: (u32, u32)) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    if duties.maps && kernel < OPEN_MAPS {
        needed |= CapabilitySet::BPF;
    }
    if duties.napi {
        needed |= CapabilitySet::NET_ADMIN;
    }
    if duties.bind {
        needed |= CapabilitySet::NET_RAW | CapabilitySet::IPC_LOCK;
    }
    needed
}

/// Reduces the capabilities of the calling thread to those in `wanted`. Without inheritable ones it has no ambient
/// ones either.
fn keep(wanted: CapabilitySet) -> Result<()> {
    let permitted = capabilities(None).map_err(refused)?.permitted & wanted;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(refused)
}

fn refused(errno: Errno) -> Failure {
    Failure::system("cannot drop capabilities").because(errno)
}

#[cfg(test)]
mod tests {
    use super::{Duties, needed};
    use rustix::thread::CapabilitySet;

    #[test]
    fn only_the_duties_of_a_running_server_keep_capabilities() {
        let duties = |maps, napi| Duties { maps, napi, bind: false };
        let bind = Duties { maps: true, napi: false, bind: true };
        for (duties, kernel, expected) in [
            (duties(false, false), (5, 15), CapabilitySet::empty()),
            (duties(true, false), (5, 15), CapabilitySet::BPF),
            (duties(true, false), (5, 19), CapabilitySet::empty()),
            (duties(true, false), (6, 1), CapabilitySet::empty()),
            (duties(true, true), (6, 1), CapabilitySet::NET_ADMIN),
            (bind, (6, 1), CapabilitySet::NET_RAW | CapabilitySet::IPC_LOCK),
            (duties(true, true), (5, 15), CapabilitySet::BPF | CapabilitySet::NET_ADMIN),
        ] {
            assert_eq!(needed(duties, kernel), expected, "{duties:?} on {kernel:?}");
        }
    }
}
