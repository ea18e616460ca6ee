//! Queues, rings, offloads and hashing of an interface, from the generic netlink family `ethtool` (Linux 5.6
//! and later). What the kernel or the driver does not report is `None`, never an error.

use super::attribute::{Attributes, attribute, attributes, number, number32, text};
use super::genetlink::Family;
use super::route::Interface;
use super::sysfs;
use std::collections::BTreeSet;

/// The queues ("channels") in use, and the most that the NIC can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Queues that only receive.
    pub receive: u32,
    /// Queues that only transmit.
    pub transmit: u32,
    /// Pairs of a receive and a transmit queue.
    pub combined: u32,
    /// Maximum of `receive`.
    pub receive_max: u32,
    /// Maximum of `transmit`.
    pub transmit_max: u32,
    /// Maximum of `combined`.
    pub combined_max: u32,
}

/// How many descriptors the NIC's own rings have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingSizes {
    /// In each receive ring; `None` if the driver does not report it.
    pub receive: Option<u32>,
    /// In each transmit ring.
    pub transmit: Option<u32>,
    /// Maximum of `receive`.
    pub receive_max: Option<u32>,
    /// Maximum of `transmit`.
    pub transmit_max: Option<u32>,
}

/// Offloads, by their names in `ethtool -k`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    active: BTreeSet<String>,
    changeable: BTreeSet<String>,
}

impl Features {
    /// Whether the offload is on. `name` is the kernel's name, like `rx-lro` or `rx-vlan-hw-parse`.
    pub fn is_active(&self, name: &str) -> bool {
        self.active.contains(name)
    }

    /// Whether `ethtool -K` can change it.
    pub fn is_changeable(&self, name: &str) -> bool {
        self.changeable.contains(name)
    }

    #[cfg(test)]
    pub(crate) fn with(active: &[&str], changeable: &[&str]) -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Features { active: set(active), changeable: set(changeable) }
    }

    /// Returns the names of the offloads that are on, sorted.
    #[cfg(test)]
    fn active(&self) -> impl Iterator<Item = &str> {
        self.active.iter().map(String::as_str)
    }
}

/// Whether the receive queue of a UDP datagram depends on its ports (reported by Linux 6.17 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowHash {
    /// Over IPv4; `None` if the driver does not report it.
    pub udp4_ports: Option<bool>,
    /// Over IPv6.
    pub udp6_ports: Option<bool>,
}

/// Commands and attributes of linux/ethtool_netlink.h.
mod api {
    pub(super) const FEATURES_GET: u8 = 11;
    pub(super) const RINGS_GET: u8 = 15;
    pub(super) const CHANNELS_GET: u8 = 17;
    pub(super) const RSS_GET: u8 = 38;
    /// The header of every request, and the device's index in it.
    pub(super) const HEADER: u16 = 1;
    pub(super) const HEADER_DEV_INDEX: u16 = 1;
    pub(super) const CHANNELS_RX_MAX: u16 = 2;
    pub(super) const CHANNELS_TX_MAX: u16 = 3;
    pub(super) const CHANNELS_COMBINED_MAX: u16 = 5;
    pub(super) const CHANNELS_RX_COUNT: u16 = 6;
    pub(super) const CHANNELS_TX_COUNT: u16 = 7;
    pub(super) const CHANNELS_COMBINED_COUNT: u16 = 9;
    pub(super) const RINGS_RX_MAX: u16 = 2;
    pub(super) const RINGS_TX_MAX: u16 = 5;
    pub(super) const RINGS_RX: u16 = 6;
    pub(super) const RINGS_TX: u16 = 9;
    pub(super) const FEATURES_HW: u16 = 2;
    pub(super) const FEATURES_ACTIVE: u16 = 4;
    pub(super) const BITSET_BITS: u16 = 3;
    pub(super) const BITSET_BITS_BIT: u16 = 1;
    pub(super) const BITSET_BIT_NAME: u16 = 2;
    pub(super) const BITSET_BIT_VALUE: u16 = 3;
    pub(super) const BITSET_NOMASK: u16 = 1;
    pub(super) const RSS_FLOW_HASH: u16 = 8;
    pub(super) const FLOW_UDP4: u16 = 6;
    pub(super) const FLOW_UDP6: u16 = 7;
    /// RXH_L4_B_0_1 and RXH_L4_B_2_3 (linux/ethtool.h): source and destination port.
    pub(super) const HASH_PORTS: u64 = 1 << 6 | 1 << 7;
}

