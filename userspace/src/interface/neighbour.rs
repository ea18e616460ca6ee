//! The route to an address, the hardware address of the next hop, and the neighbours that answered of late.

use super::attribute::{Attributes, attribute, attributes, ip};
use super::netlink::{Netlink, RequestKind};
use super::route::Interface;
use crate::error::{Failure, Result};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::net::IpAddr;

/// How the kernel would send to an address over one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The neighbour that gets the frame: a gateway, or the destination itself.
    pub next_hop: IpAddr,
    /// The source address that the kernel prefers for it.
    pub source: Option<IpAddr>,
    /// Whether the destination is an address of this host, so that no frame leaves.
    pub local: bool,
}

/// A host on the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// Length of `struct rtmsg` and of `struct ndmsg`.
const HEADER: usize = 12;
/// Offset of `rtm_type` in `struct rtmsg`.
const ROUTE_TYPE: usize = 7;
/// RTA_VIA of linux/rtnetlink.h: a gateway of another address family.
const RTA_VIA: u16 = 18;

/// Looks up the route to `destination` over `interface`.
///
/// # Errors
/// There is none, or the kernel refuses the request.
pub fn route(destination: IpAddr, interface: &Interface) -> Result<Route> {
    let refused = || {
        Failure::system(format!("there is no route to {destination} over {} (--interface)", interface.name))
    };
    let mut body = header(destination);
    body[1] = if destination.is_ipv4() { 32 } else { 128 };
    let wanted = Attributes::default()
        .bytes(libc::RTA_DST, octets(destination))
        .number(libc::RTA_OIF, interface.index);
    body.extend(wanted.into_bytes());
    let messages = Netlink::open(NETLINK_ROUTE)
        .and_then(|mut netlink| netlink.request(libc::RTM_GETROUTE, RequestKind::Single, &body))
        .map_err(|error| refused().because(error))?;
    let found = messages.iter().find(|(kind, _)| *kind == libc::RTM_NEWROUTE);
    found.and_then(|(_, body)| parse_route(body, destination)).ok_or_else(refused)
}

/// Looks up the hardware address of a neighbour on `interface`; `None` if the kernel does not know it yet.
///
/// # Errors
/// The kernel refuses the request.
pub fn neighbour(ip: IpAddr, interface: &Interface) -> Result<Option<[u8; 6]>> {
    let mut body = header(ip);
    body[4..8].copy_from_slice(&interface.index.to_ne_bytes());
    body.extend(Attributes::default().bytes(libc::NDA_DST, octets(ip)).into_bytes());
    match Netlink::open(NETLINK_ROUTE)
        .and_then(|mut netlink| netlink.request(libc::RTM_GETNEIGH, RequestKind::Single, &body))
    {
        Ok(messages) => Ok(messages
            .iter()
            .filter(|(kind, _)| *kind == libc::RTM_NEWNEIGH)
            .find_map(|(_, body)| attribute(body.get(HEADER..)?, libc::NDA_LLADDR)?.try_into().ok())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => {
            Err(Failure::system(format!("cannot look up the neighbour {ip} on {}", interface.name))
                .because(error))
        }
    }
}

/// Lists the neighbours on `interface` that have answered the kernel within the last seconds (NUD_REACHABLE: 15 to
/// 45 s by default).
///
/// # Errors
/// The kernel refuses the request.
pub fn reachable_neighbours(interface: &Interface) -> Result<Vec<Neighbour>> {
    let messages = Netlink::open(NETLINK_ROUTE)
        .and_then(|mut netlink| netlink.request(libc::RTM_GETNEIGH, RequestKind::Dump, &[0; HEADER]))
        .map_err(|error| {
            Failure::system(format!("cannot list the neighbours on {}", interface.name)).because(error)
        })?;
    let bodies = messages.iter().filter(|(kind, _)| *kind == libc::RTM_NEWNEIGH).map(|(_, body)| body);
    Ok(bodies.filter_map(|body| parse_reachable(body, interface.index)).collect())
}

/// Reads an RTM_NEWNEIGH body. `None` unless the neighbour is on this interface and has answered of late.
fn parse_reachable(body: &[u8], index: u32) -> Option<Neighbour> {
    /// struct ndmsg: family, padding, index at 4, state at 8.
    const REACHABLE: u16 = libc::NUD_REACHABLE;
    let (header, rest) = body.split_first_chunk::<HEADER>()?;
    let found = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let state = u16::from_ne_bytes([header[8], header[9]]);
    let mac = attribute(rest, libc::NDA_LLADDR)?.try_into().ok()?;
    let ip = attribute(rest, libc::NDA_DST).and_then(ip)?;
    (found == index && state & REACHABLE != 0).then_some(Neighbour { ip, mac })
}

/// Returns a header with only the address family set.
fn header(ip: IpAddr) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[0] = if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
    header
}

fn parse_route(body: &[u8], destination: IpAddr) -> Option<Route> {
    let (header, rest) = body.split_first_chunk::<HEADER>()?;
    let mut route =
        Route { next_hop: destination, source: None, local: header[ROUTE_TYPE] == libc::RTN_LOCAL };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::RTA_GATEWAY => route.next_hop = ip(value)?,
            // The first two bytes are the address family.
            RTA_VIA => route.next_hop = ip(value.get(2..)?)?,
            libc::RTA_PREFSRC => route.source = ip(value),
            _ => {}
        }
    }
    Some(route)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, HEADER, Route, octets, parse_route};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn body(kind: u8, attributes: Attributes) -> Vec<u8> {
        let mut body = vec![0; HEADER];
        body[7] = kind;
        body.extend(attributes.into_bytes());
        body
    }

    #[test]
    fn a_route_goes_to_the_gateway_or_to_the_destination_itself() {
        let to = ip("192.0.2.9");
        let source = || Attributes::default().bytes(libc::RTA_PREFSRC, octets(ip("10.0.0.2")));
        let direct = Route { next_hop: to, source: Some(ip("10.0.0.2")), local: false };
        assert_eq!(parse_route(&body(1, source()), to), Some(direct));
        let gateway = source().bytes(libc::RTA_GATEWAY, octets(ip("10.0.0.1")));
        let over_gateway = Route { next_hop: ip("10.0.0.1"), ..direct };
        assert_eq!(parse_route(&body(1, gateway), to), Some(over_gateway));
        let via = [&10u16.to_ne_bytes()[..], &octets(ip("fe80::1"))].concat();
        let via = parse_route(&body(1, source().bytes(18, via)), to);
        assert_eq!(via, Some(Route { next_hop: ip("fe80::1"), ..direct }));
        assert!(parse_route(&body(2, Attributes::default()), to).is_some_and(|route| route.local));
        assert_eq!(parse_route(&[0; 4], to), None);
    }
}
