//! Counts what the driver loses after the XDP program's verdicts: attaches the tracepoint programs and reads
//! their counters.

use super::kernel_types::KernelTypes;
use super::{XdpProgram, missing};
use crate::error::{Failure, Result};
use aya::maps::{Array, PerCpuArray};
use aya::programs::{ProgramError, RawTracePoint};
use xstun_ebpf::loss::{DriverLoss, LossFilter};
use xstun_ebpf::{LOSS_PROGRAMS, MAP_LOSS_FILTER, MAP_LOSSES};

/// The kernel's own description of its types; any user may read it.
const BTF: &str = "/sys/kernel/btf/vmlinux";

impl XdpProgram {
    /// Makes the losses of this program count from its attachment on. Call it before the program is attached.
    /// The tracepoint programs are attached to descriptors of this process, so they end with it.
    ///
    /// # Errors
    /// The kernel has no BTF or declares the tracepoints otherwise than expected, a permission is missing, or the
    /// verifier refuses. Nothing is counted then.
    pub(crate) fn count_losses(&mut self) -> Result<()> {
        let failed = || Failure::system("cannot count what the driver loses");
        let btf = std::fs::read(BTF).map_err(|error| {
            failed().because(format!("{BTF}: {error}")).remedy("use a kernel with CONFIG_DEBUG_INFO_BTF=y")
        })?;
        let types = KernelTypes::parse(&btf)
            .ok_or_else(|| failed().because(format!("{BTF} has an unknown format")))?;
        let filter = locate(&types).map_err(|why| failed().because(why))?;
        for (program, tracepoint) in LOSS_PROGRAMS {
            self.attach_tracepoint(program, tracepoint).map_err(|error| {
                failed().because(format!("tracepoint xdp:{tracepoint}: {error}")).remedy(
                    "grant CAP_BPF and CAP_PERFMON, and use a kernel with CONFIG_BPF_EVENTS=y that is not locked \
                     down to confidentiality",
                )
            })?;
        }
        self.loss_filter = Some(filter);
        Ok(())
    }

    /// Counts the losses of the program with this ID, if any are counted.
    ///
    /// # Errors
    /// The kernel refused to update the map.
    pub(super) fn filter_losses(&mut self, program: u32) -> Result<(), ProgramError> {
        let Some(filter) = self.loss_filter else { return Ok(()) };
        let map = self.ebpf.map_mut(MAP_LOSS_FILTER).ok_or_else(|| invalid(MAP_LOSS_FILTER))?;
        let mut filters = Array::<_, [u32; 8]>::try_from(map)?;
        Ok(filters.set(0, LossFilter { program, ..filter }.to_words(), 0)?)
    }

    fn attach_tracepoint(&mut self, name: &'static str, tracepoint: &str) -> Result<(), ProgramError> {
        let program = self.ebpf.program_mut(name);
        let program: &mut RawTracePoint = program.ok_or_else(|| invalid(name))?.try_into()?;
        program.load()?;
        program.attach(tracepoint).map(drop)
    }

    /// Returns the losses so far, summed over the CPUs, in the order of [`DriverLoss::ALL`].
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(crate) fn losses(&self) -> Result<[u64; DriverLoss::COUNT]> {
        let unreadable =
            |error| Failure::system(format!("cannot read the XDP program's map {MAP_LOSSES}")).because(error);
        let map = self.ebpf.map(MAP_LOSSES).ok_or_else(|| missing(MAP_LOSSES))?;
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(unreadable)?;
        let mut sums = [0; DriverLoss::COUNT];
        for (index, sum) in (0..).zip(sums.iter_mut()) {
            *sum = counters.get(&index, 0).map_err(unreadable)?.iter().sum();
        }
        Ok(sums)
    }
}

fn invalid(name: &str) -> ProgramError {
    ProgramError::InvalidName { name: name.to_owned() }
}

/// Returns where this kernel keeps what the tracepoint programs read, for a program that is still to be named.
///
/// # Errors
/// What the kernel lacks, or declares otherwise than these programs expect.
fn locate(types: &KernelTypes) -> Result<LossFilter, String> {
    for (tracepoint, arguments) in EXPECTED {
        let found = types.tracepoint(tracepoint).ok_or_else(|| format!("no tracepoint xdp:{tracepoint}"))?;
        let as_expected = |(index, expected): &(usize, Argument)| {
            found.get(*index).is_some_and(|id| expected.is(types, *id))
        };
        if !arguments.iter().all(as_expected) {
            return Err(format!("this kernel's tracepoint xdp:{tracepoint} has other arguments"));
        }
    }
    let structure = |name: &str| types.structure(name).ok_or_else(|| format!("no struct {name}"));
    let field = |place, name: &str| types.field(place, name).ok_or_else(|| format!("no field {name}"));
    let pointer = |place: super::kernel_types::Place, to: &str| {
        let expected = types.points_to(place.kind, to);
        expected.then_some(place.offset).ok_or_else(|| format!("no pointer to struct {to} where expected"))
    };
    let id = field(structure("bpf_prog_aux")?, "id")?;
    if !types.is_number(id.kind) {
        return Err("the ID of a program is not a number of 32 bits".to_owned());
    }
    let driver = types.enumerator("bpf_xdp_mode", "XDP_MODE_DRV").ok_or("no enumerator XDP_MODE_DRV")?;
    let attached = types.element(field(structure("net_device")?, "xdp_state")?, driver);
    let link = field(attached.ok_or("xdp_state has no element XDP_MODE_DRV")?, "link")?;
    let base = field(structure("bpf_xdp_link")?, "link")?;
    Ok(LossFilter {
        aux: pointer(field(structure("bpf_prog")?, "aux")?, "bpf_prog_aux")?,
        id: id.offset,
        link: pointer(link, "bpf_xdp_link")?,
        link_program: pointer(field(base, "prog")?, "bpf_prog")?,
        ..LossFilter::default()
    })
}

/// What an argument of a tracepoint must be.
#[derive(Clone, Copy)]
enum Argument {
    /// A pointer to this structure.
    Pointer(&'static str),
    /// A number of 32 bits.
    Number,
}

impl Argument {
    fn is(self, types: &KernelTypes, id: u32) -> bool {
        match self {
            Argument::Pointer(structure) => types.points_to(id, structure),
            Argument::Number => types.is_number(id),
        }
    }
}

/// The arguments that the tracepoint programs read, as include/trace/events/xdp.h declares them since Linux 5.6.
const EXPECTED: [(&str, &[(usize, Argument)]); 3] = [
    ("xdp_exception", &[(1, Argument::Pointer("bpf_prog")), (2, Argument::Number)]),
    ("xdp_bulk_tx", &[(0, Argument::Pointer("net_device")), (2, Argument::Number)]),
    ("xdp_redirect_err", &[(1, Argument::Pointer("bpf_prog")), (3, Argument::Number)]),
];

#[cfg(test)]
mod tests;
