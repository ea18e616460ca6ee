//! Transaction IDs that tell by themselves what they were given to, so that a reply is judged by
//! whichever worker it comes to.

use crate::client::message::random;
use crate::error::Result;

/// Nanoseconds of one tick of a due time. 2^32 of them, more than two minutes, pass before two
/// moments look alike: longer than the latency histogram reaches.
const TICK: u64 = 32;

/// What a transaction ID stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The worker that sent the request.
    pub(super) worker: u8,
    /// The request's number among that worker's; starts anew after 2^32.
    pub(super) number: u32,
    /// When it was due, in nanoseconds from the generator's origin.
    pub(super) due: u64,
}

/// Key of one run's transaction IDs. Whoever does not know it guesses one that counts once in 2^24
/// tries: enough against mistakes, stray traffic and replies to somebody else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key([u64; 2]);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// The kernel gave no random numbers.
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        random(&mut bytes)?;
        let number = u128::from_ne_bytes(bytes);
        Ok(Key([number as u64, (number >> 64) as u64]))
    }

    /// The transaction ID for a request on this flow: worker (8 bits), check (24), number (32), ticks of
    /// the due time (32).
    #[inline]
    pub(super) fn seal(&self, stamp: Stamp, flow: u32) -> [u8; 12] {
        let ticks = (stamp.due / TICK) as u32;
        let head = u32::from(stamp.worker) << 24 | self.check(stamp.worker, stamp.number, ticks, flow);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&head.to_be_bytes());
        id[4..8].copy_from_slice(&stamp.number.to_be_bytes());
        id[8..].copy_from_slice(&ticks.to_be_bytes());
        id
    }

    /// What an ID that came back on this flow at `now` was given to; `None` if it is not from here.
    #[inline]
    pub(super) fn open(&self, id: [u8; 12], flow: u32, now: u64) -> Option<Stamp> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = id;
        let (head, number) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let ticks = u32::from_be_bytes([i, j, k, l]);
        let age = u64::from(((now / TICK) as u32).wrapping_sub(ticks)) * TICK;
        (head & 0xff_ffff == self.check(a, number, ticks, flow)).then(|| Stamp {
            worker: a,
            number,
            due: (now / TICK * TICK).saturating_sub(age),
        })
    }

    #[inline]
    fn check(&self, worker: u8, number: u32, ticks: u32, flow: u32) -> u32 {
        let [first, second] = self.0;
        let mixed = mix(u64::from(number) << 32 | u64::from(ticks), first, second);
        let place = u64::from(worker) << 32 | u64::from(flow);
        (mix(mixed ^ place, second, first) >> 40) as u32
    }
}

/// Both halves of a product with a key, folded into each other.
#[inline]
fn mix(value: u64, key: u64, factor: u64) -> u64 {
    let product = u128::from(value ^ key) * u128::from(factor | 1);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::{Key, Stamp, TICK};
    use proptest::prelude::*;

    const KEY: Key = Key([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(
            worker: u8, number: u32, flow: u32, due in 0u64..1 << 45, age in 0u64..120_000_000_000,
        ) {
            let id = KEY.seal(Stamp { worker, number, due }, flow);
            let opened = KEY.open(id, flow, due + age).unwrap();
            prop_assert_eq!((opened.worker, opened.number), (worker, number));
            prop_assert!(opened.due <= due && due - opened.due < 2 * TICK);
        }

        #[test]
        fn a_changed_bit_or_another_flow_does_not_open(
            worker: u8, number: u32, flow in 0u32..4096, bit in 0usize..96, due in 0u64..1 << 40,
        ) {
            let id = KEY.seal(Stamp { worker, number, due }, flow);
            let mut changed = id;
            changed[bit / 8] ^= 1 << (bit % 8);
            // By chance one in 2^24 opens; the cases drawn here are far fewer.
            prop_assert_eq!(KEY.open(changed, flow, due), None);
            prop_assert_eq!(KEY.open(id, flow ^ 1, due), None);
        }
    }

    #[test]
    fn another_run_s_ids_do_not_open() {
        let stamp = Stamp { worker: 1, number: 2, due: 3_000 };
        let id = Key::random().unwrap().seal(stamp, 0);
        let others = (0..1000).filter(|_| Key::random().unwrap().open(id, 0, 4_000).is_some());
        assert!(others.count() <= 1);
    }
}
