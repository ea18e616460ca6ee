use super::super::kernel_types::KernelTypes;
use super::super::kernel_types::tests::BtfWriter;
use super::{LossFilter, locate};
use xstun_ebpf::loss::DriverLoss;

/// The part of a kernel that the tracepoint programs read.
struct Kernel {
    /// Type of `bpf_prog_aux.id`: its size in bytes.
    id: u32,
    /// Whether `xdp_redirect_err` has the arguments of `include/trace/events/xdp.h`.
    as_declared: bool,
}

impl Kernel {
    fn locate(&self) -> Result<LossFilter, String> {
        let mut btf = BtfWriter::default();
        let (number, id) = (btf.number(4), btf.number(self.id));
        let aux = btf.structure("bpf_prog_aux", 64, &[("refcnt", number, 0), ("id", id, 32)]);
        let aux = btf.pointer(aux);
        let program = btf.structure("bpf_prog", 64, &[("aux", aux, 56)]);
        let to_program = btf.pointer(program);
        let constant = btf.constant(program);
        let to_constant_program = btf.pointer(constant);
        let base = btf.structure("bpf_link", 24, &[("id", number, 8), ("prog", to_program, 16)]);
        let link = btf.structure("bpf_xdp_link", 40, &[("link", base, 8)]);
        let link = btf.pointer(link);
        let entity = btf.structure("bpf_xdp_entity", 16, &[("prog", to_program, 0), ("link", link, 8)]);
        let states = btf.array(entity, 3);
        let device = btf.structure("net_device", 200, &[("ifindex", number, 40), ("xdp_state", states, 100)]);
        let constant = btf.constant(device);
        let device = btf.pointer(constant);
        btf.enumeration("bpf_xdp_mode", &[("XDP_MODE_SKB", 0), ("XDP_MODE_DRV", 1)]);
        btf.tracepoint("xdp_exception", &[device, to_constant_program, number]);
        btf.tracepoint("xdp_bulk_tx", &[device, number, number, number]);
        let target = if self.as_declared { device } else { number };
        let arguments = if self.as_declared {
            vec![device, to_constant_program, target, number, number]
        } else {
            vec![device, to_constant_program, number, target, device][..3].to_vec()
        };
        btf.tracepoint("xdp_redirect_err", &arguments);
        locate(&KernelTypes::parse(&btf.into_bytes()).expect("well formed"))
    }
}

#[test]
fn offsets_are_those_of_the_running_kernel() {
    let expected =
        LossFilter { aux: 56, id: 32, link: 100 + 16 + 8, link_program: 8 + 16, ..LossFilter::default() };
    assert_eq!(Kernel { id: 4, as_declared: true }.locate(), Ok(expected));
}

#[test]
fn a_kernel_that_declares_something_else_is_refused_with_what() {
    let refused = |kernel: Kernel| kernel.locate().unwrap_err();
    let arguments = refused(Kernel { id: 4, as_declared: false });
    assert_eq!(arguments, "this kernel's tracepoint xdp:xdp_redirect_err has other arguments");
    let number = refused(Kernel { id: 8, as_declared: true });
    assert_eq!(number, "the ID of a program is not a number of 32 bits");
    let empty = BtfWriter::default().into_bytes();
    assert_eq!(
        locate(&KernelTypes::parse(&empty).unwrap()),
        Err("no tracepoint xdp:xdp_exception".to_owned())
    );
}

#[test]
fn failed_redirections_are_told_apart_by_their_errno() {
    for (errno, kind) in [
        (libc::ENOBUFS, DriverLoss::RingFull),
        (libc::ENOMEM, DriverLoss::NoFrame),
        (libc::ENOSPC, DriverLoss::NoSpace),
        (libc::ENXIO, DriverLoss::Unbound),
        (libc::EINVAL, DriverLoss::Mismatch),
        (libc::EOPNOTSUPP, DriverLoss::Other),
    ] {
        assert_eq!(DriverLoss::of_redirect(-errno), kind, "errno {errno}");
    }
}
