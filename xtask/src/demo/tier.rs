//! The ways to serve that the demonstration shows, and what the counters must say of each.

use super::network::INTERFACE;
use super::server::DemoCounters;

/// One way to serve.
pub(super) struct Tier {
    pub(super) name: &'static str,
    /// Options of `xstun serve` that pin it.
    pub(super) flags: &'static [&'static str],
    /// Whether the kernel answers: the client's end then needs an XDP program.
    pub(super) in_kernel: bool,
    /// The path that serves the interface, as logged at start.
    interface_path: &'static str,
    /// The path whose counters must show answers.
    answers: &'static str,
    /// The paths whose counters must show none.
    silent: &'static [&'static str],
}

/// AF_XDP first: it is what serves where nothing is pinned.
pub(super) const TIERS: [Tier; 3] = [
    Tier {
        name: "AF_XDP",
        flags: &["--kernel-answers", "off"],
        in_kernel: false,
        interface_path: "af-xdp",
        answers: "af-xdp",
        silent: &["xdp", "sockets"],
    },
    Tier {
        name: "kernel answers",
        flags: &["--kernel-answers", "on"],
        in_kernel: true,
        interface_path: "af-xdp",
        answers: "xdp",
        // What is not plain is answered over AF_XDP.
        silent: &["sockets"],
    },
    Tier {
        name: "sockets",
        flags: &["--datapath", "socket"],
        in_kernel: false,
        interface_path: "sockets",
        answers: "sockets",
        silent: &["xdp", "af-xdp"],
    },
];

impl Tier {
    /// Reasons why these counters do not prove that this tier answered, and no other one that must not.
    pub(super) fn faults(&self, counters: &DemoCounters) -> Vec<String> {
        let mut faults = Vec::new();
        if counters.interface_paths != [self.interface_path] {
            faults.push(format!(
                "{INTERFACE} is served by {:?}, not by {}",
                counters.interface_paths, self.interface_path
            ));
        }
        if counters.answered(self.answers) == 0 {
            faults.push(format!("the counters of {} show no answer", self.answers));
        }
        for path in self.silent {
            let answered = counters.answered(path);
            if answered > 0 {
                faults.push(format!("{path} answered {answered} requests"));
            }
        }
        faults.into_iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{DemoCounters, TIERS};

    fn faults(tier: usize, lines: &[(&str, &str)], serving: &str) -> usize {
        let mut counters = DemoCounters::default();
        counters.interface_paths.push(serving.to_owned());
        for (path, text) in lines {
            counters.add(path, text);
        }
        TIERS[tier].faults(&counters).len()
    }

    #[test]
    fn answers_of_the_tier_itself_are_no_fault() {
        assert_eq!(
            faults(0, &[("af-xdp", "answered=12"), ("xdp", "redirect=12"), ("sockets", "")], "af-xdp"),
            0
        );
        assert_eq!(faults(1, &[("af-xdp", "answered_classic=1"), ("xdp", "answered=12")], "af-xdp"), 0);
        assert_eq!(faults(2, &[("sockets", "answered=3")], "sockets"), 0);
    }

    #[test]
    fn answers_of_another_tier_are_a_fault() {
        assert_eq!(faults(0, &[("sockets", "answered=3")], "sockets"), 3);
        assert_eq!(faults(0, &[("af-xdp", "received=9")], "af-xdp"), 1);
        assert_eq!(faults(0, &[("af-xdp", "answered=9"), ("xdp", "answered=1")], "af-xdp"), 1);
        assert_eq!(faults(1, &[("af-xdp", "answered=9"), ("xdp", "redirect=9")], "af-xdp"), 1);
        assert_eq!(faults(2, &[("sockets", "answered=3"), ("af-xdp", "answered=1")], "sockets"), 1);
    }
}
