//! A model of the kernel's side of the AF_XDP rings, for the property test and the fuzz target of
//! `xstun_core::rings`.

use std::collections::VecDeque;
use xstun_core::rings::{BATCH, Queues};

/// The token of the frame with this number.
#[derive(Debug)]
pub struct Token(
    /// The frame's number.
    pub u32,
);

/// Rings of a few slots, and a kernel that moves frames from fill to receive and from transmit to completion on demand.
pub struct Model {
    slots: usize,
    /// Frames in the fill ring.
    pub fill: VecDeque<u32>,
    /// Frames in the receive ring.
    pub received: VecDeque<u32>,
    /// Frames in the transmit ring.
    pub transmit: VecDeque<u32>,
    /// Frames in the completion ring.
    pub completed: VecDeque<u32>,
}

impl Model {
    /// Creates empty rings with this many slots each. Receive and completion ring never fill up: in the kernel they do
    /// not either if they are as large as the UMEM.
    pub fn new(slots: usize) -> Self {
        Model {
            slots,
            fill: VecDeque::new(),
            received: VecDeque::new(),
            transmit: VecDeque::new(),
            completed: VecDeque::new(),
        }
    }

    /// Receives up to `n` frames.
    pub fn kernel_receives(&mut self, n: usize) {
        let n = n.min(self.fill.len());
        self.received.extend(self.fill.drain(..n));
    }

    /// Completes the transmission of up to `n` frames.
    pub fn kernel_completes(&mut self, n: usize) {
        let n = n.min(self.transmit.len());
        self.completed.extend(self.transmit.drain(..n));
    }

    /// Free slots of the transmit ring.
    pub fn transmit_room(&self) -> usize {
        self.slots - self.transmit.len()
    }

    /// Numbers of all frames in any ring.
    pub fn frames(&self) -> impl Iterator<Item = u32> {
        let rings = [&self.fill, &self.received, &self.transmit, &self.completed];
        rings.into_iter().flatten().copied()
    }
}

fn take(from: &mut VecDeque<u32>, frames: &mut Vec<Token>) -> usize {
    let n = from.len().min(BATCH);
    frames.extend(from.drain(..n).map(Token));
    n
}

impl Queues for Model {
    type Frame = Token;

    fn take_completed(&mut self, frames: &mut Vec<Token>) -> usize {
        take(&mut self.completed, frames)
    }

    fn give_to_fill(&mut self, frames: &mut Vec<Token>) -> usize {
        let n = frames.len().min(self.slots - self.fill.len());
        let at = frames.len() - n;
        self.fill.extend(frames.drain(at..).map(|Token(number)| number));
        n
    }

    fn take_received(&mut self, frames: &mut Vec<Token>) -> usize {
        take(&mut self.received, frames)
    }

    fn give_to_transmit(&mut self, frames: &mut Vec<Token>) -> usize {
        let n = frames.len().min(self.transmit_room());
        self.transmit.extend(frames.drain(..n).map(|Token(number)| number));
        n
    }
}
