//! CRC-32 of ITU V.42 (the one of Ethernet and zlib), as FINGERPRINT uses it (RFC 8489 §14.7).
//!
//! A CRC is linear: what a byte adds to it depends on the byte's value and on its distance from the end,
//! and on no other byte. So the compiler sums what is constant in a message, and each byte that is not takes
//! one table look-up that waits for none of the others.
//!
//! There is a table for each of twelve distances (12 KiB in all), because all that varies in a plain message
//! stands in blocks of twelve bytes: the transaction ID, XOR-MAPPED-ADDRESS (one block for IPv4, two for
//! IPv6), and a SOFTWARE of eight bytes. To move a sum behind one more block takes four look-ups.

/// The polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;
/// Bytes in a block.
pub(super) const BLOCK: usize = 12;

/// `TABLES[256 * n + byte]`: what `byte` adds to the state after itself and `n` zero bytes.
///
/// One array: the compiler for BPF then takes the address of all tables once, adds `byte`, and has the rest as
/// the constant offset of a load. From an array of arrays it would load an address for each table.
static TABLES: [u32; 256 * BLOCK] = {
    let mut tables = [0; 256 * BLOCK];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut zeros = 0;
        while zeros < BLOCK {
            state = shifted(state);
            tables[256 * zeros + byte] = state;
            zeros += 1;
        }
        byte += 1;
    }
    tables
};

/// The state after one more byte, which is zero.
const fn shifted(mut state: u32) -> u32 {
    let mut bit = 0;
    while bit < 8 {
        state = if state & 1 == 1 { state >> 1 ^ POLYNOMIAL } else { state >> 1 };
        bit += 1;
    }
    state
}

/// The CRC over the bytes so far.
#[derive(Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    /// The CRC over no bytes.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Crc(!0)
    }

    /// Continues over `bytes` bit by bit: for constants, which the compiler sums.
    pub(super) const fn constant(self, bytes: &[u8]) -> Self {
        let Crc(mut state) = self;
        let mut index = 0;
        while index < bytes.len() {
            state = shifted(state ^ bytes[index] as u32);
            index += 1;
        }
        Crc(state)
    }

    /// Continues over `bytes`.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let Crc(mut state) = blocks.iter().fold(self, |crc, block| crc.block(fours(block)));
        // Attributes are padded to four bytes, so nothing of a message is left after this.
        let (fours, rest) = rest.as_chunks::<4>();
        for &four in fours {
            state = part::<0>((u32::from_le_bytes(four) ^ state).to_le_bytes());
        }
        for &byte in rest {
            let [s0, ..] = state.to_le_bytes();
            state = state >> 8 ^ entry(0, s0 ^ byte);
        }
        Crc(state)
    }

    /// Continues over one block.
    #[inline(always)]
    pub(super) fn block(self, [first, second, third]: [[u8; 4]; 3]) -> Self {
        // One look-up for a byte of the state and the byte of the block that meets it.
        let first = (u32::from_le_bytes(first) ^ self.0).to_le_bytes();
        Crc(CrcPart::block([first, second, third]).0)
    }

    /// The CRC over the same bytes but those that were zero and add `part`.
    #[inline(always)]
    pub(super) const fn plus(self, part: CrcPart) -> Self {
        Crc(self.0 ^ part.0)
    }

    /// The value.
    #[inline(always)]
    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

/// What some bytes of a message add to the CRC over the message with zeros in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CrcPart(u32);

impl CrcPart {
    /// What a block adds at its own end.
    #[inline(always)]
    pub(super) fn block([b0, b1, b2]: [[u8; 4]; 3]) -> Self {
        CrcPart(part::<8>(b0) ^ part::<4>(b1) ^ part::<0>(b2))
    }

    /// What the same bytes add one block later.
    #[inline(always)]
    pub(super) fn behind_block(self) -> Self {
        CrcPart(part::<8>(self.0.to_le_bytes()))
    }
}

/// The block as `Crc::block` takes it.
#[inline(always)]
pub(super) fn fours(block: &[u8; BLOCK]) -> [[u8; 4]; 3] {
    let &[a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = block;
    [[a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3]]
}

/// What four bytes add to the state after themselves and `ZEROS` zero bytes. Nothing for bytes of which the
/// compiler knows that they are zero.
#[inline(always)]
fn part<const ZEROS: usize>(bytes: [u8; 4]) -> u32 {
    let [b0, b1, b2, b3] = bytes;
    entry(ZEROS + 3, b0) ^ entry(ZEROS + 2, b1) ^ entry(ZEROS + 1, b2) ^ entry(ZEROS, b3)
}

/// `zeros` is a constant below the number of tables in every call, so the compiler removes the bounds check.
#[inline(always)]
fn entry(zeros: usize, byte: u8) -> u32 {
    TABLES[usize::from(byte) + 256 * zeros]
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::{BLOCK, Crc, CrcPart, fours};
    use proptest::prelude::*;
    use std::vec;
    use xstun_testkit::messages::crc32;

    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(Crc::new().update(b"123456789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::new().constant(b"123456789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::new().finish(), 0);
    }

    proptest! {
        #[test]
        fn it_is_the_bitwise_sum_wherever_the_bytes_are_split(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            split in 0usize..100,
        ) {
            let (first, second) = bytes.split_at(split.min(bytes.len()));
            prop_assert_eq!(Crc::new().update(first).update(second).finish(), crc32(&bytes));
            prop_assert_eq!(Crc::new().constant(first).update(second).finish(), crc32(&bytes));
            prop_assert_eq!(Crc::new().update(first).constant(second).finish(), crc32(&bytes));
        }

        #[test]
        fn a_block_adds_its_part_wherever_it_stands(
            before in proptest::collection::vec(any::<u8>(), 0..30),
            block in any::<[u8; BLOCK]>(),
            blocks_behind in 0usize..4,
        ) {
            let start = Crc::new().update(&before);
            prop_assert_eq!(start.block(fours(&block)).finish(), crc32(&[&before[..], &block].concat()));
            let zeros = vec![0; BLOCK * blocks_behind];
            let mut part = CrcPart::block(fours(&block));
            for _ in 0..blocks_behind {
                part = part.behind_block();
            }
            let without = start.update(&[0; BLOCK]).update(&zeros);
            prop_assert_eq!(without.plus(part).finish(), crc32(&[&before[..], &block, &zeros].concat()));
        }
    }
}
