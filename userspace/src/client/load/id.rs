//! Transaction IDs that encode their request, so that any worker can check the reply.

use crate::client::message::fill_random;
use crate::error::Result;

/// Nanoseconds of one tick of a due time. Ticks wrap around after 2^32 of them, more than two minutes:
/// longer than the latency histogram reaches.
const TICK: u64 = 32;

/// What a transaction ID encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestStamp {
    /// The worker that sent the request.
    pub(super) worker: u8,
    /// The request's number among those of that worker; wraps around after 2^32.
    pub(super) number: u32,
    /// When the request was due, in nanoseconds from the plan's origin.
    pub(super) due: u64,
}

/// Key of the transaction IDs of one run. Without it, one guess in 2^24 is accepted: enough against
/// mistakes, stray traffic and replies to another program.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransactionKey([u64; 2]);

impl TransactionKey {
    /// Returns a random key.
    ///
    /// # Errors
    /// System: the kernel returns no random numbers.
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        fill_random(&mut bytes)?;
        let number = u128::from_ne_bytes(bytes);
        Ok(TransactionKey([number as u64, (number >> 64) as u64]))
    }

    /// Returns the transaction ID of a request on this flow: worker (8 bits), check value (24), number
    /// (32), due time in ticks (32).
    #[inline]
    pub(super) fn encode(&self, stamp: RequestStamp, flow: u32) -> [u8; 12] {
        let ticks = (stamp.due / TICK) as u32;
        let head = u32::from(stamp.worker) << 24 | self.check(stamp.worker, stamp.number, ticks, flow);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&head.to_be_bytes());
        id[4..8].copy_from_slice(&stamp.number.to_be_bytes());
        id[8..].copy_from_slice(&ticks.to_be_bytes());
        id
    }

    /// Decodes an ID received on this flow at `now`. `None` if it was not encoded with this key for this
    /// flow.
    #[inline]
    pub(super) fn decode(&self, id: [u8; 12], flow: u32, now: u64) -> Option<RequestStamp> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = id;
        let (head, number) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let ticks = u32::from_be_bytes([i, j, k, l]);
        let age = u64::from(((now / TICK) as u32).wrapping_sub(ticks)) * TICK;
        (head & 0xff_ffff == self.check(a, number, ticks, flow)).then(|| RequestStamp {
            worker: a,
            number,
            due: (now / TICK * TICK).saturating_sub(age),
        })
    }

    #[inline]
    fn check(&self, worker: u8, number: u32, ticks: u32, flow: u32) -> u32 {
        let [first, second] = self.0;
        let mixed = mix(u64::from(number) << 32 | u64::from(ticks), first, second);
        let origin = u64::from(worker) << 32 | u64::from(flow);
        (mix(mixed ^ origin, second, first) >> 40) as u32
    }
}

/// Multiplies with a key and XORs both halves of the product.
#[inline]
fn mix(value: u64, key: u64, factor: u64) -> u64 {
    let product = u128::from(value ^ key) * u128::from(factor | 1);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::{RequestStamp, TICK, TransactionKey};
    use proptest::prelude::*;

    const KEY: TransactionKey = TransactionKey([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

    proptest! {
        #[test]
        fn an_encoded_stamp_is_decoded(
            worker: u8, number: u32, flow: u32, due in 0u64..1 << 45, age in 0u64..120_000_000_000,
        ) {
            let id = KEY.encode(RequestStamp { worker, number, due }, flow);
            let decoded = KEY.decode(id, flow, due + age).unwrap();
            prop_assert_eq!((decoded.worker, decoded.number), (worker, number));
            prop_assert!(decoded.due <= due && due - decoded.due < 2 * TICK);
        }

        #[test]
        fn a_changed_bit_or_another_flow_is_rejected(
            worker: u8, number: u32, flow in 0u32..4096, bit in 0usize..96, due in 0u64..1 << 40,
        ) {
            let id = KEY.encode(RequestStamp { worker, number, due }, flow);
            let mut changed = id;
            changed[bit / 8] ^= 1 << (bit % 8);
            // By chance one in 2^24 is accepted; this test draws far fewer.
            prop_assert_eq!(KEY.decode(changed, flow, due), None);
            prop_assert_eq!(KEY.decode(id, flow ^ 1, due), None);
        }
    }

    #[test]
    fn the_ids_of_another_run_are_rejected() {
        let stamp = RequestStamp { worker: 1, number: 2, due: 3_000 };
        let id = TransactionKey::random().unwrap().encode(stamp, 0);
        let accepted = (0..1000).filter(|_| TransactionKey::random().unwrap().decode(id, 0, 4_000).is_some());
        assert!(accepted.count() <= 1);
    }
}
