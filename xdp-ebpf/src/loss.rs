//! Frames that the driver loses after the XDP program's verdict: how they are told apart, and what the
//! tracepoint programs need to know of the running kernel.

use xstun_core::enumeration;

enumeration! {
    /// Why a frame was lost after the verdict of the XDP program. The index is that of its counter in
    /// [`MAP_LOSSES`](crate::MAP_LOSSES).
    pub enum DriverLoss {
        /// The driver could not send one reply (tracepoint `xdp:xdp_exception` with XDP_TX).
        Transmit = ("transmit", false),
        /// The driver could not send some replies of a bulk (`xdp:xdp_bulk_tx`).
        TransmitBulk = ("transmit_bulk", false),
        /// The receive ring of the AF_XDP socket was full: ENOBUFS of `xdp:xdp_redirect_err`.
        RingFull = ("redirect_ring_full", true),
        /// The fill ring was empty: ENOMEM.
        NoFrame = ("redirect_no_frame", true),
        /// The frame is longer than a UMEM frame: ENOSPC. Before Linux 5.19 also: the receive ring was full.
        NoSpace = ("redirect_no_space", true),
        /// The socket is not bound: ENXIO.
        Unbound = ("redirect_unbound", false),
        /// The socket is bound to another interface or queue: EINVAL. Before Linux 5.19 also: not bound.
        Mismatch = ("redirect_mismatch", false),
        /// The redirection failed for another reason.
        Other = ("redirect_other", false),
    }
    columns {
        /// Name in metrics and in the counters printed at exit.
        name: &'static str,
        /// Whether the AF_XDP socket counts it too, in XDP_STATISTICS.
        counted_by_socket: bool,
    }
}

impl DriverLoss {
    /// The kind of a redirection that failed with this negated errno.
    #[inline(always)]
    pub const fn of_redirect(error: i32) -> Self {
        // linux/errno.h and asm-generic/errno-base.h; the same on every architecture that aya supports but
        // MIPS, whose ENOBUFS counts as `Other`.
        const ENXIO: i32 = -6;
        const ENOMEM: i32 = -12;
        const EINVAL: i32 = -22;
        const ENOSPC: i32 = -28;
        const ENOBUFS: i32 = -105;
        match error {
            ENOBUFS => DriverLoss::RingFull,
            ENOMEM => DriverLoss::NoFrame,
            ENOSPC => DriverLoss::NoSpace,
            ENXIO => DriverLoss::Unbound,
            EINVAL => DriverLoss::Mismatch,
            _ => DriverLoss::Other,
        }
    }
}

/// Which losses count, and where the running kernel keeps what tells: the value of
/// [`MAP_LOSS_FILTER`](crate::MAP_LOSS_FILTER). Offsets are in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossFilter {
    /// Address of the program's `struct bpf_prog`; 0 until the tracepoint programs have found it.
    pub address: u64,
    /// The kernel's ID of the XDP program whose losses count; 0 counts none.
    pub program: u32,
    /// Offset of `aux` in `struct bpf_prog`.
    pub aux: u32,
    /// Offset of `id` in `struct bpf_prog_aux`.
    pub id: u32,
    /// Offset of `xdp_state[XDP_MODE_DRV].link` in `struct net_device`.
    pub link: u32,
    /// Offset of `link.prog` in `struct bpf_xdp_link`.
    pub link_program: u32,
    /// Not used.
    pub rest: u32,
}

impl LossFilter {
    /// The value as the map holds it, for a program whose address is not known.
    pub const fn to_words(self) -> [u32; 8] {
        let LossFilter { address: _, program, aux, id, link, link_program, rest } = self;
        [0, 0, program, aux, id, link, link_program, rest]
    }
}

/// Both sides of the map must see the same bytes.
const _: () = assert!(size_of::<LossFilter>() == size_of::<[u32; 8]>());
