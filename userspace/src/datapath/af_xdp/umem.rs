//! Packet memory: one UMEM for each queue, and the only access to the bytes of a frame.
#![allow(unsafe_code)]

use std::num::NonZeroU32;
use xsk_rs::config::{FrameSize, QueueSize, UmemConfig};
use xsk_rs::umem::UmemCreateError;
use xsk_rs::umem::frame::FrameDesc;

/// Bytes of a UMEM frame: half a page. Behind the kernel's headroom it holds any frame that the classifier
/// accepts.
pub const FRAME_SIZE: u32 = 2048;
/// Slots of each of the four rings.
pub const RING_SIZE: u32 = 2048;
/// Frames of a queue: enough to fill both the fill ring and the transmit ring.
pub const FRAMES: u32 = 2 * RING_SIZE;

/// A UMEM frame that user space owns. xsk-rs's descriptor is `Copy`; this token is not, so a frame given to the
/// kernel cannot be given again.
#[derive(Debug)]
#[repr(transparent)]
pub struct UmemFrame(FrameDesc);

impl UmemFrame {
    /// Creates the token of a frame that a ring has handed over.
    ///
    /// # Safety
    /// User space owns the frame, and no other token of it exists.
    #[inline(always)]
    pub(super) unsafe fn admit(descriptor: FrameDesc) -> Self {
        UmemFrame(descriptor)
    }
}

/// The packet memory of one AF_XDP socket.
#[derive(Debug)]
pub struct Umem {
    umem: xsk_rs::Umem,
    /// All frames, until the socket's rings take them over.
    frames: Vec<UmemFrame>,
}

impl Umem {
    /// Maps and registers [`FRAMES`] frames. The calling thread touches the memory first, so it comes from
    /// the NUMA node of that thread: call it on the worker's pinned thread.
    ///
    /// # Errors
    /// No memory; no permission to lock it (RLIMIT_MEMLOCK without CAP_IPC_LOCK: ENOBUFS) or to open an
    /// AF_XDP socket (CAP_NET_RAW: EPERM); or no AF_XDP in this kernel (EAFNOSUPPORT).
    pub fn create() -> Result<Self, UmemCreateError> {
        let (umem, frames) = xsk_rs::Umem::new(config(), FRAME_COUNT, false)?;
        Ok(Umem { umem, frames: frames.into_iter().map(UmemFrame).collect() })
    }

    /// All frames, at the first call.
    pub(super) fn take_frames(&mut self) -> Vec<UmemFrame> {
        std::mem::take(&mut self.frames)
    }

    /// The UMEM in xsk-rs's type, to create a socket with.
    pub(super) fn registered(&self) -> &xsk_rs::Umem {
        &self.umem
    }

    /// Calls `edit` with the memory from the first byte of the packet to the end of the frame, and the
    /// packet's length. `edit` returns the new length, and so does this.
    ///
    /// # Safety
    /// `frame` is a frame of this UMEM, made by [`Umem::create`] or from a ring of the socket that is bound
    /// with it.
    #[inline(always)]
    pub(super) unsafe fn edit(
        &self,
        frame: &mut UmemFrame,
        edit: impl FnOnce(&mut [u8], usize) -> usize,
    ) -> usize {
        let descriptor = &mut frame.0;
        let length = descriptor.lengths().data();
        // The transmit ring knows other options than the receive ring and refuses what it does not know.
        descriptor.set_options(0);
        // SAFETY: contract of `Umem::data_mut`: the caller vouches that the descriptor describes a frame of
        // this UMEM. No other reference to the frame exists and the kernel does not hold it, since
        // `UmemFrame` is the one token of it, not `Copy`, and borrowed mutably.
        let mut data = unsafe { self.umem.data_mut(descriptor) };
        data.cursor().set_pos(usize::MAX);
        let length = edit(data.contents_mut(), length);
        data.cursor().set_pos(length);
        length
    }
}

const FRAME_COUNT: NonZeroU32 = NonZeroU32::new(FRAMES).expect("a constant that is not zero");

/// [`RING_SIZE`] in xsk-rs's type.
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
