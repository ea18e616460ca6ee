//! The XDP program of one interface: loads it, attaches it, keeps its maps up to date, detaches it.

mod kernel_types;
mod losses;
mod verifier;

use super::link::BpfLink;
use super::mode::XdpMode;
use crate::error::{Failure, Result};
use crate::interface::Interface;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use log::Log;
use std::collections::HashSet;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use xstun_core::classify::{Endpoint, Verdict};
use xstun_core::served::Served;
use xstun_core::stun::Permission;
use xstun_ebpf::loss::LossFilter;
use xstun_ebpf::{
    MAP_MAC, MAP_PORTS, MAP_SERVED, MAP_SOCKETS, MAP_VERDICTS, Mac, PROGRAM_FRAGS, PROGRAM_LINEAR, mac_value,
};

/// The object that `cargo xtask build` made, or nothing.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XSTUN_EBPF_PATH"));

/// `AYA_LOG_LEVEL` of the program: debug, or off, which lets the verifier remove the calls.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = log::Level::Debug as u8;

/// Whether this binary contains the eBPF object.
pub(crate) fn object_present() -> bool {
    !OBJECT.is_empty()
}

/// The XDP program of one interface, with its own maps.
pub struct XdpProgram {
    ebpf: Ebpf,
    name: &'static str,
    id: u32,
    link: Option<BpfLink>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// What the tracepoint programs need to know; `None` if losses are not counted.
    loss_filter: Option<LossFilter>,
}

impl XdpProgram {
    /// Loads the program for an interface with `queues` receive queues: as a multi-buffer program where the
    /// kernel supports that, else as a linear one.
    ///
    /// # Errors
    /// This binary contains no object, a permission is missing, or the verifier refuses the program.
    pub fn load(queues: u32, debug_log: bool) -> Result<Self> {
        if !object_present() {
            return Err(Failure::system("this xstun was built without its eBPF object")
                .remedy("build it with `cargo xtask build`, or serve with --datapath socket"));
        }
        let level = if debug_log { LOG_DEBUG } else { LOG_OFF };
        let mut ebpf = EbpfLoader::new()
            .override_global("AYA_LOG_LEVEL", &level, true)
            .map_max_entries(MAP_SOCKETS, queues)
            .load(OBJECT)
            .map_err(|error| Failure::system("cannot create the XDP program's maps").because(error))?;
        let logger = if debug_log {
            Some(EbpfLogger::init(&mut ebpf).map_err(|error| {
                Failure::system("cannot read the XDP program's log (--xdp-log)")
                    .of("--xdp-log")
                    .because(error)
            })?)
        } else {
            None
        };
        let name = match load(&mut ebpf, PROGRAM_FRAGS) {
            Ok(()) => PROGRAM_FRAGS,
            Err(_) => {
                load(&mut ebpf, PROGRAM_LINEAR).map_err(verifier::refusal)?;
                PROGRAM_LINEAR
            }
        };
        Ok(XdpProgram { ebpf, name, id: 0, link: None, logger, loss_filter: None })
    }

    /// Attaches the program to `interface`. The attachment is tied to a file descriptor of this process, so
    /// that it ends with the process even after `kill -9`.
    ///
    /// # Errors
    /// The kernel's refusal: EBUSY another program is attached, EOPNOTSUPP the driver has no native XDP,
    /// EPERM CAP_NET_ADMIN is missing, ERANGE or EINVAL often the MTU is too large.
    pub fn attach(&mut self, interface: &Interface, mode: XdpMode) -> Result<()> {
        self.install(mode, |program| {
            BpfLink::attach(program.fd()?.as_fd(), interface.index, mode).map_err(io)
        })
        .map_err(|error| {
            Failure::system(format!("cannot attach in {} mode to {}", mode.name(), interface.name))
                .because(error)
        })
    }

    /// Replaces the program that the predecessor attached to `interface`, atomically: every frame meets one
    /// of the two. The attachment is then ours too.
    ///
    /// # Errors
    /// The kernel's refusal; the predecessor's program stays.
    pub(super) fn take_over(&mut self, interface: &Interface, mode: XdpMode, link: OwnedFd) -> Result<()> {
        let mut link = Some(BpfLink::from(link));
        self.install(mode, |program| {
            if let Some(link) = &link {
                link.replace(program.fd()?.as_fd()).map_err(io)?;
            }
            link.take().ok_or(ProgramError::NotLoaded)
        })
        .map_err(|error| {
            Failure::system(format!("cannot replace the XDP program on {}", interface.name)).because(error)
        })
    }

