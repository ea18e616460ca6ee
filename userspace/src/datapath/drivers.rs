//! The table of drivers: from which kernel on each is trusted with which rung of the ladder, with sources.
//!
//! Native and generic XDP are tried everywhere: the kernel refuses what a driver does not support.
//! Zero-copy lets the NIC write into this process's memory, and drivers have crashed hosts with it. So
//! `--bind-mode auto` tries it only where it is known good; `--bind-mode zero-copy` tries it anyway.
//!
//! Kernel answers leave by XDP_TX, and a fault of the driver there loses replies that count as sent. So
//! `--kernel-answers auto` uses XDP_TX in native mode only where it is trusted: a service is known to run on it, or
//! the driver sends such a frame by the function that sends the stack's packets; and the faults that were reported are
//! fixed. `--kernel-answers on` uses it anyway. Every driver with native XDP has XDP_TX (NETDEV_XDP_ACT_BASIC,
//! linux/netdev.h). Generic XDP transmits without the driver's help.
//!
//! The source of `native` and `zero_copy` is ebpf-docs, BPF_PROG_TYPE_XDP, "Driver support", unless a row says
//! otherwise; that of `answers` stands in `answers_note`. `DriverRow::seen` has what `cargo xtask vm` has verified; a
//! test compares it with the table in docs/measurements.md.

/// What to expect of a driver's zero-copy, or of its XDP_TX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverTrust {
    /// Known good.
    Trusted,
    /// The driver has it, or may have it, but is not known good with this kernel; with the reason.
    Untrusted(&'static str),
    /// The driver does not have it; with the reason.
    Unsupported(&'static str),
}

/// Major and minor version of a kernel.
type Kernel = (u32, u32);

/// A rung that `cargo xtask vm` has verified, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Generic,
    Native,
    ZeroCopy,
}

struct DriverRow {
    name: &'static str,
    /// First kernel whose driver runs XDP programs itself.
    native: Option<Kernel>,
    /// First kernel whose driver has zero-copy.
    zero_copy: Option<Kernel>,
    /// First kernel on which others use its zero-copy in production.
    trusted: Option<Kernel>,
    /// Why zero-copy is not trusted, or not before that kernel; or why the driver has none.
    note: &'static str,
    /// The best rung that `cargo xtask vm` has verified, by kernel. Zero-copy is trusted from that kernel on.
    seen: &'static [(Kernel, Rung)],
    /// Why zero-copy cannot be busy-polled.
    busy_poll: Option<&'static str>,
    /// First kernel on which its XDP_TX is trusted.
    answers: Option<Kernel>,
    /// Why XDP_TX is trusted from that kernel on, or why it is not.
    answers_note: &'static str,
}

const fn row(
    name: &'static str,
    native: Option<Kernel>,
    zero_copy: Option<Kernel>,
    note: &'static str,
) -> DriverRow {
    DriverRow {
        name,
        native,
        zero_copy,
        trusted: None,
        note,
        seen: &[],
        busy_poll: None,
        answers: None,
        answers_note: NO_REPORT,
    }
}

impl DriverRow {
    /// XDP_TX is trusted from this kernel on, for this reason.
    const fn answers(self, from: Kernel, why: &'static str) -> Self {
        DriverRow { answers: Some(from), answers_note: why, ..self }
    }

    /// XDP_TX is not trusted, for this reason.
    const fn no_answers(self, why: &'static str) -> Self {
        DriverRow { answers_note: why, ..self }
    }
}

const NONE: &str = "the driver has none";
const NO_REPORT: &str = "no report of a service that answers by it";
const NO_NATIVE: &str = "the driver has no native XDP in this kernel";

