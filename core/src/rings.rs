//! Accounts for the UMEM frames of one AF_XDP socket: each frame is free, in a ring, or being worked on, and
//! none is lost or counted twice.
//!
//! Has no memory and no kernel of its own: the real socket implements [`Queues`], and so does a model of the
//! kernel in the tests.

use alloc::vec::Vec;

/// Most frames that one call moves: what xdpsock, NSD and Quilkin use, and the kernel's NAPI budget.
pub const BATCH: usize = 64;

/// The four rings of an AF_XDP socket (Documentation/networking/af_xdp.rst).
pub trait Queues {
    /// The token of one UMEM frame. It must not be `Copy` or `Clone`: whoever holds it owns the frame, and a
    /// frame given to the kernel cannot be given again. That is how the compiler keeps the first rule of
    /// AF_XDP.
    type Frame;

    /// Appends up to [`BATCH`] frames whose transmission is complete; returns their number.
    fn take_completed(&mut self, frames: &mut Vec<Self::Frame>) -> usize;
    /// Moves frames from the end of `frames` to the fill ring, as many as have room; returns their number.
    fn give_to_fill(&mut self, frames: &mut Vec<Self::Frame>) -> usize;
    /// Appends up to [`BATCH`] received frames; returns their number.
    fn take_received(&mut self, frames: &mut Vec<Self::Frame>) -> usize;
    /// Moves frames from the front of `frames` to the transmit ring, as many as have room; returns their
    /// number.
    fn give_to_transmit(&mut self, frames: &mut Vec<Self::Frame>) -> usize;
}

/// Number of frames in each place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Unused, in user space.
    pub free: usize,
    /// In the fill ring, in the NIC, or received and not taken yet.
    pub fill: usize,
    /// Taken from the receive ring and being worked on.
    pub held: usize,
    /// In the transmit ring, in the NIC, or completed and not taken yet.
    pub transmit: usize,
}

/// The rings, and where every frame is.
#[derive(Debug)]
pub struct Rings<Q: Queues> {
    queues: Q,
    free: Vec<Q::Frame>,
    fill: usize,
    held: usize,
    transmit: usize,
    total: usize,
}

impl<Q: Queues> Rings<Q> {
    /// Takes the rings of a socket and all frames of its UMEM.
    pub fn new(queues: Q, frames: Vec<Q::Frame>) -> Self {
        let total = frames.len();
        Rings { queues, free: frames, fill: 0, held: 0, transmit: 0, total }
    }

    /// The rings themselves, for calls that move no frame.
    pub fn queues(&mut self) -> &mut Q {
        &mut self.queues
    }

    /// Takes back every frame whose transmission is complete.
    #[inline]
    pub fn reclaim(&mut self) {
        while self.transmit > 0 {
            let taken = self.queues.take_completed(&mut self.free);
            self.transmit -= taken;
            if taken < BATCH {
                break;
            }
        }
        self.check();
    }

    /// Fills the fill ring with the free frames.
    #[inline]
    pub fn refill(&mut self) {
        self.fill += self.queues.give_to_fill(&mut self.free);
        self.check();
    }

    /// Appends up to [`BATCH`] received frames to `frames`; returns their number.
    #[inline]
    pub fn receive(&mut self, frames: &mut Vec<Q::Frame>) -> usize {
        let taken = self.queues.take_received(frames);
        self.fill -= taken;
        self.held += taken;
        self.check();
        taken
    }

    /// Moves `frames` to the transmit ring, in order. Frames that find no room become free; returns their
    /// number. Never waits for room.
    #[inline]
    pub fn send(&mut self, frames: &mut Vec<Q::Frame>) -> usize {
        let sent = self.queues.give_to_transmit(frames);
        self.transmit += sent;
        self.held -= sent;
        let left = frames.len();
        self.held -= left;
        self.free.append(frames);
        self.check();
        left
    }

    /// Appends up to `count` free frames to `frames`, to be written and sent; returns their number.
    #[inline]
    pub fn take(&mut self, frames: &mut Vec<Q::Frame>, count: usize) -> usize {
        let taken = count.min(self.free.len());
        frames.extend(self.free.drain(self.free.len() - taken..));
        self.held += taken;
        self.check();
        taken
    }

    /// Frees a received frame that gets no reply.
    #[inline]
    pub fn recycle(&mut self, frame: Q::Frame) {
        self.held -= 1;
        self.free.push(frame);
    }

    /// Number of frames in each place.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { free: self.free.len(), fill: self.fill, held: self.held, transmit: self.transmit }
    }

    /// Asserts that every frame is in exactly one place.
    #[inline]
    fn check(&self) {
        debug_assert_eq!(
            self.free.len() + self.fill + self.held + self.transmit,
            self.total,
            "a UMEM frame was lost or counted twice: {:?}",
            self.occupancy()
        );
    }
}
