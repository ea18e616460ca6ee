//! Tests of `Rings` with a model of the kernel that does anything it may between two steps of the worker.

use proptest::prelude::*;
use std::collections::HashSet;
use xstun_core::rings::{BATCH, Occupancy, Rings};
use xstun_testkit::ring_model::{Model, Token};

#[derive(Clone, Debug)]
enum Step {
    KernelReceives(usize),
    KernelCompletes(usize),
    Batch {
        answered: Vec<bool>,
    },
    /// User space sends frames that are not replies.
    Originate(usize),
    Reclaim,
    Refill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..100usize).prop_map(Step::KernelReceives),
        (0..100usize).prop_map(Step::KernelCompletes),
        prop::collection::vec(any::<bool>(), BATCH).prop_map(|answered| Step::Batch { answered }),
        (0..2 * BATCH).prop_map(Step::Originate),
        Just(Step::Reclaim),
        Just(Step::Refill),
    ]
}

/// The numbers of the free frames, from the bottom of the stack.
fn free(rings: &mut Rings<Model>) -> Vec<u32> {
    let (mut frames, count) = (Vec::new(), rings.occupancy().free);
    assert_eq!(rings.take(&mut frames, count), count);
    let numbers = frames.iter().map(|frame| frame.0).collect();
    frames.into_iter().for_each(|frame| rings.recycle(frame));
    numbers
}

proptest! {
    #[test]
    fn whatever_the_kernel_does_each_frame_is_in_one_place(
        slots in 1..128usize,
        total in 1..256u32,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut rings = Rings::new(Model::new(slots), (0..total).map(Token).collect());
        let (mut batch, mut replies) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::KernelReceives(n) => rings.queues().kernel_receives(n),
                Step::KernelCompletes(n) => rings.queues().kernel_completes(n),
                Step::Batch { answered } => {
                    let received = rings.receive(&mut batch);
                    prop_assert_eq!(received, batch.len());
                    for (frame, answered) in batch.drain(..).zip(answered) {
                        if answered { replies.push(frame) } else { rings.recycle(frame) }
                    }
                    let room = slots - rings.queues().transmit.len();
                    let expected = replies.len().saturating_sub(room);
                    prop_assert_eq!(rings.send(&mut replies), expected);
                    prop_assert!(replies.is_empty());
                }
                Step::Originate(n) => {
                    let taken = rings.take(&mut replies, n);
                    prop_assert_eq!(taken, replies.len());
                    let room = slots - rings.queues().transmit.len();
                    prop_assert_eq!(rings.send(&mut replies), taken.saturating_sub(room));
                }
                Step::Reclaim => rings.reclaim(),
                Step::Refill => rings.refill(),
            }
            let free = free(&mut rings);
            let model = rings.queues();
            let (fill, transmit) =
                (model.fill.len() + model.received.len(), model.transmit.len() + model.completed.len());
            let all: Vec<u32> = free.iter().copied().chain(model.frames()).collect();
            prop_assert_eq!(all.len(), total as usize);
            prop_assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), total as usize);
            prop_assert_eq!(rings.occupancy(), Occupancy { free: free.len(), fill, held: 0, transmit });
        }
    }
}

#[test]
fn replies_leave_in_the_order_in_which_requests_came() {
    let mut rings = Rings::new(Model::new(8), (0..8).map(Token).collect());
    rings.refill();
    let filled: Vec<u32> = rings.queues().fill.iter().copied().collect();
    rings.queues().kernel_receives(8);
    let mut batch = Vec::new();
    rings.receive(&mut batch);
    rings.send(&mut batch);
    assert_eq!(rings.queues().transmit.iter().copied().collect::<Vec<_>>(), filled);
}
