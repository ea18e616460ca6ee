use super::super::attribute::Attributes;
use super::{AttachedXdpMode, Interface, XdpAttachment, among, parse, parse_xdp, xdp};
use crate::error::FailureKind;

#[cfg(target_endian = "little")]
#[test]
fn a_recorded_link_is_read() {
    use super::super::recorded::{LINK_VETH, hex};
    let body = hex(LINK_VETH);
    assert_eq!(
        parse(&body),
        Some(Interface {
            index: 3,
            name: "va".into(),
            alternative_names: vec![],
            mac: [0x6e, 0xf2, 0xce, 0x41, 0xad, 0x94],
            mtu: 1500,
            kind: Some("veth".into()),
            ethernet: true,
            loopback: false,
            up: true,
            running: true,
            promiscuous: false,
            master: None,
            lower: Some(2),
            xdp: None,
            device: None,
        })
    );
    for end in 0..body.len() {
        assert_eq!(parse(&body[..end]).is_some(), end >= 16, "{end}");
    }
}

/// A link of hardware type `hardware` with these attributes.
fn link(hardware: u16, flags: u32, attributes: Attributes) -> Interface {
    let mut body = vec![0, 0];
    body.extend_from_slice(&hardware.to_ne_bytes());
    body.extend_from_slice(&9u32.to_ne_bytes());
    body.extend_from_slice(&flags.to_ne_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend(attributes.into_bytes());
    parse(&body).unwrap()
}

#[test]
fn a_member_of_a_bond_on_a_device_is_read() {
    let names =
        Attributes::default().text(libc::IFLA_ALT_IFNAME, "enp1s0").text(libc::IFLA_ALT_IFNAME, "wan");
    let interface = link(
        1,
        0x100,
        Attributes::default()
            .text(libc::IFLA_IFNAME, "eth7")
            .nested(libc::IFLA_PROP_LIST, names)
            .number(libc::IFLA_MASTER, 12)
            .text(libc::IFLA_PARENT_DEV_NAME, "0000:01:00.0")
            .text(libc::IFLA_PARENT_DEV_BUS_NAME, "pci"),
    );
    assert_eq!(interface.alternative_names, ["enp1s0", "wan"]);
    assert_eq!((interface.master, interface.index), (Some(12), 9));
    assert_eq!(interface.device, Some(("0000:01:00.0".into(), "pci".into())));
    assert!(interface.promiscuous && !interface.up && !interface.running);
}

#[test]
fn loopback_and_tunnels_are_no_ethernet() {
    let loopback = link(772, 0x49, Attributes::default());
    assert!(loopback.loopback && !loopback.ethernet && loopback.up && loopback.running);
    let tunnel = link(65534, 1, Attributes::default());
    assert!(!tunnel.loopback && !tunnel.ethernet && tunnel.up && !tunnel.running);
}

/// IFLA_XDP with this mode, whose attribute has one byte.
fn attached(mode: u8, attributes: Attributes) -> Option<XdpAttachment> {
    let mut bytes = [5u16.to_ne_bytes(), xdp::ATTACHED.to_ne_bytes()].concat();
    bytes.extend_from_slice(&[mode, 0, 0, 0]);
    bytes.extend(attributes.into_bytes());
    parse_xdp(&bytes)
}

#[test]
fn an_attached_program_has_its_mode_and_id() {
    let ids = |kind| Attributes::default().number(xdp::PROG_ID, 42).number(kind, 42);
    let found = |mode| Some(XdpAttachment { program_id: 42, mode });
    assert_eq!(attached(1, ids(xdp::DRV_PROG_ID)), found(AttachedXdpMode::Native));
    assert_eq!(attached(2, ids(xdp::SKB_PROG_ID)), found(AttachedXdpMode::Generic));
    assert_eq!(attached(3, ids(xdp::HW_PROG_ID)), found(AttachedXdpMode::Offloaded));
    let several = Attributes::default().number(xdp::DRV_PROG_ID, 42).number(xdp::SKB_PROG_ID, 43);
    assert_eq!(attached(4, several), found(AttachedXdpMode::Multi));
    assert_eq!(attached(0, Attributes::default()), None);
}

#[test]
fn the_failure_for_an_unknown_name_lists_those_that_exist() {
    let eth7 = || link(1, 1, Attributes::default().text(libc::IFLA_IFNAME, "eth7"));
    let other = link(
        1,
        1,
        Attributes::default()
            .text(libc::IFLA_IFNAME, "wan0")
            .nested(libc::IFLA_PROP_LIST, Attributes::default().text(libc::IFLA_ALT_IFNAME, "enp1s0")),
    );
    let failure = among(vec![eth7(), other.clone()], "eth1").unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Usage);
    assert_eq!(
        failure.to_string(),
        "there is no interface 'eth1' (--interface); this network namespace has eth7, wan0"
    );
    assert_eq!(among(vec![eth7(), other], "enp1s0").unwrap().name, "wan0");
}
