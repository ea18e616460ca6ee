//! Whether frames that the XDP program hands over are seen to arrive: some drivers bind a socket and
//! never deliver.

use std::collections::HashMap;

/// Frames handed over without one arriving before delivery counts as broken. A few may be on their
/// way at any moment.
const DOUBT: u64 = 64;
/// Looks in a row, a second apart, that must agree.
const LOOKS: u32 = 3;

/// What was seen of each interface.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    seen: HashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    redirected: u64,
    arrived: u64,
    doubts: u32,
    broken: bool,
}

impl Seen {
    /// Takes in a look; whether delivery turned out broken just now.
    fn look(&mut self, redirected: u64, arrived: u64) -> bool {
        if arrived != self.arrived {
            *self = Seen { redirected, arrived, doubts: 0, broken: false };
            return false;
        }
        self.doubts = if redirected >= self.redirected + DOUBT { self.doubts + 1 } else { 0 };
        let now = self.doubts >= LOOKS && !self.broken;
        self.broken |= now;
        now
    }
}

impl Delivery {
    /// Whether there is reason to doubt that frames of this interface arrive.
    pub(super) fn is_doubted(&self, name: &str) -> bool {
        self.seen.get(name).is_some_and(|seen| seen.broken || seen.doubts >= LOOKS - 1)
    }

    /// Whether delivery on this interface turned out broken just now.
    pub(super) fn is_broken(&mut self, name: &str, path: &crate::datapath::af_xdp::AfXdp) -> bool {
        let Ok(verdicts) = path.verdicts() else { return false };
        let redirected = verdicts[xstun_ebpf::Verdict::Redirect as usize];
        // A frame that the kernel counts as dropped at the socket has arrived there.
        let arrived = path
            .queues()
            .map(|(_, _, _, stats)| {
                let kernel = &stats.kernel;
                stats.received.get()
                    + kernel.rx_dropped.get()
                    + kernel.rx_ring_full.get()
                    + kernel.rx_fill_ring_empty.get()
            })
            .sum();
        self.seen.entry(name.to_owned()).or_default().look(redirected, arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn frames_that_never_arrive_are_told_once() {
        let mut seen = Seen::default();
        assert_eq!(
            [100, 200, 300, 400].map(|redirected| seen.look(redirected, 0)),
            [false, false, true, false]
        );
    }

    #[test]
    fn one_arrival_or_too_few_frames_raise_no_alarm() {
        let mut seen = Seen::default();
        assert!([(100, 0), (200, 0), (300, 1), (400, 2)].into_iter().all(|(r, a)| !seen.look(r, a)));
        let mut quiet = Seen::default();
        assert!((1..50).all(|redirected| !quiet.look(redirected, 0)));
    }
}
