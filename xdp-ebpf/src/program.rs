//! Maps, the frame as the core reads and replaces it, and the entry points.
#![allow(unsafe_code)]

use aya_ebpf::{
    EbpfContext,
    bindings::xdp_action::{XDP_PASS, XDP_TX},
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray, XskMap},
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use core::net::IpAddr;
use xstun_core::classify::{Endpoint, PORT_WORDS, ReadFrame, Serves, Verdict, classify};
use xstun_core::outcome::Outcome;
use xstun_core::plain_frame::{Declined, ReplaceFrame, answer_plain};
use xstun_core::source::{REFUSED_BITS, SourceRules, refused_bit};
use xstun_core::stun::Permission;
use xstun_ebpf::packet::{bytes, bytes_mut};
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
static XSTUN_VERDICTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Verdict::COUNT as u32, 0);
#[map]
static XSTUN_OUTCOMES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Outcome::COUNT as u32, 0);
#[map]
static XSTUN_REFUSED: Array<u64> = Array::with_max_entries(REFUSED_BITS / 64, 0);

/// Answers and redirects, for kernels with multi-buffer XDP (5.18): attaches at any MTU.
#[xdp(frags)]
#[inline(always)]
fn xstun_answers_frags(mut ctx: XdpContext) -> u32 {
    run::<true, true>(&mut ctx)
}

/// Answers and redirects, for kernels before multi-buffer XDP, which refuse to load a program that declares it.
#[xdp]
#[inline(always)]
fn xstun_answers_linear(mut ctx: XdpContext) -> u32 {
    run::<false, true>(&mut ctx)
}

/// Redirects only, for kernels with multi-buffer XDP.
#[xdp(frags)]
#[inline(always)]
fn xstun_frags(mut ctx: XdpContext) -> u32 {
    run::<true, false>(&mut ctx)
}

/// Redirects only, for kernels before multi-buffer XDP.
#[xdp]
#[inline(always)]
fn xstun_linear(mut ctx: XdpContext) -> u32 {
    run::<false, false>(&mut ctx)
}

#[inline(always)]
fn run<const FRAGS: bool, const ANSWERS: bool>(ctx: &mut XdpContext) -> u32 {
    let (action, verdict) = decide::<FRAGS, ANSWERS>(ctx);
    debug!(ctx, "{}: queue {}", verdict.name(), ctx.rx_queue_index());
    add_one(XSTUN_VERDICTS.get_ptr_mut(verdict as u32));
    action
}

/// Answers, redirects or passes the frame; returns what the kernel is to do with it, and the verdict.
#[inline(always)]
fn decide<const FRAGS: bool, const ANSWERS: bool>(ctx: &mut XdpContext) -> (u32, Verdict) {
    match classify(&Packet(ctx), &Maps) {
        Ok(_) if FRAGS && has_fragments(ctx) => (XDP_PASS, Verdict::MultiBuffer),
        Ok((datagram, permission)) if ANSWERS && permission.may_answer() => {
            match answer_plain(&mut Packet(ctx), datagram, permission, &Maps) {
                Ok(outcome) => {
                    add_one(XSTUN_OUTCOMES.get_ptr_mut(outcome as u32));
                    (XDP_TX, Verdict::Answered)
                }
                Err(Declined::NoRoom) => redirect(ctx, Verdict::RedirectNoRoom),
                Err(Declined::NotPlain) => redirect(ctx, Verdict::Redirect),
            }
        }
        Ok(_) => redirect(ctx, Verdict::Redirect),
        Err(verdict) => (XDP_PASS, verdict),
    }
}

/// Redirects the frame to the AF_XDP socket of its queue, or passes it to the stack if there is none. The
/// map's fallback action makes both one helper call (Linux 5.3).
#[inline(always)]
fn redirect(ctx: &XdpContext, verdict: Verdict) -> (u32, Verdict) {
    match XSTUN_SOCKETS.redirect(ctx.rx_queue_index(), u64::from(XDP_PASS)) {
        Ok(action) => (action, verdict),
        Err(_) => (XDP_PASS, Verdict::NoSocket),
    }
}

/// Whether the frame continues beyond its first buffer: a socket bound without XDP_USE_SG would lose it.
#[inline(always)]
fn has_fragments(ctx: &XdpContext) -> bool {
    // SAFETY: the helper reads the context that the kernel passed to this very call.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) } as usize;
    ctx.data() + (length & 0xffff) > ctx.data_end()
}

/// Adds one to a slot of a per-CPU array.
#[inline(always)]
fn add_one(slot: Option<*mut u64>) {
    if let Some(counter) = slot {
        // SAFETY: the pointer is to this CPU's own slot, and a program does not migrate while it runs. No other
        // program runs on this CPU meanwhile, except on kernels with PREEMPT_RT, where a count may be lost.
        unsafe { *counter += 1 };
    }
}

/// Longest buffer of a packet, in bytes.
const LONGEST_BUFFER: usize = 0xffff;

/// The frame's first buffer.
struct Packet<'a>(&'a mut XdpContext);

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

impl ReplaceFrame for Packet<'_> {
    /// Moves the end of the frame, or its start where the buffer has no room behind it (on veth often).
    #[inline(always)]
    fn replace<const N: usize>(&mut self, reply: &[u8; N]) -> bool {
        let context = self.0.as_ptr().cast();
        let longer = N as i32 - (self.0.data_end() - self.0.data()) as i32;
        // SAFETY: the helpers take the context that the kernel passed to this very call. They move the ends of
        // the frame or fail. `self` is borrowed exclusively, so there is no reference into the frame.
        let moved = unsafe {
            longer == 0
                || bpf_xdp_adjust_tail(context, longer) == 0
                || bpf_xdp_adjust_head(context, -longer) == 0
        };
        if !moved {
            return false;
        }
        // SAFETY: as above.
        match unsafe { bytes_mut::<N>(self.0) } {
            Some(frame) => {
                *frame = *reply;
                true
            }
            // The frame has `N` bytes now, which only the verifier does not know.
            None => false,
        }
    }
}

/// What is served, from the maps that user space fills.
struct Maps;

impl Serves for Maps {
    type Entry = Permission;

    #[inline(always)]
    fn mac(&self, address: &[u8; 6]) -> bool {
        XSTUN_MAC.get(0).is_some_and(|own| own[..6] == *address)
    }

    #[inline(always)]
    fn endpoint(&self, endpoint: &Endpoint, port: u16) -> Result<Permission, Verdict> {
        // The bitmap first: an array look-up costs a fraction of a hash look-up.
        if XSTUN_PORTS.get(u32::from(port) / 64).is_none_or(|word| word & 1 << (port % 64) == 0) {
            return Err(Verdict::OtherPort);
        }
        // SAFETY: the value is one byte, which is read once; user space may replace it at any time.
        match unsafe { XSTUN_SERVED.get(&AlignedKey(*endpoint).0) } {
            Some(permission) => Ok(Permission::from_byte(*permission)),
            None => Err(Verdict::OtherAddress),
        }
    }
}

/// A key as the compiler may build it on the stack in words of eight bytes, whose alignment the verifier checks.
#[repr(align(8))]
struct AlignedKey(Endpoint);

impl SourceRules for Maps {
    #[inline(always)]
    fn refuses(&self, source: &IpAddr) -> bool {
        let bit = refused_bit(source);
        XSTUN_REFUSED.get(u32::from(bit) / 64).is_none_or(|word| word & 1 << (bit % 64) != 0)
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
