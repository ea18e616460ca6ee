//! What the XDP program and its loader share: names and layouts of the maps.
#![no_std]

pub mod loss;
#[cfg(target_arch = "bpf")]
pub mod packet;

/// Name of the XDP program for kernels with multi-buffer frames (Linux 5.18 and later), which attaches at any
/// MTU. It answers plain requests where an endpoint's [`Permission`] says so, and redirects the others.
///
/// [`Permission`]: xstun_core::stun::Permission
pub const PROGRAM_ANSWERS_FRAGS: &str = "xstun_answers_frags";
/// Name of the same program for older kernels, which refuse a program that declares multi-buffer support.
pub const PROGRAM_ANSWERS_LINEAR: &str = "xstun_answers_linear";
/// Name of the smaller program, which redirects every request, for kernels with multi-buffer frames.
pub const PROGRAM_FRAGS: &str = "xstun_frags";
/// Name of the smaller program for older kernels.
pub const PROGRAM_LINEAR: &str = "xstun_linear";
/// XSKMAP: receive queue -> AF_XDP socket. An empty slot passes the queue's frames to the stack.
pub const MAP_SOCKETS: &str = "XSTUN_SOCKETS";
/// Hash: [`Endpoint`](xstun_core::classify::Endpoint) -> [`Permission`](xstun_core::stun::Permission), every
/// address and port served on this interface.
pub const MAP_SERVED: &str = "XSTUN_SERVED";
/// Array of [`PORT_WORDS`](xstun_core::classify::PORT_WORDS) words: bit `port % 64` of word `port / 64` is
/// set for a served port.
pub const MAP_PORTS: &str = "XSTUN_PORTS";
/// Array of one [`Mac`]: the interface's own hardware address.
pub const MAP_MAC: &str = "XSTUN_MAC";
/// Per-CPU array of `u64`, indexed by [`Verdict`](xstun_core::classify::Verdict).
pub const MAP_VERDICTS: &str = "XSTUN_VERDICTS";
/// Per-CPU array of `u64`, indexed by [`DriverLoss`](loss::DriverLoss).
pub const MAP_LOSSES: &str = "XSTUN_LOSSES";
/// Array of one [`LossFilter`](loss::LossFilter).
pub const MAP_LOSS_FILTER: &str = "XSTUN_LOSS_FILTER";

/// The tracepoint programs: name of each program, and of the kernel's tracepoint that it is for.
pub const LOSS_PROGRAMS: [(&str, &str); 3] = [
    ("xstun_exception", "xdp_exception"),
    ("xstun_bulk_tx", "xdp_bulk_tx"),
    ("xstun_redirect_err", "xdp_redirect_err"),
];
/// Per-CPU array of `u64`, indexed by [`Outcome`](xstun_core::outcome::Outcome): the requests that the program
/// answered.
pub const MAP_OUTCOMES: &str = "XSTUN_OUTCOMES";
/// Array of [`REFUSED_BITS`](xstun_core::source::REFUSED_BITS) bits in words of 64: those of refused sources are
/// set. A request from a source whose bit is set is redirected.
pub const MAP_REFUSED: &str = "XSTUN_REFUSED";

/// Capacity of [`MAP_SOCKETS`] unless the loader sets the interface's own number of queues.
pub const MAX_QUEUES: u32 = 256;
/// Capacity of [`MAP_SERVED`].
pub const MAX_ENDPOINTS: u32 = 4096;
/// Value of [`MAP_MAC`]: an Ethernet address and two bytes of zero.
pub type Mac = [u8; 8];

/// The map value for a hardware address.
pub const fn mac_value(address: [u8; 6]) -> Mac {
    let [a, b, c, d, e, f] = address;
    [a, b, c, d, e, f, 0, 0]
}

/// Both sides of a map must see the same bytes.
const _: () = assert!(size_of::<Mac>() == 8);