    /// Restores this program after a successor replaced it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) fn restore(&mut self) -> Result<()> {
        let failed = |error| Failure::system("cannot restore the XDP program").because(error);
        let program = xdp(&mut self.ebpf, self.name).and_then(|program| program.fd()).map_err(failed)?;
        match &self.link {
            Some(link) => link.replace(program.as_fd()).map_err(|error| failed(io(error))),
            None => Ok(()),
        }
    }

    /// Duplicates the attachment's descriptor, for the successor. `None` if the program is not attached.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(super) fn duplicate_link(&self) -> Result<Option<OwnedFd>> {
        let failed = |error| Failure::system("cannot duplicate a file descriptor").because(error);
        self.link.as_ref().map(|link| link.duplicate().map_err(failed)).transpose()
    }

    /// Calls `attach` with the loaded program, and once more with the linear one if a driver refuses the
    /// multi-buffer one.
    fn install(
        &mut self,
        mode: XdpMode,
        mut attach: impl FnMut(&mut Xdp) -> Result<BpfLink, ProgramError>,
    ) -> Result<(), ProgramError> {
        match self.install_loaded(&mut attach) {
            Err(first) if self.name == PROGRAM_FRAGS && mode == XdpMode::Native => {
                // A driver without multi-buffer receive may refuse a multi-buffer program.
                load(&mut self.ebpf, PROGRAM_LINEAR)?;
                self.name = PROGRAM_LINEAR;
                let second = self.install_loaded(&mut attach);
                if second.is_err() {
                    self.name = PROGRAM_FRAGS;
                    return Err(first);
                }
                second
            }
            other => other,
        }
    }

    fn install_loaded(
        &mut self,
        attach: &mut impl FnMut(&mut Xdp) -> Result<BpfLink, ProgramError>,
    ) -> Result<(), ProgramError> {
        let id = xdp(&mut self.ebpf, self.name)?.info()?.id();
        self.filter_losses(id)?;
        self.link = Some(attach(xdp(&mut self.ebpf, self.name)?)?);
        self.id = id;
        Ok(())
    }

    /// Updates the maps to `now`. Endpoints are inserted before their port is opened and removed before it is
    /// closed. In between, a frame to an open port without its endpoint passes to the kernel's stack.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub fn serve(&mut self, now: &Served) -> Result<()> {
        let refused = |map: &str| {
            let what = format!("cannot update the XDP program's map {map}");
            move |error: aya::maps::MapError| Failure::system(what.clone()).because(error)
        };
        let mut mac: Array<_, Mac> = self.map(MAP_MAC)?;
        mac.set(0, mac_value(now.mac_address()), 0).map_err(refused(MAP_MAC))?;

        let mut served: HashMap<_, [u8; 20], u8> = self.map(MAP_SERVED)?;
        let known: HashSet<Endpoint> =
            served.keys().filter_map(|key| Some(Endpoint::from_bytes(key.ok()?))).collect();
        for endpoint in now.endpoints().iter().filter(|endpoint| !known.contains(endpoint)) {
            served
                .insert(endpoint.to_bytes(), Permission::REDIRECT.to_byte(), 0)
                .map_err(refused(MAP_SERVED))?;
        }
        let wanted: HashSet<Endpoint> = now.endpoints().iter().copied().collect();
        for endpoint in known.difference(&wanted) {
            served.remove(&endpoint.to_bytes()).map_err(refused(MAP_SERVED))?;
        }

        let mut ports: Array<_, u64> = self.map(MAP_PORTS)?;
        for (index, word) in (0..).zip(now.port_words()) {
            if ports.get(&index, 0).map_err(refused(MAP_PORTS))? != word {
                ports.set(index, word, 0).map_err(refused(MAP_PORTS))?;
            }
        }
        Ok(())
    }

    /// Redirects the frames of `queue` to this socket.
    ///
    /// # Errors
    /// The kernel refused: the map has no such queue, or the file descriptor is no AF_XDP socket.
    pub fn enter_socket(&mut self, queue: u32, socket: RawFd) -> Result<()> {
        let mut sockets: XskMap<_> = self.map(MAP_SOCKETS)?;
        sockets.set(queue, socket, 0).map_err(|error| {
            Failure::system(format!("cannot enter the socket of queue {queue} into {MAP_SOCKETS}"))
                .because(error)
        })
    }

    /// Passes the frames of `queue` to the kernel's stack again.
    pub(crate) fn remove_socket(&mut self, queue: u32) {
        if let Ok(mut sockets) = self.map::<XskMap<&mut MapData>>(MAP_SOCKETS) {
            // Fails if the slot is empty already, which is the goal.
            let _ = sockets.unset(queue);
        }
    }

    /// The kernel's ID of the program that was attached last, as `bpftool prog` shows it.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Detaches the program from the interface.
    pub(crate) fn detach(&mut self) {
        self.link = None;
    }

    /// Returns the verdicts so far, summed over the CPUs, in the order of [`Verdict::ALL`].
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(super) fn verdicts(&self) -> Result<[u64; Verdict::COUNT]> {
        let unreadable = |error| {
            Failure::system(format!("cannot read the XDP program's map {MAP_VERDICTS}")).because(error)
        };
        let map = self.ebpf.map(MAP_VERDICTS).ok_or_else(|| missing(MAP_VERDICTS))?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(unreadable)?;
        let mut sums = [0; Verdict::COUNT];
        for (index, sum) in (0..).zip(sums.iter_mut()) {
            *sum = counters.get(&index, 0).map_err(unreadable)?.iter().sum();
        }
        Ok(sums)
    }

    /// Writes the program's log records to the log. Call it regularly while the debug log is on; does nothing
    /// otherwise.
    pub(super) fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    fn map<'a, M>(&'a mut self, name: &str) -> Result<M>
    where
        M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        let map = self.ebpf.map_mut(name).ok_or_else(|| missing(name))?;
        M::try_from(map).map_err(|error| {
            Failure::system(format!("the eBPF object's map {name} has another type than expected"))
                .because(error)
        })
    }
}

/// Wraps an errno as aya does for its own calls.
fn io(error: std::io::Error) -> ProgramError {
    ProgramError::IOError(error)
}

fn missing(map: &str) -> Failure {
    Failure::system(format!("the eBPF object has no map {map}")).remedy("rebuild it: `cargo xtask build`")
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or_else(|| ProgramError::InvalidName { name: name.to_owned() })?.try_into()
}

fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<(), ProgramError> {
    xdp(ebpf, name)?.load()
}
