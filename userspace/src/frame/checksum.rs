//! The Internet checksum (RFC 1071).

/// A ones' complement sum of 16-bit words, folded only when it is asked for.
///
/// Words are added eight bytes at once and as they lie in memory: neither the width nor the byte order
/// changes the sum, but for the order of its own two bytes, which is then again that of memory (RFC
/// 1071 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds one number that stands in the header in network order.
    #[inline(always)]
    pub(super) fn number(self, number: u16) -> Self {
        self.add(u64::from(number.to_be()))
    }

    /// Adds bytes; an odd last byte counts as if a zero followed.
    #[inline(always)]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let (fours, rest) = rest.as_chunks::<4>();
        let mut sum = self;
        for eight in eights {
            sum = sum.add(u64::from_ne_bytes(*eight));
        }
        for four in fours {
            sum = sum.add(u64::from(u32::from_ne_bytes(*four)));
        }
        match *rest {
            [] => sum,
            [a] => sum.add(u64::from(u32::from_ne_bytes([a, 0, 0, 0]))),
            [a, b] => sum.add(u64::from(u32::from_ne_bytes([a, b, 0, 0]))),
            [a, b, c, ..] => sum.add(u64::from(u32::from_ne_bytes([a, b, c, 0]))),
        }
    }

    /// Adds with the carry brought round to the lowest bit.
    #[inline(always)]
    fn add(self, word: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Sum(sum + u64::from(carry))
    }

    /// The sum in 16 bits, as it lies in memory. 0 only where nothing but zeros was added.
    #[inline(always)]
    pub(super) fn folded(self) -> [u8; 2] {
        // A word added to itself with its halves swapped has their sum, and that sum's carry, in its
        // upper half.
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        let sum = (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16;
        sum.to_ne_bytes()
    }

    /// The checksum field that makes the whole right.
    #[inline(always)]
    pub(super) fn checksum(self) -> [u8; 2] {
        let [a, b] = self.folded();
        [!a, !b]
    }

    /// Whether the bytes added hold a right checksum.
    #[inline(always)]
    pub(super) fn is_right(self) -> bool {
        self.folded() == [0xff; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;
    use etherparse::checksum::Sum16BitWords;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), [0xdd, 0xf2]);
        assert_eq!(sum.checksum(), [0x22, 0x0d]);
    }

    #[test]
    fn zeros_alone_fold_to_zero_and_ones_never_do() {
        assert_eq!(Sum::default().bytes(&[0; 40]).folded(), [0, 0]);
        assert_eq!(Sum::default().bytes(&[0xff; 2048]).folded(), [0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn it_is_the_sum_that_etherparse_takes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let theirs = Sum16BitWords::new().add_slice(&bytes).ones_complement();
            prop_assert_eq!(u16::from_ne_bytes(Sum::default().bytes(&bytes).checksum()), theirs);
        }

        #[test]
        fn parts_add_up_to_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            split in 0usize..50,
            number: u16,
        ) {
            let (first, second) = bytes.split_at((split * 4).min(bytes.len()));
            let parts = Sum::default().bytes(second).number(number).bytes(first);
            let mut whole = number.to_be_bytes().to_vec();
            whole.extend_from_slice(&[0, 0]);
            whole.extend_from_slice(&bytes);
            prop_assert_eq!(parts.folded(), Sum::default().bytes(&whole).folded());
        }
    }
}
