//! Tracepoint programs: count what the driver loses after a verdict of this object's XDP program.
//!
//! Each interface has its own copy of the object, so the program's ID tells the interface as well; an index of an
//! interface would not, because other network namespaces use the same ones.
#![allow(unsafe_code)]

use aya_ebpf::{
    bindings::xdp_action::XDP_TX,
    helpers::bpf_probe_read_kernel,
    macros::{map, raw_tracepoint},
    maps::{Array, PerCpuArray},
    programs::RawTracePointContext,
};
use xstun_ebpf::loss::{DriverLoss, LossFilter};

#[map]
static XSTUN_LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(DriverLoss::COUNT as u32, 0);
#[map]
static XSTUN_LOSS_FILTER: Array<LossFilter> = Array::with_max_entries(1, 0);

/// `xdp_exception(const struct net_device *dev, const struct bpf_prog *xdp, u32 act)`
#[raw_tracepoint]
fn xstun_exception(ctx: RawTracePointContext) -> u32 {
    // A failed redirection reaches xdp_redirect_err as well, and some drivers report it here too.
    if ctx.arg::<u32>(2) == XDP_TX && is_ours(ctx.arg(1)) {
        count(DriverLoss::Transmit, 1);
    }
    0
}

/// `xdp_bulk_tx(const struct net_device *dev, int sent, int drops, int err)`
#[raw_tracepoint]
fn xstun_bulk_tx(ctx: RawTracePointContext) -> u32 {
    let drops: i32 = ctx.arg(2);
    if drops > 0 && has_ours(ctx.arg(0)) {
        count(DriverLoss::TransmitBulk, drops as u64);
    }
    0
}

/// `xdp_redirect_err(const struct net_device *dev, const struct bpf_prog *xdp, const void *tgt, int err, ...)`
#[raw_tracepoint]
fn xstun_redirect_err(ctx: RawTracePointContext) -> u32 {
    if is_ours(ctx.arg(1)) {
        count(DriverLoss::of_redirect(ctx.arg(3)), 1);
    }
    0
}

/// Whether the `struct bpf_prog` at this address is this object's XDP program.
#[inline(always)]
fn is_ours(program: u64) -> bool {
    let Some(value) = XSTUN_LOSS_FILTER.get_ptr_mut(0) else { return false };
    // SAFETY: the pointer is to the map's one value. User space writes it only while the XDP program is not
    // attached, and the programs write nothing but the address, which is one aligned word and always the same.
    let (filter, address) = unsafe { (*value, (&raw const (*value).address).read_volatile()) };
    // In a flood most frames end here, when no ring has room: reading kernel memory for each would cost as much as
    // the XDP program. As long as our program is loaded, no other is at its address.
    if program != 0 && address == program {
        return true;
    }
    let id: Option<u32> = read(program, filter.aux).and_then(|aux| read(aux, filter.id));
    let ours = id == Some(filter.program) && filter.program != 0;
    if ours {
        // SAFETY: as above.
        unsafe { (&raw mut (*value).address).write_volatile(program) };
    }
    ours
}

/// Whether this object's XDP program is attached to the `struct net_device` at this address, in the driver.
#[inline(always)]
fn has_ours(device: u64) -> bool {
    let Some(filter) = XSTUN_LOSS_FILTER.get(0) else { return false };
    let program = read::<u64>(device, filter.link).and_then(|link| read(link, filter.link_program));
    program.is_some_and(is_ours)
}

/// Reads kernel memory at `address + offset`; `None` if nothing is mapped there.
#[inline(always)]
fn read<T>(address: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks that the memory is mapped and copies it; any bytes are a number, and this module
    // reads nothing else.
    unsafe { bpf_probe_read_kernel((address + u64::from(offset)) as *const T) }.ok()
}

#[inline(always)]
fn count(loss: DriverLoss, frames: u64) {
    if let Some(counter) = XSTUN_LOSSES.get_ptr_mut(loss as u32) {
        // SAFETY: the pointer is to this CPU's own slot, and a program does not migrate while it runs. No other
        // program runs on this CPU meanwhile, except on kernels with PREEMPT_RT, where a count may be lost.
        unsafe { *counter += frames };
    }
}