const DRIVERS: &[DriverRow] = &[
    DriverRow {
        // Firedancer's allow-list of drivers and kernels (fd_config_auto.c), which runs in production.
        trusted: Some((6, 1)),
        ..row(
            "mlx5_core",
            Some((4, 9)),
            Some((5, 3)),
            "binds were refused and closed loops stalled on older kernels (xdp-tutorial #232, bpf-examples #117)",
        )
        .answers((4, 9), "Cilium's load balancer runs on it on Azure (its guide, NodePort XDP on Azure)")
    },
    DriverRow {
        // Zero-copy needs a device with iommu_platform=on: without it the bind fails (EINVAL), and copy mode
        // is used.
        seen: &[
            ((6, 1), Rung::Native),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::ZeroCopy),
            ((7, 3), Rung::ZeroCopy),
        ],
        busy_poll: Some(
            "virtio_net polls its transmit queue apart from its receive queue, so no reply would leave (seen with \
             Linux 6.18)",
        ),
        ..row(
            "virtio_net",
            Some((4, 10)),
            Some((6, 11)),
            "the bind is refused (EOPNOTSUPP, seen with Linux 6.12)",
        )
        .answers(
            (6, 3),
            "OpenResty answers by it (amzn-drivers #264); before, a full transmit queue lost the stack's packets too \
             (commit cd1c604aa1d8)",
        )
    },
    row(
        "i40e",
        Some((4, 13)),
        Some((4, 20)),
        "kernel panic on transmit with Debian's Linux 6.12 (xsk-rs #49)",
    ),
    row(
        "ixgbe",
        Some((4, 12)),
        Some((4, 20)),
        "transmit held until the link is reset (xdp-tutorial #471, xdp-tools #386); Knot DNS lists it as \
         unstable",
    )
    .no_answers("transmit hung where there are as many queues as CPUs (katran #20)"),
    row("ice", Some((5, 5)), Some((5, 5)), "kernel memory corruption (firedancer #11245)"),
    row(
        "igc",
        Some((5, 13)),
        Some((5, 14)),
        "kernel panic on transmit with Debian's Linux 6.12 (xsk-rs #49)",
    ),
    row(
        "stmmac",
        Some((5, 13)),
        Some((5, 13)),
        "a starved fill ring stops the queue for good (analogdevices/linux #3517)",
    ),
    row("nfp", Some((4, 10)), Some((5, 18)), "no report of its behaviour under load"),
    // Its commit "tsnep: Add XDP RX support".
    row("tsnep", Some((6, 3)), Some((6, 4)), "no report of its behaviour under load"),
    row("gve", Some((6, 4)), Some((6, 4)), "transmit gets stuck (compute-virtual-ethernet-linux #59)").answers(
        (6, 11),
        "Firezone's relay runs on it (firezone #10177); before, transmit got stuck after 2^32 replies \
         (compute-virtual-ethernet-linux #59, fixed by commit 03b54bad26f3)",
    ),
    DriverRow {
        // Both faults are the driver's: docs/measurements.md has how they were found.
        seen: &[
            ((6, 1), Rung::Native),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::Native),
            ((7, 3), Rung::Native),
        ],
        ..row(
            "igb",
            Some((5, 10)),
            Some((6, 14)),
            "frames longer than 1 KiB are cut in two (seen with Linux 7.3), and before commit d4c13ab36273 nothing \
             is received on up to four queues (seen with Linux 6.18)",
        )
    },
    row("idpf", Some((6, 18)), Some((6, 18)), "too new: no report of its behaviour under load"),
    row(
        "ena",
        Some((5, 6)),
        None,
        "the kernel's own driver has none; Amazon's separate one is slower with it than without and has \
         corrupted memory (amzn-drivers #221, #330)",
    )
    .answers((5, 6), "Cilium's load balancer runs on it (its guide, NodePort XDP on AWS)"),
    DriverRow {
        seen: &[
            ((6, 1), Rung::Native),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::Native),
            ((7, 3), Rung::Native),
        ],
        ..row("veth", Some((4, 19)), None, "a virtual cable has no NIC that could write into the UMEM")
            .no_answers(
                "replies reach the other end only if that runs an XDP program, which cannot be seen from here \
                 (seen with Linux 6.18)",
            )
    },
    row("bnxt_en", Some((4, 11)), None, NONE),
    row("hv_netvsc", Some((5, 6)), None, NONE)
        .answers((5, 6), "Cilium's load balancer runs on it (its guide, NodePort XDP on Azure)"),
    row("mana", Some((5, 17)), None, NONE).answers(
        (5, 17),
        "sent like the stack's packets: mana_xdp_tx calls mana_start_xmit (commit ed5356b53f07)",
    ),
    row("tun", Some((4, 14)), None, NONE),
    DriverRow {
        // Native: its commit "vmxnet3: Add XDP support", August 2023.
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::Native),
            ((7, 3), Rung::Native),
        ],
        ..row("vmxnet3", Some((6, 6)), None, NONE).answers(
            (6, 12),
            "fixed by Cilium's authors, who use it; before, a reply that starts elsewhere than its request was sent \
             from the wrong place (commit 4678adf94da4)",
        )
    },
    // Not in ebpf-docs: neither driver has a function for XDP.
    DriverRow {
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Generic),
            ((6, 18), Rung::Generic),
            ((7, 3), Rung::Generic),
        ],
        ..row("e1000", None, None, NONE)
    },
    DriverRow {
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Generic),
            ((6, 18), Rung::Generic),
            ((7, 3), Rung::Generic),
        ],
        ..row("e1000e", None, None, NONE)
    },
];