/// Reads the queues of `interface`.
pub fn channels(interface: &Interface) -> Option<Channels> {
    Some(parse_channels(&request(interface, api::CHANNELS_GET)?))
}

/// Ring sizes of `interface`.
pub(crate) fn rings(interface: &Interface) -> Option<RingSizes> {
    Some(parse_rings(&request(interface, api::RINGS_GET)?))
}

/// Reads the offloads of `interface`.
pub fn features(interface: &Interface) -> Option<Features> {
    Some(parse_features(&request(interface, api::FEATURES_GET)?))
}

/// Reads what the receive queue of a UDP datagram to `interface` depends on.
pub(crate) fn flow_hash(interface: &Interface) -> Option<FlowHash> {
    parse_flow_hash(&request(interface, api::RSS_GET)?)
}

/// Returns the number of receive queues of `interface`, which is also the number of AF_XDP sockets that serve
/// it: from ethtool, or else from sysfs, or else 1.
pub fn receive_queues(interface: &Interface) -> u32 {
    channels(interface)
        .map(|channels| channels.combined + channels.receive)
        .filter(|queues| *queues > 0)
        .or_else(|| sysfs::receive_queues(interface))
        .unwrap_or(1)
}

fn request(interface: &Interface, command: u8) -> Option<Vec<u8>> {
    let header = Attributes::default().number(api::HEADER_DEV_INDEX, interface.index);
    let request = Attributes::default().nested(api::HEADER, header);
    Family::open("ethtool").ok()?.request(command, request).ok()
}

fn parse_channels(answer: &[u8]) -> Channels {
    let count = |kind| attribute(answer, kind).and_then(number32).unwrap_or_default();
    Channels {
        receive: count(api::CHANNELS_RX_COUNT),
        transmit: count(api::CHANNELS_TX_COUNT),
        combined: count(api::CHANNELS_COMBINED_COUNT),
        receive_max: count(api::CHANNELS_RX_MAX),
        transmit_max: count(api::CHANNELS_TX_MAX),
        combined_max: count(api::CHANNELS_COMBINED_MAX),
    }
}

fn parse_rings(answer: &[u8]) -> RingSizes {
    let size = |kind| attribute(answer, kind).and_then(number32);
    RingSizes {
        receive: size(api::RINGS_RX),
        transmit: size(api::RINGS_TX),
        receive_max: size(api::RINGS_RX_MAX),
        transmit_max: size(api::RINGS_TX_MAX),
    }
}

fn parse_features(answer: &[u8]) -> Features {
    let names = |kind| attribute(answer, kind).map(bitset).unwrap_or_default();
    Features { active: names(api::FEATURES_ACTIVE), changeable: names(api::FEATURES_HW) }
}

/// Returns the names of the bits that are set. A bitset with a mask lists every bit of the mask and marks those
/// that are set; one without a mask lists only those that are set.
fn bitset(set: &[u8]) -> BTreeSet<String> {
    let masked = attribute(set, api::BITSET_NOMASK).is_none();
    let bits = attribute(set, api::BITSET_BITS).unwrap_or_default();
    attributes(bits)
        .filter(|(kind, _)| *kind == api::BITSET_BITS_BIT)
        .filter(|(_, bit)| !masked || attribute(bit, api::BITSET_BIT_VALUE).is_some())
        .filter_map(|(_, bit)| attribute(bit, api::BITSET_BIT_NAME).map(text))
        .collect()
}

