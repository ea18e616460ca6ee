//! The book of frames against a kernel that moves when the input says. Input: slots of the rings, frames
//! of the UMEM, then a byte for each step.

use std::collections::HashSet;
use xstun_core::rings::{BATCH, Occupancy, Rings};
use xstun_testkit::ring_model::{Model, Token};

/// Frames that an input can give the UMEM at the most.
const MOST_FRAMES: usize = 256;

/// Judges what is made of `input`.
pub fn run(input: &[u8]) {
    let Some((&[slots, total], steps)) = input.split_first_chunk::<2>() else { return };
    let (slots, total) = (usize::from(slots) + 1, u32::from(total) + 1);
    let mut rings = Rings::new(Model::new(slots), (0..total).map(Token).collect());
    let mut held = Vec::new();
    for step in steps {
        act(&mut rings, &mut held, *step);
        check(&mut rings, held.len(), total as usize);
    }
    come_home(&mut rings, held, total);
}

/// One of five things is done, up to 51 times.
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
            // As one who asks does: frames to be filled and sent.
            let (before, free) = (held.len(), rings.occupancy().free);
            assert_eq!(rings.take(held, count), count.min(free));
            assert_eq!(held.len(), before + count.min(free));
        }
        _ => {
            // So many are answered, in the order in which they came; the rest gets no reply.
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
    // This is done after each step, so it is what a run's time goes into.
    let mut seen = [false; MOST_FRAMES];
    let mut kernels = 0;
    for frame in model.frames() {
        let seen = &mut seen[frame as usize];
        assert!(!*seen, "frame {frame} is in two places");
        *seen = true;
        kernels += 1;
    }
    let free = total - held - kernels;
    assert_eq!(rings.occupancy(), Occupancy { free, fill, held, transmit });
}

/// Brings every frame into user space's hands once, wherever it was.
fn come_home(rings: &mut Rings<Model>, mut held: Vec<Token>, total: u32) {
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
    let home: HashSet<u32> = held.iter().map(|Token(number)| *number).collect();
    assert_eq!(home, (0..total).collect(), "each frame came home, once");
    assert_eq!(held.len(), total as usize);
}
