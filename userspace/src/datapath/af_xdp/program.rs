//! The XDP program's life: loaded, attached, its maps kept true, detached.

use super::link::Link;
use crate::error::{Failure, Result};
use crate::interface::Interface;
use crate::served::Served;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use log::Log;
use std::collections::HashSet;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use xstun_core::classify::{Endpoint, Verdict};
use xstun_ebpf::{
    MAP_MAC, MAP_PORTS, MAP_SERVED, MAP_SOCKETS, MAP_VERDICTS, Mac, PROGRAM_FRAGS, PROGRAM_LINEAR, mac_value,
};

/// The object that `cargo xtask build` made, or nothing.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XSTUN_EBPF_PATH"));

/// `AYA_LOG_LEVEL` of the program: no line at all, which lets the verifier remove them, or debug.
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = log::Level::Debug as u8;

/// Whether this binary carries the eBPF object.
pub fn object_present() -> bool {
    !OBJECT.is_empty()
}

/// Where the kernel runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook, behind the driver.
    Generic,
}

impl XdpMode {
    /// Name as flags and logs have it.
    pub const fn name(self) -> &'static str {
        match self {
            XdpMode::Native => "native",
            XdpMode::Generic => "generic",
        }
    }
}

/// The program of one interface, with maps of its own.
pub struct Program {
    ebpf: Ebpf,
    name: &'static str,
    id: u32,
    link: Option<Link>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
}

impl Program {
    /// Loads the program for an interface of `queues` receive queues: as a multi-buffer program
    /// where the kernel knows such, else as a plain one.
    ///
    /// # Errors
    /// No object in this binary, no permission, or the verifier's refusal.
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
                load(&mut ebpf, PROGRAM_LINEAR).map_err(unloadable)?;
                PROGRAM_LINEAR
            }
        };
        Ok(Program { ebpf, name, id: 0, link: None, logger })
    }

    /// Attaches the program to `interface`. The attachment lives by a file descriptor of this
    /// process and ends with it, however it ends.
    ///
    /// # Errors
    /// The kernel's refusal: EBUSY another program is there, EOPNOTSUPP the driver has no native
    /// XDP, EPERM no CAP_NET_ADMIN, ERANGE or EINVAL often the MTU.
    pub fn attach(&mut self, interface: &Interface, mode: XdpMode) -> Result<()> {
        self.put_on(mode, |program| Link::attach(program.fd()?.as_fd(), interface.index, mode).map_err(io))
            .map_err(|error| {
                Failure::system(format!("cannot attach in {} mode to {}", mode.name(), interface.name))
                    .because(error)
            })
    }

    /// Puts the program into the place of the one that another process attached to `interface`: every
    /// frame meets the one or the other. The attachment is then ours too.
    ///
    /// # Errors
    /// The kernel's refusal; the other program goes on.
    pub fn take_over(&mut self, interface: &Interface, mode: XdpMode, link: OwnedFd) -> Result<()> {
        let link = Link::from(link);
        let mut link = Some(link);
        self.put_on(mode, |program| {
            if let Some(link) = &link {
                link.replace(program.fd()?.as_fd()).map_err(io)?;
            }
            link.take().ok_or(ProgramError::NotLoaded)
        })
        .map_err(|error| {
            Failure::system(format!("cannot take over the XDP program's place on {}", interface.name))
                .because(error)
        })
    }

    /// Puts this program back into its place, where another process had taken it over.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn restore(&mut self) -> Result<()> {
        let failed = |error| Failure::system("cannot put the XDP program back").because(error);
        let program = xdp(&mut self.ebpf, self.name).and_then(|program| program.fd()).map_err(failed)?;
        match &self.link {
            Some(link) => link.replace(program.as_fd()).map_err(|error| failed(io(error))),
            None => Ok(()),
        }
    }

    /// Another handle of the attachment, for another process. None if it is not attached.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn bequeath(&self) -> Result<Option<OwnedFd>> {
        let failed = |error| Failure::system("cannot duplicate a file descriptor").because(error);
        self.link.as_ref().map(|link| link.duplicate().map_err(failed)).transpose()
    }

    /// Has `place` put the loaded program where it shall run.
    fn put_on(
        &mut self,
        mode: XdpMode,
        mut place: impl FnMut(&mut Xdp) -> Result<Link, ProgramError>,
    ) -> Result<(), ProgramError> {
        match self.put_loaded(&mut place) {
            Err(first) if self.name == PROGRAM_FRAGS && mode == XdpMode::Native => {
                // A driver without multi-buffer receive may refuse a program that promises it.
                load(&mut self.ebpf, PROGRAM_LINEAR)?;
                self.name = PROGRAM_LINEAR;
                let second = self.put_loaded(&mut place);
                if second.is_err() {
                    self.name = PROGRAM_FRAGS;
                    return Err(first);
                }
                second
            }
            other => other,
        }
    }

    fn put_loaded(
        &mut self,
        place: &mut impl FnMut(&mut Xdp) -> Result<Link, ProgramError>,
    ) -> Result<(), ProgramError> {
        let program = xdp(&mut self.ebpf, self.name)?;
        let number = program.info()?.id();
        self.link = Some(place(program)?);
        self.id = number;
        Ok(())
    }

    /// Brings the maps to what `now` says. Endpoints come before the ports that open the way to
    /// them, and go after.
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
            served.insert(endpoint.to_bytes(), 1, 0).map_err(refused(MAP_SERVED))?;
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

    /// Lets the frames of `queue` go to this socket.
    ///
    /// # Errors
    /// The kernel refused: the queue is beyond the map, or the file descriptor is no AF_XDP socket.
    pub fn enter_socket(&mut self, queue: u32, socket: RawFd) -> Result<()> {
        let mut sockets: XskMap<_> = self.map(MAP_SOCKETS)?;
        sockets.set(queue, socket, 0).map_err(|error| {
            Failure::system(format!("cannot enter the socket of queue {queue} into {MAP_SOCKETS}"))
                .because(error)
        })
    }

    /// Lets the frames of `queue` go to the kernel's stack again.
    pub fn remove_socket(&mut self, queue: u32) {
        if let Ok(mut sockets) = self.map::<XskMap<&mut MapData>>(MAP_SOCKETS) {
            // An empty slot is what is wanted; that it was empty already is no failure.
            let _ = sockets.unset(queue);
        }
    }

    /// The kernel's number of the program that was attached last, as `bpftool prog` has it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Takes the program off the interface.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// Verdicts so far, summed over the CPUs, in the order of [`Verdict::ALL`].
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub fn verdicts(&self) -> Result<[u64; Verdict::ALL.len()]> {
        let unreadable = |error| {
            Failure::system(format!("cannot read the XDP program's map {MAP_VERDICTS}")).because(error)
        };
        let map = self.ebpf.map(MAP_VERDICTS).ok_or_else(|| missing(MAP_VERDICTS))?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(unreadable)?;
        let mut sums = [0; Verdict::ALL.len()];
        for (index, sum) in (0..).zip(sums.iter_mut()) {
            *sum = counters.get(&index, 0).map_err(unreadable)?.iter().sum();
        }
        Ok(sums)
    }

    /// Passes what the program logged on to the logger. To be called now and then while the debug
    /// log is on; does nothing otherwise.
    pub fn flush_log(&mut self) {
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
            Failure::system(format!("the eBPF object's map {name} is not what it was")).because(error)
        })
    }
}

