//! One socket's rings with every frame of its UMEM. Frames never leave it, so nothing else can edit them.
#![allow(unsafe_code)]

use super::socket::XdpSocket;
use super::umem::UmemFrame;
use xstun_core::rings::{BATCH, Occupancy, Rings};

/// A bound socket, its rings, and all frames of its UMEM.
///
/// The frames' tokens are private: each comes from this socket's own UMEM or rings and stays in one of the
/// three fields until a ring takes it. A program may have any number of queues; their frames cannot mix.
#[derive(Debug)]
pub struct FrameQueue {
    rings: Rings<XdpSocket>,
    received: Vec<UmemFrame>,
    outgoing: Vec<UmemFrame>,
}

impl FrameQueue {
    /// Takes over a socket that was just bound, and tops up its fill ring.
    pub fn new(mut socket: XdpSocket) -> Self {
        let frames = socket.take_frames();
        let mut rings = Rings::new(socket, frames);
        rings.refill();
        let [received, outgoing] = [0, 1].map(|_| Vec::with_capacity(BATCH));
        FrameQueue { rings, received, outgoing }
    }

    /// The socket, for its options, wake-ups and counters.
    #[inline(always)]
    pub fn socket(&mut self) -> &XdpSocket {
        self.rings.queues()
    }

    /// Takes back every frame whose transmission is complete.
    #[inline]
    pub fn reclaim(&mut self) {
        self.rings.reclaim();
    }

    /// Tops up the fill ring.
    #[inline]
    pub fn refill(&mut self) {
        self.rings.refill();
    }

    /// Takes up to [`BATCH`] received frames, to be passed to [`FrameQueue::rewrite`]; returns their number.
    #[inline]
    pub fn receive(&mut self) -> usize {
        self.rings.receive(&mut self.received)
    }

    /// Calls `rewrite` for each received frame, in order, with the memory from the first byte of the packet
    /// to the end of the frame, and the packet's length. `rewrite` returns the new length, with which the
    /// frame waits for [`FrameQueue::send`]; or 0, and the frame is free again.
    #[inline(always)]
    pub fn rewrite(&mut self, mut rewrite: impl FnMut(&mut [u8], usize) -> usize) {
        for mut frame in self.received.drain(..) {
            // SAFETY: the frame is one of this socket's UMEM and owned by user space, as the type says of
            // every token in it. `drain` owns the token, so it is borrowed once.
            let length = unsafe { self.rings.queues().umem().edit(&mut frame, &mut rewrite) };
            if length > 0 {
                self.outgoing.push(frame);
            } else {
                self.rings.recycle(frame);
            }
        }
    }

    /// Calls `write` for up to `count` free frames, with their index among these and their memory. `write`
    /// returns the packet's length, with which the frame waits for [`FrameQueue::send`]. Returns how many
    /// frames were free.
    #[inline(always)]
    pub fn write(&mut self, count: usize, mut write: impl FnMut(usize, &mut [u8]) -> usize) -> usize {
        let waiting = self.outgoing.len();
        let taken = self.rings.take(&mut self.outgoing, count);
        for (index, frame) in self.outgoing[waiting..].iter_mut().enumerate() {
            // SAFETY: as in `rewrite`; the slice's iterator borrows each token once.
            unsafe { self.rings.queues().umem().edit(frame, |buffer, _| write(index, buffer)) };
        }
        taken
    }

    /// Gives the waiting frames to the transmit ring, in order. Those that find no room are free again;
    /// returns their number. Never waits for room.
    #[inline]
    pub fn send(&mut self) -> usize {
        self.rings.send(&mut self.outgoing)
    }

    /// Where the frames are, by number.
    pub fn occupancy(&self) -> Occupancy {
        self.rings.occupancy()
    }
}
