//! The XDP program of one interface: loads it, attaches it, keeps its maps up to date, detaches it.

mod contents;
mod entries;
mod kernel_maps;
mod kernel_types;
mod losses;
mod verifier;

pub(super) use entries::Permissions;

use super::link::BpfLink;
use super::mode::XdpMode;
use crate::error::{Failure, Result};
use crate::interface::Interface;
use aya::maps::{MapData, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use contents::ServedContents;
use kernel_maps::KernelMaps;
use log::Log;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use xstun_core::classify::Verdict;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::Permission;
use xstun_ebpf::loss::LossFilter;
use xstun_ebpf::{
    MAP_OUTCOMES, MAP_SOCKETS, MAP_VERDICTS, PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR, PROGRAM_FRAGS,
    PROGRAM_LINEAR,
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

/// A program for kernels and drivers with multi-buffer frames, and the same one for all others.
struct ProgramPair {
    frags: &'static str,
    linear: &'static str,
}

/// Answers plain requests where an endpoint's permission says so, and redirects the others.
const ANSWERING: ProgramPair = ProgramPair { frags: PROGRAM_ANSWERS_FRAGS, linear: PROGRAM_ANSWERS_LINEAR };
/// Redirects every request.
const REDIRECTING: ProgramPair = ProgramPair { frags: PROGRAM_FRAGS, linear: PROGRAM_LINEAR };

/// The XDP program of one interface, with its own maps.
pub struct XdpProgram {
    ebpf: Ebpf,
    pair: &'static ProgramPair,
    /// The one of the pair that is loaded.
    name: &'static str,
    contents: ServedContents,
    id: u32,
    link: Option<BpfLink>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// What the tracepoint programs need to know; `None` if losses are not counted.
    loss_filter: Option<LossFilter>,
    /// Why the kernel refused the larger program, until it is taken.
    refusal: Option<Failure>,
}

impl XdpProgram {
    /// Loads the program that redirects every request, for an interface with `queues` receive queues: as a
    /// multi-buffer program where the kernel supports that, else as a linear one.
    ///
    /// # Errors
    /// This binary contains no object, a permission is missing, or the verifier refuses the program.
    pub fn load(queues: u32, debug_log: bool) -> Result<Self> {
        let mut program = XdpProgram::create(OBJECT, queues, debug_log)?;
        program.load_pair(&REDIRECTING)?;
        Ok(program)
    }

    /// Loads the larger program, which can answer plain requests, in the same two forms; or the one that
    /// redirects every request, if the kernel refuses the larger one: see [`XdpProgram::take_refusal`].
    ///
    /// # Errors
    /// As of [`XdpProgram::load`].
    pub(super) fn load_answering(queues: u32, debug_log: bool) -> Result<Self> {
        let mut program = XdpProgram::create(OBJECT, queues, debug_log)?;
        program.load_answering_or_redirecting()?;
        Ok(program)
    }

    fn load_answering_or_redirecting(&mut self) -> Result<()> {
        if let Err(refusal) = self.load_pair(&ANSWERING) {
            self.load_pair(&REDIRECTING)?;
            self.refusal = Some(refusal);
        }
        Ok(())
    }

    /// Creates the maps of `object`; no program is loaded yet.
    fn create(object: &[u8], queues: u32, debug_log: bool) -> Result<Self> {
        if object.is_empty() {
            return Err(Failure::system("this xstun was built without its eBPF object")
                .remedy("build it with `cargo xtask build`, or serve with --datapath socket"));
        }
        let level = if debug_log { LOG_DEBUG } else { LOG_OFF };
        let mut ebpf = EbpfLoader::new()
            .override_global("AYA_LOG_LEVEL", &level, true)
            .map_max_entries(MAP_SOCKETS, queues)
            .load(object)
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
        let (pair, contents) = (&REDIRECTING, ServedContents::default());
        Ok(XdpProgram {
            ebpf,
            pair,
            name: pair.linear,
            contents,
            id: 0,
            link: None,
            logger,
            loss_filter: None,
            refusal: None,
        })
    }

    fn load_pair(&mut self, pair: &'static ProgramPair) -> Result<()> {
        self.pair = pair;
        self.name = match load(&mut self.ebpf, pair.frags) {
            Ok(()) => pair.frags,
            Err(_) => {
                load(&mut self.ebpf, pair.linear).map_err(verifier::refusal)?;
                pair.linear
            }
        };
        Ok(())
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
    /// multi-buffer one. If the kernel refuses the larger program in that form, the smaller one is tried: see
    /// [`XdpProgram::take_refusal`].
    fn install(
        &mut self,
        mode: XdpMode,
        mut attach: impl FnMut(&mut Xdp) -> Result<BpfLink, ProgramError>,
    ) -> Result<(), ProgramError> {
        let first = match self.install_loaded(&mut attach) {
            // A driver without multi-buffer receive may refuse a multi-buffer program.
            Err(first) if self.name == self.pair.frags && mode == XdpMode::Native => first,
            other => return other,
        };
        let loaded = (self.pair, self.name);
        let Some(refusal) = self.load_linear() else { return Err(first) };
        if self.install_loaded(&mut attach).is_err() {
            (self.pair, self.name) = loaded;
            return Err(first);
        }
        self.refusal = refusal;
        Ok(())
    }

    /// Loads the linear form of the pair, or else that of the smaller pair, and returns the refusal of the larger one
    /// if there is any. `None` if the kernel refuses both; nothing has changed then.
    fn load_linear(&mut self) -> Option<Option<Failure>> {
        let refusal = load(&mut self.ebpf, self.pair.linear).err();
        if refusal.is_some() {
            load(&mut self.ebpf, REDIRECTING.linear).ok()?;
            self.pair = &REDIRECTING;
        }
        self.name = self.pair.linear;
        Some(refusal.map(verifier::refusal))
    }

    /// Returns why the kernel refused the larger program, once, if the smaller one is loaded or attached instead.
    pub(super) fn take_refusal(&mut self) -> Option<Failure> {
        self.refusal.take()
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

    /// Updates the maps to `now`, so that every request is redirected.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub fn serve(&mut self, now: &Served) -> Result<()> {
        let redirect = now.endpoints().iter().map(|endpoint| (*endpoint, Permission::REDIRECT));
        self.serve_with(now, &redirect.collect())
    }

    /// Updates the maps to `now`, with the `permissions` of its endpoints. See [`ServedContents::serve`].
    ///
    /// # Errors
    /// The kernel refused a map update; the next call does again what is left.
    pub(super) fn serve_with(&mut self, now: &Served, permissions: &Permissions) -> Result<()> {
        self.contents.serve(&mut KernelMaps(&mut self.ebpf), now, permissions)
    }

    /// Gives the endpoints these permissions and removes all others. See [`ServedContents::permit`].
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn permit(&mut self, permissions: &Permissions) -> Result<()> {
        self.contents.permit(&mut KernelMaps(&mut self.ebpf), permissions)
    }

    /// Withdraws every permission that is not among these, and grants none.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn withdraw(&mut self, permissions: &Permissions) -> Result<()> {
        self.contents.withdraw(&mut KernelMaps(&mut self.ebpf), permissions)
    }

    /// Whether the program answers plain requests to any endpoint.
    pub(super) fn answers(&self) -> bool {
        self.contents.any_may_answer()
    }

    /// Whether every map holds what was wanted last.
    pub(super) fn is_complete(&self) -> bool {
        self.contents.is_complete()
    }

    /// Redirects the frames of `queue` to this socket.
    ///
    /// # Errors
    /// The kernel refused: the map has no such queue, or the file descriptor is no AF_XDP socket.
    pub fn enter_socket(&mut self, queue: u32, socket: RawFd) -> Result<()> {
        let mut sockets: XskMap<_> = map(&mut self.ebpf, MAP_SOCKETS)?;
        sockets.set(queue, socket, 0).map_err(|error| {
            Failure::system(format!("cannot enter the socket of queue {queue} into {MAP_SOCKETS}"))
                .because(error)
        })
    }

    /// Passes the frames of `queue` to the kernel's stack again.
    pub(crate) fn remove_socket(&mut self, queue: u32) {
        if let Ok(mut sockets) = map::<XskMap<&mut MapData>>(&mut self.ebpf, MAP_SOCKETS) {
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
        self.sums(MAP_VERDICTS)
    }

    /// Returns how the requests ended that the program answered, summed over the CPUs, in the order of
    /// [`Outcome::ALL`].
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(super) fn outcomes(&self) -> Result<[u64; Outcome::COUNT]> {
        self.sums(MAP_OUTCOMES)
    }

    /// Sums the first slots of a per-CPU array over the CPUs.
    fn sums<const N: usize>(&self, name: &'static str) -> Result<[u64; N]> {
        let unreadable =
            |error| Failure::system(format!("cannot read the XDP program's map {name}")).because(error);
        let map = self.ebpf.map(name).ok_or_else(|| missing(name))?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(unreadable)?;
        let mut sums = [0; N];
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
}

fn map<'a, M>(ebpf: &'a mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| missing(name))?;
    M::try_from(map).map_err(|error| {
        Failure::system(format!("the eBPF object's map {name} has another type than expected")).because(error)
    })
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

#[cfg(test)]
mod tests;
