//! The Internet checksum (RFC 1071).

/// A ones' complement sum of 16-bit words, folded on demand.
///
/// Adds four or eight bytes at a time, in memory order: neither the width nor the byte order changes the sum, except
/// for the order of its own two bytes, which is then memory order again (RFC 1071 §2).
///
/// A datagram adds less than 2^14 words of less than 2^32, and a few numbers, so it cannot overflow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds a number that the header holds in network order.
    #[inline(always)]
    pub fn number(self, number: u16) -> Self {
        Sum(self.0 + u64::from(number.to_be()))
    }

    /// Adds four bytes.
    #[inline(always)]
    pub fn word(self, word: [u8; 4]) -> Self {
        Sum(self.0 + u64::from(u32::from_ne_bytes(word)))
    }

    /// Adds bytes; an odd last byte counts as if a zero followed.
    #[inline(always)]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // BPF has no carry flag, so each carry would be a branch, and every branch doubles what its verifier
        // has to follow.
        if cfg!(target_arch = "bpf") { self.by_fours(bytes) } else { self.by_eights(bytes) }
    }

    /// Adds bytes four at a time, without carries.
    #[inline(always)]
    fn by_fours(self, bytes: &[u8]) -> Self {
        let Sum(mut sum) = self;
        let mut rest = bytes;
        while let Some((four, behind)) = rest.split_first_chunk::<4>() {
            sum += u64::from(u32::from_ne_bytes(*four));
            rest = behind;
        }
        if !rest.is_empty() {
            sum += odd(rest);
        }
        Sum(sum)
    }

    /// Adds bytes eight at a time.
    #[inline(always)]
    fn by_eights(self, bytes: &[u8]) -> Self {
        let mut sum = 0;
        let mut rest = bytes;
        while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
            sum = add(sum, u64::from_ne_bytes(*eight));
            rest = behind;
        }
        if let Some((four, behind)) = rest.split_first_chunk::<4>() {
            sum = add(sum, u64::from(u32::from_ne_bytes(*four)));
            rest = behind;
        }
        if !rest.is_empty() {
            sum = add(sum, odd(rest));
        }
        Sum(self.0 + (sum >> 32) + (sum & 0xffff_ffff))
    }

    /// The sum in 16 bits, in memory order. It is 0 only if nothing but zeros was added.
    #[inline(always)]
    pub(crate) fn folded(self) -> u16 {
        // A word plus itself with its halves swapped has the sum of both halves, carry included, in its upper
        // half.
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }

    /// The value of the checksum field, in memory order, that makes the whole right.
    #[inline(always)]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether the bytes added include a right checksum.
    #[inline(always)]
    pub fn is_right(self) -> bool {
        self.folded() == 0xffff
    }
}

/// Adds with end-around carry.
#[inline(always)]
fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

/// The one to three bytes after the last four. A STUN message has none.
#[cold]
fn odd(rest: &[u8]) -> u64 {
    let mut word = [0; 4];
    for (place, byte) in word.iter_mut().zip(rest) {
        *place = *byte;
    }
    u64::from(u32::from_ne_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::Sum;
    use etherparse::checksum::Sum16BitWords;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded().to_ne_bytes(), [0xdd, 0xf2]);
        assert_eq!(sum.checksum().to_ne_bytes(), [0x22, 0x0d]);
    }

    #[test]
    fn zeros_alone_fold_to_zero_and_ones_never_do() {
        assert_eq!(Sum::default().bytes(&[0; 40]).folded(), 0);
        assert_eq!(Sum::default().bytes(&[0xff; 2048]).folded(), 0xffff);
    }

    proptest! {
        #[test]
        fn it_is_the_sum_that_etherparse_takes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let theirs = Sum16BitWords::new().add_slice(&bytes).ones_complement();
            prop_assert_eq!(Sum::default().bytes(&bytes).checksum(), theirs);
        }

        #[test]
        fn bpf_and_host_take_the_same_sum(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (fours, eights) = (Sum::default().by_fours(&bytes), Sum::default().by_eights(&bytes));
            prop_assert_eq!(fours.folded(), eights.folded());
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
