//! The tracepoint programs count the losses of one XDP program by their kind, and those of no other. The kernel runs
//! them by BPF_PROG_TEST_RUN with arguments that the test makes up.

use super::{XDP_REDIRECT, XDP_TX, kernel};
use aya::Ebpf;
use aya::maps::{Array, PerCpuArray};
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _};
use xstun_ebpf::loss::DriverLoss;
use xstun_ebpf::{LOSS_PROGRAMS, MAP_LOSS_FILTER, MAP_LOSSES};

/// Where the XDP program whose losses count stands in kernel memory, as the filter says; nothing is there.
const OURS: u64 = 0x1000;
/// Another program's address: nothing can be read there either.
const OTHER: u64 = 0x2000;

fn counted(ebpf: &Ebpf) -> Vec<(DriverLoss, u64)> {
    let map = PerCpuArray::<_, u64>::try_from(ebpf.map(MAP_LOSSES).expect(MAP_LOSSES)).unwrap();
    let count = |loss: DriverLoss| map.get(&(loss as u32), 0).unwrap().iter().sum();
    DriverLoss::ALL.into_iter().map(|loss| (loss, count(loss))).filter(|(_, count)| *count > 0).collect()
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn losses_of_one_program_are_counted_by_their_kind() {
    let mut ebpf = kernel::load_object();
    for (name, _) in LOSS_PROGRAMS {
        let program: &mut RawTracePoint = ebpf.program_mut(name).expect(name).try_into().unwrap();
        program.load().unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let error = |errno: i32| u64::from((-errno).cast_unsigned());
    let exception = |program, action: u32| [0, program, action.into(), 0];
    let redirect = |program, errno| [0, program, 0, error(errno)];
    let runs: [(&str, [u64; 4]); 11] = [
        ("xstun_exception", exception(OURS, XDP_TX)),
        ("xstun_exception", exception(OURS, XDP_REDIRECT)),
        ("xstun_exception", exception(OTHER, XDP_TX)),
        ("xstun_redirect_err", redirect(OURS, libc::ENOBUFS)),
        ("xstun_redirect_err", redirect(OURS, libc::ENXIO)),
        ("xstun_redirect_err", redirect(OURS, libc::ENXIO)),
        ("xstun_redirect_err", redirect(OURS, libc::EBADRQC)),
        ("xstun_redirect_err", redirect(OTHER, libc::ENOBUFS)),
        // The device has no program that could be read.
        ("xstun_bulk_tx", [OTHER, 3, 13, 0]),
        ("xstun_bulk_tx", [OTHER, 16, 0, 0]),
        ("xstun_bulk_tx", [OTHER, 0, error(libc::ENXIO), error(libc::ENXIO)]),
    ];
    let mut run_all = |address: u64, program: u32| {
        let mut filter = Array::<_, [u32; 8]>::try_from(ebpf.map_mut(MAP_LOSS_FILTER).unwrap()).unwrap();
        let [low, high] = [address as u32, (address >> 32) as u32];
        filter.set(0, [low, high, program, 0, 0, 0, 0, 0], 0).unwrap();
        for (name, arguments) in runs {
            let program: &mut RawTracePoint = ebpf.program_mut(name).expect(name).try_into().unwrap();
            let mut options = RawTracePointRunOptions::new();
            options.args[..4].copy_from_slice(&arguments);
            program.test_run(options).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        counted(&ebpf)
    };
    assert_eq!(run_all(0, 0), [], "no program is named");
    assert_eq!(run_all(0, 7), [], "the named program is not found");
    let expected = [
        (DriverLoss::Transmit, 1),
        (DriverLoss::RingFull, 1),
        (DriverLoss::Unbound, 2),
        (DriverLoss::Other, 1),
    ];
    assert_eq!(run_all(OURS, 7), expected);
}
