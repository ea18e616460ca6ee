//! The book against a model of the kernel that does what it likes between two steps.

use super::{BATCH, Frame, Places, Queues, Rings};
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};

/// Rings of a few slots, and a kernel that moves frames from fill to receive and from transmit to
/// completion when told.
#[derive(Default)]
struct Model {
    slots: usize,
    fill: VecDeque<u32>,
    received: VecDeque<u32>,
    transmit: VecDeque<u32>,
    completed: VecDeque<u32>,
}

fn take(from: &mut VecDeque<u32>, frames: &mut Vec<Frame<u32>>) -> usize {
    let n = from.len().min(BATCH);
    frames.extend(from.drain(..n).map(Frame::admit));
    n
}

impl Queues for Model {
    type Descriptor = u32;

    fn take_completed(&mut self, frames: &mut Vec<Frame<u32>>) -> usize {
        take(&mut self.completed, frames)
    }

    fn give_to_fill(&mut self, frames: &mut Vec<Frame<u32>>) -> usize {
        let n = frames.len().min(self.slots - self.fill.len());
        let at = frames.len() - n;
        self.fill.extend(frames.drain(at..).map(|frame| frame.0));
        n
    }

    fn take_received(&mut self, frames: &mut Vec<Frame<u32>>) -> usize {
        take(&mut self.received, frames)
    }

    fn give_to_transmit(&mut self, frames: &mut Vec<Frame<u32>>) -> usize {
        let n = frames.len().min(self.slots - self.transmit.len());
        self.transmit.extend(frames.drain(..n).map(|frame| frame.0));
        n
    }
}

#[derive(Clone, Debug)]
enum Step {
    KernelReceives(usize),
    KernelCompletes(usize),
    Turn {
        answered: Vec<bool>,
    },
    /// User space sends frames of its own accord.
    Originate(usize),
    Reclaim,
    Refill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..100usize).prop_map(Step::KernelReceives),
        (0..100usize).prop_map(Step::KernelCompletes),
        prop::collection::vec(any::<bool>(), BATCH).prop_map(|answered| Step::Turn { answered }),
        (0..2 * BATCH).prop_map(Step::Originate),
        Just(Step::Reclaim),
        Just(Step::Refill),
    ]
}

/// Every frame's number, wherever it is.
fn everywhere(rings: &Rings<Model>) -> Vec<u32> {
    let model = &rings.queues;
    let mut all: Vec<u32> = rings.free.iter().map(|frame| frame.0).collect();
    for ring in [&model.fill, &model.received, &model.transmit, &model.completed] {
        all.extend(ring);
    }
    all
}

proptest! {
    #[test]
    fn whatever_the_kernel_does_each_frame_is_in_one_place(
        slots in 1..128usize,
        total in 1..256u32,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let model = Model { slots, ..Model::default() };
        let mut rings = Rings::new(model, (0..total).map(Frame::admit).collect());
        let (mut batch, mut replies) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::KernelReceives(n) => {
                    let n = n.min(rings.queues.fill.len());
                    let frames: Vec<u32> = rings.queues.fill.drain(..n).collect();
                    rings.queues.received.extend(frames);
                }
                Step::KernelCompletes(n) => {
                    let n = n.min(rings.queues.transmit.len());
                    let frames: Vec<u32> = rings.queues.transmit.drain(..n).collect();
                    rings.queues.completed.extend(frames);
                }
                Step::Turn { answered } => {
                    let received = rings.receive(&mut batch);
                    prop_assert_eq!(received, batch.len());
                    for (frame, answered) in batch.drain(..).zip(answered) {
                        if answered { replies.push(frame) } else { rings.recycle(frame) }
                    }
                    let room = slots - rings.queues.transmit.len();
                    let expected = replies.len().saturating_sub(room);
                    prop_assert_eq!(rings.send(&mut replies), expected);
                    prop_assert!(replies.is_empty());
                }
                Step::Originate(n) => {
                    let taken = rings.take(&mut replies, n);
                    prop_assert_eq!(taken, replies.len());
                    let room = slots - rings.queues.transmit.len();
                    prop_assert_eq!(rings.send(&mut replies), taken.saturating_sub(room));
                }
                Step::Reclaim => rings.reclaim(),
                Step::Refill => rings.refill(),
            }
            let all = everywhere(&rings);
            prop_assert_eq!(all.len(), total as usize);
            prop_assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), total as usize);
            let model = &rings.queues;
            prop_assert_eq!(rings.places(), Places {
                free: rings.free.len(),
                fill: model.fill.len() + model.received.len(),
                held: 0,
                transmit: model.transmit.len() + model.completed.len(),
            });
        }
    }
}

#[test]
fn replies_leave_in_the_order_in_which_requests_came() {
    let model = Model { slots: 8, ..Model::default() };
    let mut rings = Rings::new(model, (0..8).map(Frame::admit).collect());
    rings.refill();
    let filled: Vec<u32> = rings.queues.fill.drain(..).collect();
    rings.queues.received.extend(&filled);
    let mut batch = Vec::new();
    rings.receive(&mut batch);
    rings.send(&mut batch);
    assert_eq!(rings.queues.transmit.iter().copied().collect::<Vec<_>>(), filled);
}
