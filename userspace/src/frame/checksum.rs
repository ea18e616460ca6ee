//! The Internet checksum (RFC 1071).

/// A ones' complement sum of 16-bit words, folded only when it is asked for.
///
/// Words are added as they lie in memory: the sum is the same in either byte order, but for its own
/// two bytes, which then lie in the same order again (RFC 1071 §2 (B)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds one number that stands in the header in network order.
    #[inline(always)]
    pub(super) fn number(self, number: u16) -> Self {
        Sum(self.0 + u64::from(number.to_be()))
    }

    /// Adds bytes; an odd last byte counts as if a zero followed. Each 4 bytes add less than 2^32, so no
    /// frame comes near an overflow.
    #[inline(always)]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (fours, rest) = bytes.as_chunks::<4>();
        let sum = fours.iter().fold(self.0, |sum, four| sum + u64::from(u32::from_ne_bytes(*four)));
        let last = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        Sum(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// The sum in 16 bits, as it lies in memory. 0 only where nothing but zeros was added.
    #[inline(always)]
    pub(super) fn folded(self) -> [u8; 2] {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        (sum as u16).to_ne_bytes()
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
