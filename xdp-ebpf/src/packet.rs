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
    // SAFETY: the verifier holds us to the bounds just checked; a byte array needs no alignment. Nothing writes to
    // the packet but through `bytes_mut`, whose callers hold no other reference.
    Some(unsafe { &*(start as *const [u8; N]) })
}

/// Returns the frame's first `N` bytes, to be written; `None` if it is shorter.
///
/// # Safety
/// There is no other reference into the packet, and none from before its start or end was moved.
#[inline(always)]
pub unsafe fn bytes_mut<const N: usize>(ctx: &mut XdpContext) -> Option<&mut [u8; N]> {
    let start = ctx.data();
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the verifier holds us to the bounds just checked; a byte array needs no alignment. By the caller's
    // promise this is the only reference.
    Some(unsafe { &mut *(start as *mut [u8; N]) })
}
