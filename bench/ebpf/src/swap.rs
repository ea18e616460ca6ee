//! The limit of answers in the kernel: swaps addresses and ports of every UDP datagram over IPv4, and sends
//! it back by XDP_TX. It checks no more than the swap needs, and counts nothing.
#![allow(unsafe_code)]

use aya_ebpf::{
    bindings::xdp_action::{XDP_PASS, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};
use xstun_ebpf::packet::bytes;

/// Length of the headers up to the UDP ports, in 16-bit words.
const WORDS: usize = 19;

/// Checksums stay right, since sums do not depend on the order.
#[xdp]
fn xstun_swap(ctx: XdpContext) -> u32 {
    // The rest, ARP among it, is the kernel's.
    let Some(headers) = bytes::<{ 2 * WORDS }>(&ctx, 0) else { return XDP_PASS };
    if headers[12..15] != [8, 0, 0x45] || headers[23] != 17 {
        return XDP_PASS;
    }
    // SAFETY: the frame was just seen to have all these bytes, nothing borrows it, and every driver lets
    // frames start at even addresses.
    let words = unsafe { &mut *(ctx.data() as *mut [u16; WORDS]) };
    for (first, second) in [(0, 3), (1, 4), (2, 5), (13, 15), (14, 16), (17, 18)] {
        words.swap(first, second);
    }
    XDP_TX
}
