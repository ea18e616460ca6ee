//! The accounting of frames against a model of the kernel that the input drives. Input: slots of the rings,
//! frames of the UMEM, then a byte for each step.

use std::collections::HashSet;
use xstun_core::rings::{BATCH, Occupancy, Rings};
use xstun_testkit::ring_model::{Model, Token};

/// Maximum of UMEM frames that an input can set.
const MAX_FRAMES: usize = 256;

/// Runs the steps of `input`, and checks the accounting after each.
pub fn run(input: &[u8]) {
    let Some((&[slots, total], steps)) = input.split_first_chunk::<2>() else { return };
    let (slots, total) = (usize::from(slots) + 1, u32::from(total) + 1);
    let mut rings = Rings::new(Model::new(slots), (0..total).map(Token).collect());
    let mut held = Vec::new();
    for step in steps {
        act(&mut rings, &mut held, *step);
        check(&mut rings, held.len(), total as usize);
    }
    collect_all(&mut rings, held, total);
}

/// Performs one of five actions, with a count of up to 51.
fn act(rings: &mut Rings<Model>, held: &mut Vec<Token>, step: u8) {
    let count = usize::from(step / 5);
    match step % 5 {
        0 => rings.queues().kernel_receives(count),
        1 => rings.queues().kernel_completes(count),
        2 => {
            rings.reclaim();
            rings.refill();
            let before = held.len();
            assert_eq!(rings.receive(held), held.len() - before);
            assert!(held.len() - before <= BATCH);
        }
        3 => {
            // As a load generator does: takes frames to fill and send.
            let (before, free) = (held.len(), rings.occupancy().free);
            assert_eq!(rings.take(held, count), count.min(free));
            assert_eq!(held.len(), before + count.min(free));
        }
        _ => {
            // Answers this many, in order of arrival; the rest gets no reply.
            let mut replies: Vec<_> = held.drain(..count.min(held.len())).collect();
            let expected = replies.len().saturating_sub(rings.queues().transmit_room());
            assert_eq!(rings.send(&mut replies), expected, "frames without room are counted");
            assert!(replies.is_empty());
            held.drain(..).for_each(|frame| rings.recycle(frame));
        }
    }
}

fn check(rings: &mut Rings<Model>, held: usize, total: usize) {
    let model = rings.queues();
    let (fill, transmit) =
        (model.fill.len() + model.received.len(), model.transmit.len() + model.completed.len());
    // Runs after each step and dominates the run time, hence an array.
    let mut seen = [false; MAX_FRAMES];
    let mut in_kernel = 0;
    for frame in model.frames() {
        let seen = &mut seen[frame as usize];
        assert!(!*seen, "frame {frame} is in two rings");
        *seen = true;
        in_kernel += 1;
    }
    let free = total - held - in_kernel;
    assert_eq!(rings.occupancy(), Occupancy { free, fill, held, transmit });
}

/// Brings every frame back to user space, and checks that each comes exactly once.
fn collect_all(rings: &mut Rings<Model>, mut held: Vec<Token>, total: u32) {
    held.drain(..).for_each(|frame| rings.recycle(frame));
    rings.queues().kernel_completes(usize::MAX);
    while rings.occupancy().transmit > 0 {
        rings.reclaim();
    }
    while rings.occupancy().free + rings.occupancy().fill > 0 {
        rings.refill();
        rings.queues().kernel_receives(usize::MAX);
        rings.receive(&mut held);
    }
    let collected: HashSet<u32> = held.iter().map(|Token(number)| *number).collect();
    assert_eq!(collected, (0..total).collect(), "every frame is collected");
    assert_eq!(held.len(), total as usize);
}
