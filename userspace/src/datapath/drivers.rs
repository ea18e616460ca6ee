//! Which drivers are trusted with zero-copy: the one table of it, with its sources.
//!
//! Zero-copy lets the NIC write into this process's memory, and drivers have crashed hosts with it.
//! So `--bind-mode auto` asks for it only where it is known good; `--bind-mode zero-copy` asks in any
//! case. "Since" is the kernel whose driver first had it (ebpf-docs, AF_XDP driver support).

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

struct Driver {
    name: &'static str,
    /// First kernel whose driver has zero-copy.
    since: Option<Kernel>,
    /// First kernel with which it is trusted.
    trusted: Option<Kernel>,
    /// Why it is not trusted, or not before that kernel; or why it has none.
    note: &'static str,
}

const fn row(
    name: &'static str,
    since: Option<Kernel>,
    trusted: Option<Kernel>,
    note: &'static str,
) -> Driver {
    Driver { name, since, trusted, note }
}

const DRIVERS: &[Driver] = &[
    // Source of trust: Firedancer's allow-list of drivers and kernels (fd_config_auto.c), which that
    // project runs in production.
    row(
        "mlx5_core",
        Some((5, 3)),
        Some((6, 1)),
        "binds were refused and closed loops stalled on older kernels (xdp-tutorial #232, bpf-examples #117)",
    ),
    // Source of trust: seen to bind, confirm by XDP_OPTIONS and serve under QEMU with Linux 6.18 and
    // iommu_platform=on; without it the bind is refused (EINVAL) and copy mode follows.
    row("virtio_net", Some((6, 11)), Some((6, 18)), "the bind is refused (EOPNOTSUPP, seen with Linux 6.12)"),
    row("i40e", Some((4, 20)), None, "kernel panic on transmit with Debian's Linux 6.12 (xsk-rs #49)"),
    row(
        "ixgbe",
        Some((4, 20)),
        None,
        "transmit held until the link is reset (xdp-tutorial #471, xdp-tools #386); Knot DNS lists it as \
         unstable",
    ),
    row("ice", Some((5, 5)), None, "kernel memory corruption (firedancer #11245)"),
    row("igc", Some((5, 14)), None, "kernel panic on transmit with Debian's Linux 6.12 (xsk-rs #49)"),
    row(
        "stmmac",
        Some((5, 13)),
        None,
        "a starved fill ring stops the queue for good (analogdevices/linux #3517)",
    ),
    row("nfp", Some((5, 18)), None, "nobody has reported how it fares under load"),
    row("tsnep", Some((6, 4)), None, "nobody has reported how it fares under load"),
    row("gve", Some((6, 4)), None, "transmit gets stuck (compute-virtual-ethernet-linux #59)"),
    row("igb", Some((6, 14)), None, "too new: nobody has reported how it fares under load"),
    row("idpf", Some((6, 18)), None, "too new: nobody has reported how it fares under load"),
    row(
        "ena",
        None,
        None,
        "the kernel's own driver has none; Amazon's separate one is slower with it than without and has \
         corrupted memory (amzn-drivers #221, #330)",
    ),
    row("veth", None, None, "a virtual cable has no NIC that could write into the UMEM"),
    row("bnxt_en", None, None, "the driver has none"),
    row("hv_netvsc", None, None, "the driver has none"),
    row("mana", None, None, "the driver has none"),
    row("tun", None, None, "the driver has none"),
    row("vmxnet3", None, None, "the driver has none"),
];

/// What to expect of zero-copy from `driver` (as sysfs calls it, or a virtual interface's kind) on a
/// kernel of this major and minor version.
pub fn zero_copy(driver: &str, kernel: (u32, u32)) -> ZeroCopy {
    let Some(row) = DRIVERS.iter().find(|row| row.name == driver) else {
        return ZeroCopy::Untrusted("nobody has reported how this driver fares with it");
    };
    match (row.since, row.trusted) {
        (None, _) => ZeroCopy::Unsupported(row.note),
        (Some(since), _) if kernel < since => ZeroCopy::Unsupported("this kernel's driver has none yet"),
        (_, Some(trusted)) if kernel >= trusted => ZeroCopy::Trusted,
        _ => ZeroCopy::Untrusted(row.note),
    }
}

#[cfg(test)]
mod tests {
    use super::{DRIVERS, ZeroCopy, zero_copy};

    #[test]
    fn only_what_is_known_good_is_trusted() {
        assert_eq!(zero_copy("mlx5_core", (6, 1)), ZeroCopy::Trusted);
        assert_eq!(zero_copy("virtio_net", (6, 18)), ZeroCopy::Trusted);
        assert_eq!(zero_copy("virtio_net", (7, 0)), ZeroCopy::Trusted);
        assert!(matches!(zero_copy("mlx5_core", (5, 15)), ZeroCopy::Untrusted(_)));
        assert!(matches!(zero_copy("virtio_net", (6, 12)), ZeroCopy::Untrusted(_)));
        assert!(matches!(zero_copy("virtio_net", (6, 1)), ZeroCopy::Unsupported(_)));
        assert!(matches!(zero_copy("ice", (6, 18)), ZeroCopy::Untrusted(note) if note.contains("#11245")));
        assert!(matches!(zero_copy("veth", (6, 18)), ZeroCopy::Unsupported(_)));
        assert!(matches!(zero_copy("unheard_of", (6, 18)), ZeroCopy::Untrusted(_)));
    }

    #[test]
    fn each_driver_stands_once_and_is_trusted_only_where_it_has_zero_copy() {
        for (at, row) in DRIVERS.iter().enumerate() {
            assert!(DRIVERS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.trusted.is_none() || row.trusted >= row.since, "{}", row.name);
            assert!(!row.note.is_empty(), "{}", row.name);
        }
    }

    /// The table in the manual is this one.
    #[test]
    fn the_manual_lists_every_driver_as_it_stands_here() {
        let page = include_str!("../../../docs/operations.md");
        let version = |kernel: Option<(u32, u32)>, none: &str| {
            kernel.map_or_else(|| none.to_owned(), |(major, minor)| format!("{major}.{minor}"))
        };
        for row in DRIVERS {
            let cells = format!("| {} | {} |", version(row.since, "none"), version(row.trusted, "never"));
            let names = |line: &str| {
                line.split('|').nth(1).unwrap_or_default().split(", ").any(|n| n.trim() == row.name)
            };
            let found = page.lines().any(|line| names(line) && line.contains(&cells));
            assert!(found, "docs/operations.md has no row for {} with {cells}", row.name);
        }
    }
}
