use super::{DRIVERS, DriverTrust, Kernel, NO_REPORT, Rung, native, no_busy_poll, xdp_tx, zero_copy};
use std::collections::BTreeMap;

#[test]
fn only_what_is_known_good_is_trusted() {
    assert_eq!(zero_copy("mlx5_core", (6, 1)), DriverTrust::Trusted);
    assert_eq!(zero_copy("virtio_net", (6, 18)), DriverTrust::Trusted);
    assert_eq!(zero_copy("virtio_net", (8, 0)), DriverTrust::Trusted);
    assert!(matches!(zero_copy("mlx5_core", (5, 15)), DriverTrust::Untrusted(_)));
    assert!(matches!(zero_copy("virtio_net", (6, 12)), DriverTrust::Untrusted(_)));
    assert!(matches!(zero_copy("virtio_net", (6, 1)), DriverTrust::Unsupported(_)));
    assert!(matches!(zero_copy("ice", (6, 18)), DriverTrust::Untrusted(note) if note.contains("#11245")));
    assert!(matches!(zero_copy("veth", (6, 18)), DriverTrust::Unsupported(_)));
    assert!(matches!(zero_copy("unheard_of", (6, 18)), DriverTrust::Untrusted(_)));
}

#[test]
fn xdp_tx_is_trusted_from_a_kernel_on_and_never_on_veth() {
    assert_eq!(xdp_tx("ena", (5, 15)), DriverTrust::Trusted);
    assert_eq!(xdp_tx("virtio_net", (6, 12)), DriverTrust::Trusted);
    assert!(
        matches!(xdp_tx("virtio_net", (6, 1)), DriverTrust::Untrusted(why) if why.contains("cd1c604aa1d8"))
    );
    assert!(matches!(xdp_tx("gve", (6, 6)), DriverTrust::Untrusted(why) if why.contains("#59")));
    assert_eq!(xdp_tx("gve", (6, 11)), DriverTrust::Trusted);
    assert!(matches!(xdp_tx("ixgbe", (6, 18)), DriverTrust::Untrusted(why) if why.contains("katran #20")));
    assert!(matches!(xdp_tx("veth", (9, 0)), DriverTrust::Untrusted(why) if why.contains("XDP program")));
    assert_eq!(xdp_tx("igb", (6, 18)), DriverTrust::Untrusted(NO_REPORT));
    assert_eq!(xdp_tx("unheard_of", (6, 18)), DriverTrust::Untrusted(NO_REPORT));
    assert!(matches!(xdp_tx("vmxnet3", (6, 1)), DriverTrust::Unsupported(_)));
    assert!(matches!(xdp_tx("e1000e", (7, 2)), DriverTrust::Unsupported(_)));
}

#[test]
fn native_is_known_for_every_driver_of_the_table() {
    assert_eq!(native("vmxnet3", (6, 1)), Some(false));
    assert_eq!(native("vmxnet3", (6, 12)), Some(true));
    assert_eq!(native("e1000e", (7, 2)), Some(false));
    assert_eq!(native("unheard_of", (6, 18)), None);
    assert!(no_busy_poll("virtio_net").is_some_and(|why| why.contains("no reply would leave")));
    assert_eq!(no_busy_poll("mlx5_core"), None);
}

#[test]
fn each_driver_has_one_row_and_is_trusted_only_where_it_has_zero_copy() {
    for (at, row) in DRIVERS.iter().enumerate() {
        assert!(DRIVERS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
        assert!(row.trusted().is_none() || row.trusted() >= row.zero_copy, "{}", row.name);
        assert!(row.zero_copy.is_none() || row.zero_copy >= row.native, "{}", row.name);
        assert!(!row.note.is_empty(), "{}", row.name);
        assert!(row.answers.is_none() || row.answers >= row.native, "{}", row.name);
        // Trust in XDP_TX needs a source.
        assert!(row.answers.is_none() || row.answers_note != NO_REPORT, "{}", row.name);
        for (kernel, rung) in row.seen {
            assert_eq!(*rung >= Rung::Native, native(row.name, *kernel) == Some(true), "{}", row.name);
        }
    }
}

/// The table has exactly what `cargo xtask vm` has recorded.
#[test]
fn what_was_seen_is_what_is_recorded() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/measurements.md");
    let text = std::fs::read_to_string(document).unwrap();
    let mut recorded: BTreeMap<(&str, Kernel), Rung> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", kernel, _, driver, _, mode, frames, _, _, _, ""] = cells[..] else { continue };
        let rung = match (mode, frames) {
            ("generic", "copy") => Rung::Generic,
            ("native", "copy") => Rung::Native,
            ("native", "zero-copy") => Rung::ZeroCopy,
            _ => continue,
        };
        let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap());
        let kernel = (numbers.next().unwrap(), numbers.next().unwrap());
        let best = recorded.entry((driver, kernel)).or_insert(rung);
        *best = rung.max(*best);
    }
    let seen: BTreeMap<_, _> = DRIVERS
        .iter()
        .flat_map(|row| row.seen.iter().map(|(kernel, rung)| ((row.name, *kernel), *rung)))
        .collect();
    assert_eq!(seen, recorded);
}

/// The table in the manual equals this one.
#[test]
fn the_manual_lists_every_driver_as_it_stands_here() {
    let page = include_str!("../../../../docs/operations.md");
    let version = |kernel: Option<Kernel>, none: &str| {
        kernel.map_or_else(|| none.to_owned(), |(major, minor)| format!("{major}.{minor}"))
    };
    for row in DRIVERS {
        let cells = format!("| {} | {} |", version(row.zero_copy, "none"), version(row.trusted(), "never"));
        let names =
            |line: &str| line.split('|').nth(1).unwrap_or_default().split(", ").any(|n| n.trim() == row.name);
        let found = page.lines().any(|line| names(line) && line.contains(&cells));
        assert!(found, "docs/operations.md has no row for {} with {cells}", row.name);
    }
}

/// So does the table of the drivers whose XDP_TX is trusted.
#[test]
fn the_manual_says_of_every_driver_whether_its_xdp_tx_is_trusted() {
    let page = include_str!("../../../../docs/operations.md");
    let (_, section) = page.split_once("### XDP_TX by driver").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    for row in DRIVERS {
        let from = match (row.native, row.answers) {
            (None, _) => "none".to_owned(),
            (_, None) => "never".to_owned(),
            (_, Some((major, minor))) => format!("{major}.{minor}"),
        };
        let rows = section.lines().map(cells).filter(|cells| cells.len() == 5);
        let of_driver: Vec<_> =
            rows.filter(|cells| cells[1].split(", ").any(|name| name == row.name)).collect();
        assert!(matches!(&of_driver[..], [cells] if cells[2] == from), "{} {from}: {of_driver:?}", row.name);
    }
}
