//! Requests to neighbours that make them send a frame: ARP (RFC 826) and neighbour solicitations (RFC 4861 §4.3), to
//! one host each, as the kernel sends them to confirm that a neighbour is still there.

use crate::error::Result;
use crate::interface::{self, Address, Interface, Neighbour};
use etherparse::{ArpEthIpv4Packet, ArpOperation, Icmpv6Type, PacketBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most neighbours that are asked.
const MOST: usize = 4;
/// Shortest Ethernet frame without its check sequence.
const SHORTEST: usize = 60;

/// Returns requests to some of the neighbours that have answered the kernel of late. There are none if it does not list
/// them.
///
/// # Errors
/// The kernel does not list the interface's addresses.
pub(super) fn to_reachable(interface: &Interface) -> Result<Vec<Vec<u8>>> {
    let neighbours = interface::reachable_neighbours(interface).unwrap_or_default();
    Ok(solicitations(interface, &interface::addresses(Some(interface.index))?, &neighbours))
}

/// Returns a request to each of the first neighbours with which the interface shares a subnet.
fn solicitations(interface: &Interface, addresses: &[Address], neighbours: &[Neighbour]) -> Vec<Vec<u8>> {
    let own = addresses.iter().filter(|address| address.ifindex == interface.index && !address.tentative);
    let own: Vec<_> = own.collect();
    let frames = neighbours.iter().filter_map(|neighbour| {
        let source = own.iter().find(|own| shares_subnet(own, neighbour.ip))?.ip;
        match (source, neighbour.ip) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                Some(arp(interface.mac, source, neighbour.mac, target))
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                Some(neighbour_solicitation(interface.mac, source, neighbour.mac, target))
            }
            _ => None,
        }
    });
    frames.take(MOST).collect()
}

fn shares_subnet(own: &Address, other: IpAddr) -> bool {
    let differ = match (own.ip, other) {
        (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(u32::from(own) ^ u32::from(other)) << 96,
        (IpAddr::V6(own), IpAddr::V6(other)) => u128::from(own) ^ u128::from(other),
        _ => return false,
    };
    differ.leading_zeros() >= own.prefix.into()
}

fn arp(mac: [u8; 6], source: Ipv4Addr, target_mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac,
        sender_ipv4: source.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let mut frame =
        written(|frame| PacketBuilder::ethernet2(mac, target_mac).arp(request.into()).write(frame));
    frame.resize(SHORTEST, 0);
    frame
}

fn neighbour_solicitation(mac: [u8; 6], source: Ipv6Addr, target_mac: [u8; 6], target: Ipv6Addr) -> Vec<u8> {
    /// Source link-layer address, one unit of eight bytes.
    const OWN_ADDRESS: [u8; 2] = [1, 1];
    /// No router forwards a packet with it, so a receiver knows that the sender is a neighbour.
    const HOP_LIMIT: u8 = 255;
    let payload = [&target.octets()[..], &OWN_ADDRESS, &mac].concat();
    written(|frame| {
        PacketBuilder::ethernet2(mac, target_mac)
            .ipv6(source.octets(), target.octets(), HOP_LIMIT)
            .icmpv6(Icmpv6Type::NeighborSolicitation)
            .write(frame, &payload)
    })
}

/// Returns the frame that `write` writes; empty if it fails, which only a payload beyond 64 KiB could cause.
fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut frame = Vec::new();
    match write(&mut frame) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::solicitations;
    use crate::interface::{Address, Interface, Neighbour};
    use std::net::IpAddr;

    fn address(ip: &str, prefix: u8) -> Address {
        let ip: IpAddr = ip.parse().unwrap();
        Address { ifindex: 7, ip, prefix, broadcast: None, tentative: false, deprecated: false }
    }

    fn neighbour(ip: &str) -> Neighbour {
        Neighbour { ip: ip.parse().unwrap(), mac: [2, 0, 0, 0, 0, 9] }
    }

    fn asked(addresses: &[Address], neighbours: &[Neighbour]) -> Vec<Vec<u8>> {
        let interface = Interface { index: 7, mac: [2, 0, 0, 0, 0, 1], ..Interface::default() };
        solicitations(&interface, addresses, neighbours)
    }

    /// The bytes are those that Linux sends to confirm a neighbour.
    #[test]
    fn a_neighbour_is_asked_by_arp_or_by_a_neighbour_solicitation() {
        let frames = asked(
            &[address("10.0.0.1", 24), address("fe80::1", 64)],
            &[neighbour("10.0.0.9"), neighbour("fe80::9")],
        );
        let ethernet = |kind: &[u8]| [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1][..], kind].concat();
        let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];
        let arp = [ethernet(&[8, 6]), arp.to_vec(), vec![0; 18]].concat();
        let link_local = |last| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let solicitation = [
            &ethernet(&[0x86, 0xdd])[..],
            &[0x60, 0, 0, 0, 0, 32, 58, 255],
            &link_local(1),
            &link_local(9),
            &[135, 0, 0x7a, 0x0d, 0, 0, 0, 0],
            &link_local(9),
            &[1, 1, 2, 0, 0, 0, 0, 1],
        ]
        .concat();
        assert_eq!(frames, [arp, solicitation]);
    }

    #[test]
    fn a_few_neighbours_are_asked_and_only_those_of_a_subnet() {
        let many: Vec<Neighbour> = (2..9).map(|last| neighbour(&format!("10.0.0.{last}"))).collect();
        assert_eq!(asked(&[address("10.0.0.1", 24)], &many).len(), super::MOST);
        assert!(asked(&[address("10.0.1.1", 24)], &many).is_empty(), "another subnet");
        assert!(asked(&[Address { tentative: true, ..address("10.0.0.1", 24) }], &many).is_empty());
        assert!(asked(&[Address { ifindex: 8, ..address("10.0.0.1", 24) }], &many).is_empty());
        assert_eq!(asked(&[address("10.0.0.1", 32), address("10.0.0.1", 0)], &many[..1]).len(), 1);
    }
}
