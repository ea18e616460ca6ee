//! Which driver, from which kernel on, is trusted with which rung of the ladder: the one table of it,
//! with its sources.
//!
//! Native and generic XDP are asked for everywhere: the kernel itself refuses what a driver has not.
//! Zero-copy lets the NIC write into this process's memory, and drivers have crashed hosts with it.
//! So `--bind-mode auto` asks for it only where it is known good; `--bind-mode zero-copy` asks in any
//! case.
//!
//! Source of "native" and "zero-copy since" is ebpf-docs, BPF_PROG_TYPE_XDP, "Driver support", where a
//! row says nothing else. What `cargo xtask vm` has verified stands in `Driver::seen`, which a test
//! holds to the table in docs/measurements.md.

/// What to expect of zero-copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Known good: to be asked for.
    Trusted,
    /// The driver has it, or may have it, but is not known good with this kernel, and why.
    Untrusted(&'static str),
    /// The driver does not have it, and why.
    Unsupported(&'static str),
}

/// Major and minor number of a kernel.
type Kernel = (u32, u32);

/// A rung that `cargo xtask vm` has seen at work, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Generic,
    Native,
    ZeroCopy,
}

struct Driver {
    name: &'static str,
    /// First kernel whose driver runs XDP programs itself.
    native: Option<Kernel>,
    /// First kernel whose driver has zero-copy.
    zero_copy: Option<Kernel>,
    /// First kernel with which others serve over its zero-copy in production.
    trusted: Option<Kernel>,
    /// Why zero-copy is not trusted, or not before that kernel; or why it has none.
    note: &'static str,
    /// The best rung that `cargo xtask vm` has verified, by kernel; zero-copy is trusted from there on.
    seen: &'static [(Kernel, Rung)],
    /// Why zero-copy cannot be busy-polled.
    busy_poll: Option<&'static str>,
}

const fn row(
    name: &'static str,
    native: Option<Kernel>,
    zero_copy: Option<Kernel>,
    note: &'static str,
) -> Driver {
    Driver { name, native, zero_copy, trusted: None, note, seen: &[], busy_poll: None }
}

const NONE: &str = "the driver has none";

const DRIVERS: &[Driver] = &[
    Driver {
        // Firedancer's allow-list of drivers and kernels (fd_config_auto.c), which runs in production.
        trusted: Some((6, 1)),
        ..row(
            "mlx5_core",
            Some((4, 9)),
            Some((5, 3)),
            "binds were refused and closed loops stalled on older kernels (xdp-tutorial #232, bpf-examples #117)",
        )
    },
    Driver {
        // Zero-copy wants a device with iommu_platform=on: without it the bind is refused (EINVAL) and copy
        // mode follows.
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
    ),
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
    row("nfp", Some((4, 10)), Some((5, 18)), "nobody has reported how it fares under load"),
    // Its commit "tsnep: Add XDP RX support".
    row("tsnep", Some((6, 3)), Some((6, 4)), "nobody has reported how it fares under load"),
    row("gve", Some((6, 4)), Some((6, 4)), "transmit gets stuck (compute-virtual-ethernet-linux #59)"),
    row("igb", Some((5, 10)), Some((6, 14)), "too new: nobody has reported how it fares under load"),
    row("idpf", Some((6, 18)), Some((6, 18)), "too new: nobody has reported how it fares under load"),
    row(
        "ena",
        Some((5, 6)),
        None,
        "the kernel's own driver has none; Amazon's separate one is slower with it than without and has \
         corrupted memory (amzn-drivers #221, #330)",
    ),
    Driver {
        seen: &[
            ((6, 1), Rung::Native),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::Native),
            ((7, 3), Rung::Native),
        ],
        ..row("veth", Some((4, 19)), None, "a virtual cable has no NIC that could write into the UMEM")
    },
    row("bnxt_en", Some((4, 11)), None, NONE),
    row("hv_netvsc", Some((5, 6)), None, NONE),
    row("mana", Some((5, 17)), None, NONE),
    row("tun", Some((4, 14)), None, NONE),
    Driver {
        // Native: its commit "vmxnet3: Add XDP support", August 2023.
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Native),
            ((6, 18), Rung::Native),
            ((7, 3), Rung::Native),
        ],
        ..row("vmxnet3", Some((6, 6)), None, NONE)
    },
    // Not in ebpf-docs: neither driver has a function for XDP.
    Driver {
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Generic),
            ((6, 18), Rung::Generic),
            ((7, 3), Rung::Generic),
        ],
        ..row("e1000", None, None, NONE)
    },
    Driver {
        seen: &[
            ((6, 1), Rung::Generic),
            ((6, 12), Rung::Generic),
            ((6, 18), Rung::Generic),
            ((7, 3), Rung::Generic),
        ],
        ..row("e1000e", None, None, NONE)
    },
];

fn find(driver: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|row| row.name == driver)
}

impl Driver {
    /// First kernel with which its zero-copy is trusted.
    fn trusted(&self) -> Option<Kernel> {
        let seen = self.seen.iter().find(|(_, rung)| *rung == Rung::ZeroCopy).map(|(kernel, _)| *kernel);
        self.trusted.or(seen)
    }
}

/// What to expect of zero-copy from `driver` (as sysfs calls it, or a virtual interface's kind) on a
/// kernel of this major and minor version.
pub fn zero_copy(driver: &str, kernel: (u32, u32)) -> ZeroCopy {
    let Some(row) = find(driver) else {
        return ZeroCopy::Untrusted("nobody has reported how this driver fares with it");
    };
    match (row.zero_copy, row.trusted()) {
        (None, _) => ZeroCopy::Unsupported(row.note),
        (Some(since), _) if kernel < since => ZeroCopy::Unsupported("this kernel's driver has none yet"),
        (_, Some(trusted)) if kernel >= trusted => ZeroCopy::Trusted,
        _ => ZeroCopy::Untrusted(row.note),
    }
}

/// Why zero-copy of `driver` cannot be busy-polled; nothing where it can, or where nobody knows.
pub fn no_busy_poll(driver: &str) -> Option<&'static str> {
    find(driver)?.busy_poll
}

/// Whether `driver` runs XDP programs itself on a kernel of this version; nothing where the table does
/// not know the driver.
pub fn native(driver: &str, kernel: (u32, u32)) -> Option<bool> {
    find(driver).map(|row| row.native.is_some_and(|since| kernel >= since))
}

#[cfg(test)]
mod tests;
