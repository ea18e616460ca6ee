//! Maps, the frame as the classifier reads it, and the two entry points.
#![allow(unsafe_code)]

use aya_ebpf::{
    EbpfContext,
    bindings::xdp_action::XDP_PASS,
    helpers::generated::bpf_xdp_get_buff_len,
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray, XskMap},
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use xstun_core::classify::{Endpoint, PORT_WORDS, ReadFrame, Serves, Verdict, classify};
use xstun_ebpf::packet::bytes;
use xstun_ebpf::{MAX_ENDPOINTS, MAX_QUEUES, Mac};

#[map]
static XSTUN_SOCKETS: XskMap = XskMap::with_max_entries(MAX_QUEUES, 0);
#[map]
static XSTUN_SERVED: HashMap<Endpoint, u8> = HashMap::with_max_entries(MAX_ENDPOINTS, 0);
#[map]
static XSTUN_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);
#[map]
static XSTUN_MAC: Array<Mac> = Array::with_max_entries(1, 0);
#[map]
static XSTUN_VERDICTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Verdict::ALL.len() as u32, 0);

/// For kernels with multi-buffer XDP (5.18): attaches at any MTU.
#[xdp(frags)]
fn xstun_frags(ctx: XdpContext) -> u32 {
    run::<true>(&ctx)
}

/// For kernels before multi-buffer XDP, which refuse to load a program that declares it.
#[xdp]
fn xstun_linear(ctx: XdpContext) -> u32 {
    run::<false>(&ctx)
}

#[inline(always)]
fn run<const FRAGS: bool>(ctx: &XdpContext) -> u32 {
    let verdict = match classify(&Packet(ctx), &Maps) {
        Ok(_) if FRAGS && has_fragments(ctx) => Verdict::MultiBuffer,
        Ok(_) => return redirect(ctx),
        Err(verdict) => verdict,
    };
    debug!(ctx, "pass: {}", verdict.name());
    count(verdict);
    XDP_PASS
}

/// Redirects the frame to the AF_XDP socket of its queue, or passes it to the stack if there is none. The
/// map's fallback action makes both one helper call (Linux 5.3).
#[inline(always)]
fn redirect(ctx: &XdpContext) -> u32 {
    let queue = ctx.rx_queue_index();
    match XSTUN_SOCKETS.redirect(queue, u64::from(XDP_PASS)) {
        Ok(action) => {
            debug!(ctx, "redirect: queue {}", queue);
            count(Verdict::Redirect);
            action
        }
        Err(_) => {
            debug!(ctx, "pass: no socket on queue {}", queue);
            count(Verdict::NoSocket);
            XDP_PASS
        }
    }
}

/// Whether the frame continues beyond its first buffer: a socket bound without XDP_USE_SG would lose it.
#[inline(always)]
fn has_fragments(ctx: &XdpContext) -> bool {
    // SAFETY: the helper reads the context that the kernel passed to this very call.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) } as usize;
    ctx.data() + (length & 0xffff) > ctx.data_end()
}

#[inline(always)]
fn count(verdict: Verdict) {
    if let Some(counter) = XSTUN_VERDICTS.get_ptr_mut(verdict as u32) {
        // SAFETY: the pointer is to this CPU's own slot, and a program does not migrate while it runs.
        unsafe { *counter += 1 };
    }
}

/// Longest buffer of a packet, in bytes.
const LONGEST_BUFFER: usize = 0xffff;

/// The frame's first buffer.
struct Packet<'a>(&'a XdpContext);

impl ReadFrame for Packet<'_> {
    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        // For the verifier of most kernels (Debian's 6.1 to 6.18 among them) a byte-swapped length has no
        // bounds, and it refuses to add such a number to a packet pointer. The compiler knows the bounds of a
        // u16 and would remove a mask; it keeps a comparison that it cannot prove.
        end <= LONGEST_BUFFER && self.0.data() + end <= self.0.data_end()
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        bytes(self.0, offset)
    }
}

/// What is served, from the maps that user space fills.
struct Maps;

impl Serves for Maps {
    #[inline(always)]
    fn mac(&self, address: &[u8; 6]) -> bool {
        XSTUN_MAC.get(0).is_some_and(|own| own[..6] == *address)
    }

    #[inline(always)]
    fn endpoint(&self, endpoint: &Endpoint, port: u16) -> Result<(), Verdict> {
        // The bitmap first: an array look-up costs a fraction of a hash look-up.
        if XSTUN_PORTS.get(u32::from(port) / 64).is_none_or(|word| word & 1 << (port % 64) == 0) {
            return Err(Verdict::OtherPort);
        }
        // SAFETY: only the presence of the key matters; the value, which user space may change, is not read.
        match unsafe { XSTUN_SERVED.get(endpoint) } {
            Some(_) => Ok(()),
            None => Err(Verdict::OtherAddress),
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The crate's licence in the kernel's words. Reading kernel memory (`losses.rs`) requires the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
