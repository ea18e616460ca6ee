//! The interfaces of this network namespace, from rtnetlink.

use super::attribute::{attribute, attributes, number, number32, text};
use super::netlink::{Netlink, RequestKind};
use crate::error::{Failure, Result};
use netlink_sys::protocols::NETLINK_ROUTE;

/// One network interface at the time of the request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its index in this network namespace.
    pub index: u32,
    /// Its name, like `eth0`.
    pub name: String,
    /// Alternative names.
    pub alternative_names: Vec<String>,
    /// Hardware address; zero if it has none of six bytes.
    pub mac: [u8; 6],
    /// Longest IP packet, in bytes.
    pub mtu: u32,
    /// Kind of a virtual interface: `veth`, `vlan`, `bond`, `tun`, ... `None` for hardware.
    pub kind: Option<String>,
    /// Whether its frames have an Ethernet header.
    pub ethernet: bool,
    /// Whether it is `lo`.
    pub loopback: bool,
    /// Enabled by the administrator (IFF_UP).
    pub up: bool,
    /// Enabled, and the link is up (IFF_RUNNING).
    pub running: bool,
    /// Receives frames for every hardware address (IFF_PROMISC).
    pub promiscuous: bool,
    /// Index of the bond, bridge or other master that it belongs to.
    pub master: Option<u32>,
    /// Index of the lower interface (of a VLAN), or of the peer (of a veth; possibly in another namespace).
    pub lower: Option<u32>,
    /// The attached XDP program.
    pub xdp: Option<XdpAttachment>,
    /// Its device and the bus of that device, like `virtio1` on `virtio` (Linux 5.14).
    pub(crate) device: Option<(String, String)>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpAttachment {
    /// ID for `bpftool prog show id`.
    pub program_id: u32,
    /// Where it runs.
    pub(crate) mode: AttachedXdpMode,
}

/// Where an attached XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachedXdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook.
    Generic,
    /// In the NIC itself.
    Offloaded,
    /// Several programs in several places; the ID is that of the first.
    Multi,
}

impl AttachedXdpMode {
    /// Name in `ip link` and in the flags of `serve`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            AttachedXdpMode::Native => "native",
            AttachedXdpMode::Generic => "generic",
            AttachedXdpMode::Offloaded => "offloaded",
            AttachedXdpMode::Multi => "multi",
        }
    }
}

/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// Attributes within IFLA_XDP (linux/if_link.h).
mod xdp {
    pub(super) const ATTACHED: u16 = 2;
    pub(super) const PROG_ID: u16 = 4;
    pub(super) const DRV_PROG_ID: u16 = 5;
    pub(super) const SKB_PROG_ID: u16 = 6;
    pub(super) const HW_PROG_ID: u16 = 7;
}

/// Lists the interfaces of this network namespace, in the order of their indices.
///
/// # Errors
/// The kernel refuses the request.
pub fn all() -> Result<Vec<Interface>> {
    let messages = Netlink::open(NETLINK_ROUTE)
        .and_then(|mut netlink| netlink.request(libc::RTM_GETLINK, RequestKind::Dump, &[0; LINK_HEADER]))
        .map_err(|error| Failure::system("cannot list the network interfaces over netlink").because(error))?;
    let mut interfaces: Vec<_> = messages
        .iter()
        .filter(|(kind, _)| *kind == libc::RTM_NEWLINK)
        .filter_map(|(_, body)| parse(body))
        .collect();
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Finds the interface with this name or alternative name.
///
/// # Errors
/// Usage: there is none; the message names `--interface` and the names that exist.
pub fn find(name: &str) -> Result<Interface> {
    among(all()?, name)
}

/// Finds `name` among `interfaces`; see [`find`].
fn among(mut interfaces: Vec<Interface>, name: &str) -> Result<Interface> {
    let found = interfaces
        .iter()
        .position(|interface| interface.name == name)
        .or_else(|| interfaces.iter().position(|i| i.alternative_names.iter().any(|other| other == name)));
    match found {
        Some(index) => Ok(interfaces.swap_remove(index)),
        None => {
            let names: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
            Err(Failure::usage(format!("there is no interface '{name}' (--interface)"))
                .of_value("--interface", name)
                .remedy(format!("this network namespace has {}", names.join(", "))))
        }
    }
}

/// Reads an RTM_NEWLINK body. Ignores all attributes that are not needed: an unusual interface of the host must
/// not hide another.
fn parse(body: &[u8]) -> Option<Interface> {
    let (header, rest) = body.split_first_chunk::<LINK_HEADER>()?;
    // struct ifinfomsg: family, pad, type (16 bits), index (32), flags (32), change mask (32).
    let hardware = u16::from_ne_bytes([header[2], header[3]]);
    let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let flags = i32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let mut interface = Interface {
        index,
        name: String::new(),
        alternative_names: Vec::new(),
        mac: [0; 6],
        mtu: 0,
        kind: None,
        ethernet: hardware == libc::ARPHRD_ETHER,
        loopback: hardware == libc::ARPHRD_LOOPBACK,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
        promiscuous: flags & libc::IFF_PROMISC != 0,
        master: None,
        lower: None,
        xdp: None,
        device: None,
    };
    let (mut device, mut bus) = (None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => interface.name = text(value),
            libc::IFLA_PROP_LIST => {
                interface.alternative_names = attributes(value)
                    .filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME)
                    .map(|(_, name)| text(name))
                    .collect();
            }
            libc::IFLA_ADDRESS => interface.mac = value.try_into().unwrap_or_default(),
            libc::IFLA_MTU => interface.mtu = number32(value).unwrap_or_default(),
            libc::IFLA_LINKINFO => interface.kind = attribute(value, libc::IFLA_INFO_KIND).map(text),
            libc::IFLA_MASTER => interface.master = number32(value),
            libc::IFLA_LINK => interface.lower = number32(value).filter(|lower| *lower != 0),
            libc::IFLA_XDP => interface.xdp = parse_xdp(value),
            libc::IFLA_PARENT_DEV_NAME => device = Some(text(value)),
            libc::IFLA_PARENT_DEV_BUS_NAME => bus = Some(text(value)),
            _ => {}
        }
    }
    interface.device = device.zip(bus);
    Some(interface)
}

fn parse_xdp(value: &[u8]) -> Option<XdpAttachment> {
    let (mode, id) = match attribute(value, xdp::ATTACHED).and_then(number)? {
        1 => (AttachedXdpMode::Native, xdp::DRV_PROG_ID),
        2 => (AttachedXdpMode::Generic, xdp::SKB_PROG_ID),
        3 => (AttachedXdpMode::Offloaded, xdp::HW_PROG_ID),
        4 => (AttachedXdpMode::Multi, xdp::DRV_PROG_ID),
        _ => return None,
    };
    // PROG_ID is absent if several programs are attached; the others are absent before Linux 4.20.
    let program_id = [xdp::PROG_ID, id, xdp::SKB_PROG_ID, xdp::HW_PROG_ID]
        .into_iter()
        .find_map(|kind| attribute(value, kind).and_then(number32))?;
    Some(XdpAttachment { program_id, mode })
}

#[cfg(test)]
mod tests;
