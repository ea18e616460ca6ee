//! The book of one socket's frames: which stand in which ring, and that none is lost or doubled.
//!
//! Knows no memory and no kernel: [`Queues`] is implemented by the real socket and, in the tests, by
//! a model of the kernel.

/// A UMEM frame that user space owns. The descriptor inside may be `Copy`; the token is not, so a
/// frame given to the kernel cannot be given again: the compiler keeps the first rule of AF_XDP.
#[derive(Debug)]
#[repr(transparent)]
pub struct Frame<D>(D);

impl<D> Frame<D> {
    /// Takes a frame into user space's hands: only for what comes from a ring or a new UMEM.
    pub(super) fn admit(descriptor: D) -> Self {
        Frame(descriptor)
    }

    /// The descriptor, for the one who changes its length.
    pub(super) fn descriptor_mut(&mut self) -> &mut D {
        &mut self.0
    }
}

/// Frames that change hands in one go at the most: what xdpsock, NSD and Quilkin take, and the
/// kernel's own NAPI budget.
pub const BATCH: usize = 64;

/// The four rings of an AF_XDP socket (Documentation/networking/af_xdp.rst), as verbs.
pub trait Queues {
    /// What the kernel calls a frame.
    type Descriptor;

    /// Appends up to [`BATCH`] frames whose transmission is complete.
    fn take_completed(&mut self, frames: &mut Vec<Frame<Self::Descriptor>>) -> usize;
    /// Gives frames from the end of `frames` to the fill ring, as many as have room.
    fn give_to_fill(&mut self, frames: &mut Vec<Frame<Self::Descriptor>>) -> usize;
    /// Appends up to [`BATCH`] received frames.
    fn take_received(&mut self, frames: &mut Vec<Frame<Self::Descriptor>>) -> usize;
    /// Gives frames from the front of `frames` to the transmit ring, as many as have room.
    fn give_to_transmit(&mut self, frames: &mut Vec<Frame<Self::Descriptor>>) -> usize;
}

/// Where the frames are, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// With user space, unused.
    pub free: usize,
    /// In the fill ring, in the NIC, or received and not taken yet.
    pub fill: usize,
    /// Taken from the receive ring and being worked on.
    pub held: usize,
    /// In the transmit ring, in the NIC, or completed and not taken yet.
    pub transmit: usize,
}

/// The rings with their book.
#[derive(Debug)]
pub struct Rings<Q: Queues> {
    queues: Q,
    free: Vec<Frame<Q::Descriptor>>,
    fill: usize,
    held: usize,
    transmit: usize,
    total: usize,
}

impl<Q: Queues> Rings<Q> {
    /// Takes over a socket's rings and all frames of its UMEM.
    pub fn new(queues: Q, frames: Vec<Frame<Q::Descriptor>>) -> Self {
        let total = frames.len();
        Rings { queues, free: frames, fill: 0, held: 0, transmit: 0, total }
    }

    /// The rings themselves, for what moves no frame.
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

    /// Tops up the fill ring.
    #[inline]
    pub fn refill(&mut self) {
        self.fill += self.queues.give_to_fill(&mut self.free);
        self.check();
    }

    /// Appends up to [`BATCH`] received frames to `frames`; gives their number.
    #[inline]
    pub fn receive(&mut self, frames: &mut Vec<Frame<Q::Descriptor>>) -> usize {
        let taken = self.queues.take_received(frames);
        self.fill -= taken;
        self.held += taken;
        self.check();
        taken
    }

    /// Sends `frames`, first come first served; gives the number that found no room and went back to
    /// the free ones. It never waits for room.
    #[inline]
    pub fn send(&mut self, frames: &mut Vec<Frame<Q::Descriptor>>) -> usize {
        let sent = self.queues.give_to_transmit(frames);
        self.transmit += sent;
        self.held -= sent;
        let left = frames.len();
        self.held -= left;
        self.free.append(frames);
        self.check();
        left
    }

    /// Appends up to `count` free frames to `frames`, to be filled and sent; gives their number.
    #[inline]
    pub fn take(&mut self, frames: &mut Vec<Frame<Q::Descriptor>>, count: usize) -> usize {
        let taken = count.min(self.free.len());
        frames.extend(self.free.drain(self.free.len() - taken..));
        self.held += taken;
        self.check();
        taken
    }

    /// Takes back a received frame that gets no reply.
    #[inline]
    pub fn recycle(&mut self, frame: Frame<Q::Descriptor>) {
        self.held -= 1;
        self.free.push(frame);
    }

    /// Where the frames are.
    pub fn places(&self) -> Places {
        Places { free: self.free.len(), fill: self.fill, held: self.held, transmit: self.transmit }
    }

    /// Conservation: every frame is in exactly one place.
    #[inline]
    fn check(&self) {
        debug_assert_eq!(
            self.free.len() + self.fill + self.held + self.transmit,
            self.total,
            "a UMEM frame was lost or doubled: {:?}",
            self.places()
        );
    }
}

#[cfg(test)]
mod tests;
