//! The memory: one UMEM a queue, and the only way to the bytes of a frame.
#![allow(unsafe_code)]

use std::num::NonZeroU32;
use xsk_rs::config::{FrameSize, QueueSize, UmemConfig};
use xsk_rs::umem::UmemCreateError;
use xsk_rs::umem::frame::FrameDesc;

/// Bytes of a UMEM frame. Two to a page; holds any frame that the classifier lets through behind
/// the kernel's headroom.
pub const FRAME_SIZE: u32 = 2048;
/// Slots of each of the four rings.
pub const RING_SIZE: u32 = 2048;
/// Frames of a queue: the fill ring and the transmit ring can be full at the same time.
pub const FRAMES: u32 = 2 * RING_SIZE;

/// A UMEM frame that user space owns. xsk-rs's descriptor is `Copy`; this token is not, so a frame given to the
/// kernel cannot be given again.
#[derive(Debug)]
#[repr(transparent)]
pub struct UmemFrame(FrameDesc);

impl UmemFrame {
    /// Takes a frame into user space's hands: only for what comes from a ring or a new UMEM.
    pub(super) fn admit(descriptor: FrameDesc) -> Self {
        UmemFrame(descriptor)
    }
}

/// The packet memory of one AF_XDP socket.
#[derive(Debug)]
pub struct Umem {
    umem: xsk_rs::Umem,
}

impl Umem {
    /// Maps and registers [`FRAMES`] frames. The memory is touched by the calling thread and so
    /// comes from the NUMA node where that thread runs: call it where the worker is pinned.
    ///
    /// # Errors
    /// No memory, no right to lock it (RLIMIT_MEMLOCK without CAP_IPC_LOCK: ENOBUFS), no right to
    /// open an AF_XDP socket (CAP_NET_RAW: EPERM), or no AF_XDP in this kernel (EAFNOSUPPORT).
    pub fn create() -> Result<(Self, Vec<UmemFrame>), UmemCreateError> {
        let (umem, frames) = xsk_rs::Umem::new(config(), FRAME_COUNT, false)?;
        Ok((Umem { umem }, frames.into_iter().map(UmemFrame).collect()))
    }

    /// What a socket is created from.
    pub(super) fn registered(&self) -> &xsk_rs::Umem {
        &self.umem
    }

    /// Lets `edit` work on a frame: it gets the frame's memory from the first byte of the packet to
    /// the frame's end, and the packet's length; it gives the new length.
    #[inline(always)]
    pub fn edit<R>(&self, frame: &mut UmemFrame, edit: impl FnOnce(&mut [u8], usize) -> (usize, R)) -> R {
        let descriptor = &mut frame.0;
        let length = descriptor.lengths().data();
        // The transmit ring knows other options than the receive ring and refuses what it does not know.
        descriptor.set_options(0);
        // SAFETY: contract of `Umem::data_mut`: the descriptor describes a frame of this UMEM, since
        // tokens are made only from this socket's rings and a worker has one socket; no other
        // reference to the frame exists and the kernel does not hold it, since `UmemFrame` is the one
        // token of it and is borrowed mutably.
        let mut data = unsafe { self.umem.data_mut(descriptor) };
        data.cursor().set_pos(usize::MAX);
        let (length, result) = edit(data.contents_mut(), length);
        data.cursor().set_pos(length);
        result
    }
}

const FRAME_COUNT: NonZeroU32 = NonZeroU32::new(FRAMES).expect("a constant that is not zero");

/// Slots of a ring, in xsk-rs's type.
pub(super) fn ring_size() -> QueueSize {
    QueueSize::new(RING_SIZE).expect("a constant power of two")
}

fn config() -> UmemConfig {
    UmemConfig::builder()
        .frame_size(FrameSize::new(FRAME_SIZE).expect("a constant that the kernel's minimum allows"))
        .fill_queue_size(ring_size())
        .comp_queue_size(ring_size())
        .build()
        .expect("constants that fit each other")
}
