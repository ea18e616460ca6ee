//! Whether an interface receives anything at all since its queues were bound: some drivers accept a bind and hand
//! over no frame from then on, not even to the stack.

use crate::datapath::af_xdp::{AfXdp, XdpMode};
use std::collections::HashMap;
use std::fmt;

/// Frames that the NIC counts, and of which the XDP program sees none, that count as a failure. Some NICs count a
/// few that are not for this host.
const FRAMES: u64 = 8;
/// Checks, a second apart, after which that failure counts.
const NIC_CHECKS: u32 = 5;
/// Checks after which the silence of neighbours counts. A bind may reset the link, and a switch may forward
/// nothing for 30 s after that (IEEE 802.1D spanning tree: twice the forward delay).
const NEIGHBOUR_CHECKS: u32 = 35;

/// Why an interface is believed to receive nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deafness {
    /// The NIC itself counts this many frames.
    NicCounts(u64),
    /// So many neighbours that had answered the kernel just before the bind do not answer any more.
    NeighboursSilent(usize),
}

impl fmt::Display for Deafness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deafness::NicCounts(frames) => write!(f, "the NIC counts {frames} received frames"),
            Deafness::NeighboursSilent(1) => write!(f, "a neighbour that answered before does not"),
            Deafness::NeighboursSilent(count) => {
                write!(f, "{count} neighbours that answered before do not")
            }
        }
    }
}

/// What one check of an interface sees.
#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    /// Frames that the XDP program has seen.
    heard: u64,
    /// Frames that the NIC has received, by its own counter.
    nic: Option<u64>,
    /// Neighbours that are asked at each check.
    neighbours: usize,
    /// Whether the link is up.
    link: bool,
}

/// The checks of one interface since its queues were bound.
#[derive(Clone, Copy, Debug, Default)]
struct Reception {
    /// The first observation, to which later ones are compared.
    first: Option<Observation>,
    /// Checks without a frame while the link was up.
    silent: u32,
    decided: bool,
}

impl Reception {
    /// Takes in one check; returns whether the interface has just turned out to be deaf, and why. The first frame
    /// settles that it is not.
    fn check(&mut self, now: Observation) -> Option<Deafness> {
        let first = *self.first.get_or_insert(now);
        if self.decided {
            return None;
        }
        if now.heard != first.heard {
            self.decided = true;
            return None;
        }
        if !now.link {
            *self = Reception::default();
            return None;
        }
        self.silent += 1;
        let counted = now.nic.zip(first.nic).map_or(0, |(now, first)| now.saturating_sub(first));
        let deaf = if self.silent >= NIC_CHECKS && counted >= FRAMES {
            Some(Deafness::NicCounts(counted))
        } else if self.silent >= NEIGHBOUR_CHECKS && now.neighbours > 0 {
            Some(Deafness::NeighboursSilent(now.neighbours))
        } else {
            None
        };
        self.decided = deaf.is_some();
        deaf
    }
}

/// The checks of all interfaces, by name.
#[derive(Debug, Default)]
pub(super) struct ReceptionCheck(HashMap<String, Reception>);

impl ReceptionCheck {
    /// Checks an interface that is served over AF_XDP; returns whether it has just turned out to be deaf, and why.
    /// Until it has received a frame, neighbours are asked for one.
    pub(super) fn check(&mut self, name: &str, path: &AfXdp) -> Option<Deafness> {
        let reception = self.0.entry(name.to_owned()).or_default();
        // In generic mode the driver hands every frame to the stack, as without XDP.
        if reception.decided || path.has_stepped_down() || path.mode() == XdpMode::Generic {
            return None;
        }
        let heard = path.verdicts().ok()?.iter().sum();
        let (link, nic) = path.reception();
        reception.check(Observation { heard, nic, neighbours: path.ask_neighbours(), link })
    }

    /// Begins anew with an interface whose queues have just been bound again.
    pub(super) fn restart(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether it is still open whether this interface receives.
    pub(super) fn is_open(&self, name: &str) -> bool {
        self.0.get(name).is_none_or(|reception| !reception.decided)
    }
}

#[cfg(test)]
mod tests {
    use super::{Deafness, NEIGHBOUR_CHECKS, NIC_CHECKS, Observation, Reception};

    /// A source of observations: what an interface does at each check.
    struct Source(Observation);

    impl Source {
        /// An interface whose link is up, on which the program has seen some frames of before.
        fn new(neighbours: usize, nic: Option<u64>) -> Self {
            Source(Observation { heard: 100, nic, neighbours, link: true })
        }

        /// Lets this many checks pass, at each of which the NIC counts `nic` more frames and the program sees `heard`
        /// more; returns the number of the check that found it deaf, from 1, and why.
        fn run(
            &mut self,
            reception: &mut Reception,
            checks: u32,
            nic: u64,
            heard: u64,
        ) -> Option<(u32, Deafness)> {
            let mut found = None;
            for number in 1..=checks {
                if let Some(deaf) = reception.check(self.0) {
                    assert_eq!(found, None, "reported twice");
                    found = Some((number, deaf));
                }
                self.0.nic = self.0.nic.map(|count| count + nic);
                self.0.heard += heard;
            }
            found
        }
    }

    #[test]
    fn silence_counts_only_against_evidence() {
        const LONG: u32 = 3 * NEIGHBOUR_CHECKS;
        let nic = |frames| Deafness::NicCounts(frames);
        for (what, neighbours, counter, each, heard, expected) in [
            ("a quiet network", 0, Some(7), 0, 0, None),
            ("a quiet network, and no counter", 0, None, 0, 0, None),
            (
                "neighbours are silent",
                2,
                Some(7),
                0,
                0,
                Some((NEIGHBOUR_CHECKS, Deafness::NeighboursSilent(2))),
            ),
            ("the NIC counts", 0, Some(7), 2, 0, Some((NIC_CHECKS, nic(8)))),
            ("the NIC counts a few", 0, Some(7), 1, 0, Some((9, nic(8)))),
            ("both", 1, Some(7), 100, 0, Some((NIC_CHECKS, nic(400)))),
            ("frames arrive", 1, Some(7), 100, 1, None),
            ("frames arrive, and no counter", 1, None, 0, 1, None),
        ] {
            let found = Source::new(neighbours, counter).run(&mut Reception::default(), LONG, each, heard);
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn one_frame_settles_that_an_interface_receives() {
        let (mut reception, mut source) = (Reception::default(), Source::new(1, Some(0)));
        assert_eq!(source.run(&mut reception, 3, 1, 0), None);
        assert_eq!(source.run(&mut reception, 1, 1, 1), None);
        assert_eq!(source.run(&mut reception, 3 * NEIGHBOUR_CHECKS, 100, 0), None);
        assert!(reception.decided);
    }

    #[test]
    fn checks_without_a_link_do_not_count() {
        let (mut reception, mut source) = (Reception::default(), Source::new(1, Some(0)));
        assert_eq!(source.run(&mut reception, NEIGHBOUR_CHECKS - 1, 0, 0), None);
        source.0.link = false;
        assert_eq!(
            source.run(&mut reception, 9, 100, 0),
            None,
            "what the NIC counts while its link is reset"
        );
        source.0.link = true;
        assert_eq!(source.run(&mut reception, NEIGHBOUR_CHECKS - 1, 0, 0), None);
        assert_eq!(source.run(&mut reception, 1, 0, 0), Some((1, Deafness::NeighboursSilent(1))));
    }
}