/// The kernel's refusal, as aya tells its own.
fn io(error: std::io::Error) -> ProgramError {
    ProgramError::IOError(error)
}

fn missing(map: &str) -> Failure {
    Failure::system(format!("the eBPF object has no map {map}")).remedy("build it anew: `cargo xtask build`")
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or_else(|| ProgramError::InvalidName { name: name.to_owned() })?.try_into()
}

fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<(), ProgramError> {
    xdp(ebpf, name)?.load()
}

/// The kernel's refusal of the program. What the verifier says of it runs to a thousand lines: its
/// last word is told, all of it stands in the debug log.
fn unloadable(error: ProgramError) -> Failure {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return Failure::system("cannot load the XDP program").because(error);
    };
    let log = verifier_log.to_string();
    tracing::debug!("the verifier on the XDP program: {log}");
    refused_with(&log).because(io_error)
}

fn refused_with(log: &str) -> Failure {
    Failure::system(match last_word(log) {
        Some(word) => format!("cannot load the XDP program: the verifier says '{word}'"),
        None => "cannot load the XDP program".to_owned(),
    })
}

/// The line of a verifier's log that says why; the lines after it tell what the verifier itself took.
fn last_word(log: &str) -> Option<&str> {
    const FOOTERS: [&str; 3] = ["verification time", "stack depth", "processed"];
    let lines = log.lines().rev().map(str::trim);
    let mut words = lines.filter(|line| !FOOTERS.iter().any(|footer| line.starts_with(footer)));
    words.find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{last_word, refused_with};
    use std::io;

    const LOG: &str = "1110: (bf) r3 = r2\n1111: (0f) r3 += r1\nmath between pkt pointer and register with \
                       unbounded min value is not allowed\nverification time 18664 usec\nstack depth 136\n\
                       processed 681 insns (limit 1000000)\n";

    #[test]
    fn of_a_verifiers_log_the_last_word_is_told() {
        let word = "math between pkt pointer and register with unbounded min value is not allowed";
        assert_eq!(last_word(LOG), Some(word));
        assert_eq!(last_word("\nprocessed 681 insns\n"), None);
        assert_eq!(last_word(""), None);
        let failure = refused_with(LOG).because(io::Error::from_raw_os_error(libc::EINVAL));
        assert_eq!(
            failure.to_string(),
            format!(
                "cannot load the XDP program: the verifier says '{word}': Invalid argument (os error 22)"
            )
        );
        assert_eq!(refused_with("").to_string(), "cannot load the XDP program");
    }
}