fn find(driver: &str) -> Option<&'static DriverRow> {
    DRIVERS.iter().find(|row| row.name == driver)
}

impl DriverRow {
    /// First kernel on which its zero-copy is trusted.
    fn trusted(&self) -> Option<Kernel> {
        let seen = self.seen.iter().find(|(_, rung)| *rung == Rung::ZeroCopy).map(|(kernel, _)| *kernel);
        self.trusted.or(seen)
    }
}

/// What to expect of the zero-copy of `driver` (its name in sysfs, or a virtual interface's kind) on a kernel of
/// this major and minor version.
pub(crate) fn zero_copy(driver: &str, kernel: (u32, u32)) -> DriverTrust {
    let Some(row) = find(driver) else {
        return DriverTrust::Untrusted("no report of this driver's behaviour with zero-copy");
    };
    match (row.zero_copy, row.trusted()) {
        (None, _) => DriverTrust::Unsupported(row.note),
        (Some(since), _) if kernel < since => {
            DriverTrust::Unsupported("the driver has no zero-copy in this kernel")
        }
        (_, Some(trusted)) if kernel >= trusted => DriverTrust::Trusted,
        _ => DriverTrust::Untrusted(row.note),
    }
}

/// What to expect of the XDP_TX of `driver` in native mode on a kernel of this major and minor version.
pub(crate) fn xdp_tx(driver: &str, kernel: (u32, u32)) -> DriverTrust {
    let Some(row) = find(driver) else { return DriverTrust::Untrusted(NO_REPORT) };
    match (row.native, row.answers) {
        (Some(since), _) if kernel < since => DriverTrust::Unsupported(NO_NATIVE),
        (None, _) => DriverTrust::Unsupported(NO_NATIVE),
        (_, Some(from)) if kernel >= from => DriverTrust::Trusted,
        _ => DriverTrust::Untrusted(row.answers_note),
    }
}

/// Why the zero-copy of `driver` cannot be busy-polled; `None` if it can, or if that is unknown.
pub(crate) fn no_busy_poll(driver: &str) -> Option<&'static str> {
    find(driver)?.busy_poll
}

/// Whether `driver` has native XDP on a kernel of this version; `None` if the table does not have the driver.
pub(crate) fn native(driver: &str, kernel: (u32, u32)) -> Option<bool> {
    find(driver).map(|row| row.native.is_some_and(|since| kernel >= since))
}

#[cfg(test)]
mod tests;
