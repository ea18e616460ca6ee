//! Bounds-checked access to a frame, for the XDP program and the benchmark's generator.
#![allow(unsafe_code)]

use aya_ebpf::programs::XdpContext;

/// Returns the `N` bytes at `offset` of the frame's first buffer; `None` if it is shorter.
#[inline(always)]
pub fn bytes<const N: usize>(ctx: &XdpContext, offset: usize) -> Option<&[u8; N]> {
    let start = ctx.data() + offset;
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the verifier holds us to the bounds just checked; a byte array needs no alignment. The
    // borrow is of the context, and nothing writes to the packet while that is borrowed.
    Some(unsafe { &*(start as *const [u8; N]) })
}

/// Returns the frame's first `N` bytes, to be written; `None` if it is shorter.
#[inline(always)]
pub fn bytes_mut<const N: usize>(ctx: &XdpContext) -> Option<&mut [u8; N]> {
    let start = ctx.data();
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the verifier holds us to the bounds just checked; a byte array needs no alignment. The one caller
    // has no other reference into the packet.
    Some(unsafe { &mut *(start as *mut [u8; N]) })
}
