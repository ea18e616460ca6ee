//! CRC-32 of ITU V.42 (the one of Ethernet and zlib), as FINGERPRINT uses it (RFC 8489 §14.7).

use super::wire::HEADER;

/// The polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLES[n][byte]`: what `byte` adds to the state after itself and `n` zero bytes. Eight tables process
/// eight bytes at once; the last four carry a change in the first four bytes of a header to the end of the
/// header.
static TABLES: [[u32; 256]; HEADER] = {
    let mut tables = [[0; 256]; HEADER];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ POLYNOMIAL } else { state >> 1 };
            bit += 1;
        }
        tables[0][byte] = state;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < HEADER {
        let mut byte = 0;
        while byte < 256 {
            let state = tables[zeros - 1][byte];
            tables[zeros][byte] = state >> 8 ^ tables[0][(state & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
};

/// The CRC over the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc(u32);

impl Crc {
    /// The CRC over no bytes.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Crc(!0)
    }

    /// Continues over `bytes`.
    #[inline(always)]
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        let Crc(mut state) = self;
        let (eights, rest) = bytes.as_chunks::<8>();
        for &[b0, b1, b2, b3, b4, b5, b6, b7] in eights {
            let [s0, s1, s2, s3] = (u32::from_le_bytes([b0, b1, b2, b3]) ^ state).to_le_bytes();
            state = carry::<4>([s0, s1, s2, s3]) ^ carry::<0>([b4, b5, b6, b7]);
        }
        // Attributes are padded to four bytes, so nothing of a message is left after this.
        let (fours, rest) = rest.as_chunks::<4>();
        for &four in fours {
            state = carry::<0>((u32::from_le_bytes(four) ^ state).to_le_bytes());
        }
        for &byte in rest {
            let [s0, ..] = state.to_le_bytes();
            state = state >> 8 ^ entry(0, s0 ^ byte);
        }
        Crc(state)
    }

    /// The CRC over the same header with `new` instead of `old` as its first four bytes. A CRC is linear: the
    /// difference of the two headers, carried to their end, is the difference of the two CRCs.
    #[inline(always)]
    pub(super) fn with_start(self, old: [u8; 4], new: [u8; 4]) -> Self {
        let difference = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
        Crc(self.0 ^ carry::<{ HEADER - 4 }>(difference.to_le_bytes()))
    }

    /// The value.
    #[inline(always)]
    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

/// What four bytes add to the state after themselves and `ZEROS` zero bytes.
#[inline(always)]
fn carry<const ZEROS: usize>(bytes: [u8; 4]) -> u32 {
    let [b0, b1, b2, b3] = bytes;
    entry(ZEROS + 3, b0) ^ entry(ZEROS + 2, b1) ^ entry(ZEROS + 1, b2) ^ entry(ZEROS, b3)
}

/// `zeros` is a constant below the number of tables in every call, so the compiler removes the bounds check.
#[inline(always)]
fn entry(zeros: usize, byte: u8) -> u32 {
    TABLES[zeros][usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::{Crc, HEADER};
    use proptest::prelude::*;

    /// Bit by bit, as ITU V.42 §8.1.1.6.2 describes it.
    fn slow(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |state, byte| {
            (0..8).fold(state ^ u32::from(*byte), |state, _| {
                state >> 1 ^ if state & 1 == 1 { 0xedb8_8320 } else { 0 }
            })
        })
    }

    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(Crc::new().update(b"123456789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::new().finish(), 0);
    }

    proptest! {
        #[test]
        fn it_is_the_bitwise_sum_wherever_the_bytes_are_split(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            split in 0usize..100,
        ) {
            let (first, second) = bytes.split_at(split.min(bytes.len()));
            prop_assert_eq!(Crc::new().update(first).update(second).finish(), slow(&bytes));
        }

        #[test]
        fn a_header_with_another_start_has_the_sum_that_it_would_have_afresh(
            old in any::<[u8; HEADER]>(),
            start in any::<[u8; 4]>(),
        ) {
            let mut new = old;
            new[..4].copy_from_slice(&start);
            let carried = Crc::new().update(&old).with_start([old[0], old[1], old[2], old[3]], start);
            prop_assert_eq!(carried.finish(), slow(&new));
        }
    }
}
