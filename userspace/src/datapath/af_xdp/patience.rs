//! How often a worker looks at an empty ring before it sleeps.

/// Most looks. The next batch of a busy queue arrives within them, and they cost an idle one nothing.
const MOST: u32 = 256;
/// Sleeps after which it is tried again whether looking helps.
const TRIED_AGAIN: u32 = 64;

/// Learns whether looking helps. Where another core receives, the next batch arrives meanwhile, and a
/// sleep and its waking are saved. Where the worker's own core receives (the interrupt or the NAPI thread
/// of its queue runs there), nothing can arrive while it looks: every look delays the next frame.
#[derive(Debug)]
pub(super) struct Patience {
    /// Looks before the next sleep.
    granted: u32,
    /// Looks since the last frame or sleep.
    looks: u32,
    /// Sleeps since looking was last tried in full.
    sleeps: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { granted: MOST, looks: 0, sleeps: 0 }
    }
}

impl Patience {
    /// There was a frame. Looks that found it were worth it.
    #[inline]
    pub(super) fn found(&mut self) {
        if self.looks > 0 {
            self.granted = MOST;
            self.looks = 0;
        }
    }

    /// There was none: whether to look again. If not, the worker sleeps, and half as many looks are
    /// granted the next time.
    #[inline]
    pub(super) fn looks_again(&mut self) -> bool {
        if self.looks < self.granted {
            self.looks += 1;
            return true;
        }
        self.looks = 0;
        self.sleeps += 1;
        self.granted /= 2;
        if self.sleeps == TRIED_AGAIN {
            self.sleeps = 0;
            self.granted = MOST;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Patience, TRIED_AGAIN};

    /// Looks in vain until the worker would sleep.
    fn looks(patience: &mut Patience) -> u32 {
        std::iter::repeat_with(|| patience.looks_again()).take_while(|again| *again).count() as u32
    }

    #[test]
    fn looks_in_vain_become_fewer() {
        let mut patience = Patience::default();
        let granted: Vec<u32> = (0..12).map(|_| looks(&mut patience)).collect();
        assert_eq!(granted, [256, 128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn a_look_that_finds_grants_all_again() {
        let mut patience = Patience::default();
        (0..6).for_each(|_| assert!(looks(&mut patience) > 0));
        assert!(patience.looks_again());
        patience.found();
        assert_eq!(looks(&mut patience), MOST);
    }

    #[test]
    fn a_frame_that_woke_the_worker_grants_nothing() {
        let mut patience = Patience::default();
        assert_eq!((0..12).map(|_| looks(&mut patience)).last(), Some(0));
        patience.found();
        assert_eq!(looks(&mut patience), 0);
    }

    #[test]
    fn looking_is_tried_again_now_and_then() {
        let mut patience = Patience::default();
        let tries = (0..3 * TRIED_AGAIN).filter(|_| looks(&mut patience) == MOST).count();
        assert_eq!(tries, 3);
    }
}