fn parse_flow_hash(answer: &[u8]) -> Option<FlowHash> {
    let flows = attribute(answer, api::RSS_FLOW_HASH)?;
    let ports = |kind| Some(attribute(flows, kind).and_then(number)? & api::HASH_PORTS == api::HASH_PORTS);
    Some(FlowHash { udp4_ports: ports(api::FLOW_UDP4), udp6_ports: ports(api::FLOW_UDP6) })
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attributes;
    use super::{FlowHash, RingSizes, api, parse_features, parse_flow_hash, parse_rings};

    #[cfg(target_endian = "little")]
    #[test]
    fn recorded_answers_are_read() {
        use super::super::recorded::{CHANNELS_VETH, CHANNELS_VIRTIO, RINGS_VIRTIO, RSS_VIRTIO, hex};
        use super::{Channels, parse_channels};
        assert_eq!(
            parse_channels(&hex(CHANNELS_VETH)),
            Channels { receive: 2, transmit: 2, receive_max: 2, transmit_max: 2, ..Channels::default() }
        );
        assert_eq!(
            parse_channels(&hex(CHANNELS_VIRTIO)),
            Channels { combined: 1, combined_max: 1, ..Channels::default() }
        );
        let all = Some(256);
        assert_eq!(
            parse_rings(&hex(RINGS_VIRTIO)),
            RingSizes { receive: all, transmit: all, receive_max: all, transmit_max: all }
        );
        assert_eq!(
            parse_flow_hash(&hex(RSS_VIRTIO)),
            Some(FlowHash { udp4_ports: Some(false), udp6_ports: Some(false) })
        );
    }

    fn bit(name: &str) -> Attributes {
        Attributes::default().number(1, 5).text(api::BITSET_BIT_NAME, name)
    }

    #[test]
    fn bits_of_a_bitset_with_a_mask_count_only_if_marked() {
        let on = |name| bit(name).text(api::BITSET_BIT_VALUE, "");
        let active = Attributes::default().text(api::BITSET_NOMASK, "").nested(
            api::BITSET_BITS,
            Attributes::default().nested(1, bit("rx-gro")).nested(1, bit("rx-lro")),
        );
        let hardware = Attributes::default().nested(
            api::BITSET_BITS,
            Attributes::default().nested(1, on("rx-lro")).nested(1, bit("rx-gro-hw")),
        );
        let answer = Attributes::default()
            .nested(api::FEATURES_HW, hardware)
            .nested(api::FEATURES_ACTIVE, active)
            .into_bytes();
        let features = parse_features(&answer);
        assert_eq!(features.active().collect::<Vec<_>>(), ["rx-gro", "rx-lro"]);
        assert!(features.is_active("rx-lro") && features.is_changeable("rx-lro"));
        assert!(!features.is_active("rx-gro-hw") && !features.is_changeable("rx-gro-hw"));
    }

    #[test]
    fn both_ports_must_be_hashed() {
        let hash = |udp4: u32, udp6: u32| {
            let flows = Attributes::default().number(api::FLOW_UDP4, udp4).number(api::FLOW_UDP6, udp6);
            parse_flow_hash(&Attributes::default().nested(api::RSS_FLOW_HASH, flows).into_bytes()).unwrap()
        };
        assert_eq!(hash(0xf0, 0x30), FlowHash { udp4_ports: Some(true), udp6_ports: Some(false) });
        assert_eq!(hash(0x70, 0xff), FlowHash { udp4_ports: Some(false), udp6_ports: Some(true) });
        assert_eq!(parse_flow_hash(&[]), None);
    }

    #[test]
    fn a_driver_without_ring_sizes_has_none() {
        assert_eq!(parse_rings(&[]), RingSizes::default());
    }
}
