//! Pseudo-random numbers that are the same in every run.

/// SplitMix64 from a fixed seed.
pub struct Random(
    /// The seed, and from then on the state.
    pub u64,
);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "the sequence never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Changes some bytes of the frame's first 80, where all headers are, and now and then its length.
    /// At least an Ethernet header remains.
    pub fn mutate(&mut self, frame: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(frame.len().min(80));
            frame[at] = match self.below(3) {
                0 => self.next() as u8,
                1 => frame[at] ^ (1 << self.below(8)),
                _ => [0x00, 0x01, 0x04, 0x08, 0x11, 0x45, 0x60, 0x81, 0x86, 0xdd, 0xff][self.below(11)],
            };
        }
        match self.below(4) {
            0 => frame.truncate(14 + self.below(frame.len() - 13)),
            1 => frame.resize(frame.len() + self.below(64), self.next() as u8),
            _ => {}
        }
    }
}
