//! The addresses of this network namespace, as rtnetlink lists them.

use super::attribute::{attributes, ip, number32};
use super::netlink::{Netlink, RequestKind};
use crate::error::{Failure, Result};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::net::{IpAddr, Ipv4Addr};

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index of the interface that has it.
    pub ifindex: u32,
    /// The host's own address.
    pub ip: IpAddr,
    /// Length of the subnet's prefix, in bits.
    pub prefix: u8,
    /// Broadcast address that was configured with it.
    pub broadcast: Option<Ipv4Addr>,
    /// Not usable (yet): duplicate address detection is in progress or has failed (RFC 4862 §5.4).
    pub tentative: bool,
    /// Still answered, but not to be used for new connections (RFC 4862 §5.5.4).
    pub deprecated: bool,
}

impl Address {
    /// The broadcast address of the subnet: the configured one, or else the last of the subnet, which the
    /// kernel treats as one in any case. `None` for IPv6 and for subnets without one (RFC 3021).
    pub(crate) fn subnet_broadcast(&self) -> Option<Ipv4Addr> {
        let IpAddr::V4(ip) = self.ip else { return None };
        self.broadcast.or_else(|| {
            (self.prefix <= 30).then(|| {
                Ipv4Addr::from(u32::from(ip) | u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0))
            })
        })
    }
}

/// Length of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
/// All 32 bits of the flags; the header has only eight (linux/if_addr.h).
const IFA_FLAGS: u16 = 8;

/// Lists the IPv4 and IPv6 addresses of the interface with this index, or of all interfaces.
///
/// # Errors
/// The kernel refuses the request.
pub fn addresses(index: Option<u32>) -> Result<Vec<Address>> {
    let messages = Netlink::open(NETLINK_ROUTE)
        .and_then(|mut netlink| netlink.request(libc::RTM_GETADDR, RequestKind::Dump, &[0; ADDRESS_HEADER]))
        .map_err(|error| Failure::system("cannot list the addresses over netlink").because(error))?;
    Ok(messages
        .iter()
        .filter(|(kind, _)| *kind == libc::RTM_NEWADDR)
        .filter_map(|(_, body)| parse(body))
        .filter(|address| index.is_none_or(|index| address.ifindex == index))
        .collect())
}

/// Reads an RTM_NEWADDR body.
fn parse(body: &[u8]) -> Option<Address> {
    let (header, rest) = body.split_first_chunk::<ADDRESS_HEADER>()?;
    // struct ifaddrmsg: family, prefix length, flags, scope, index (32 bits).
    let prefix = header[1];
    let mut flags = u32::from(header[2]);
    let ifindex = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let (mut local, mut address, mut broadcast) = (None, None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => address = ip(value),
            libc::IFA_BROADCAST => broadcast = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            IFA_FLAGS => flags = number32(value).unwrap_or(flags),
            _ => {}
        }
    }
    let has = |flag: u32| flags & flag != 0;
    Some(Address {
        ifindex,
        // With a peer, IFA_ADDRESS is the address of the peer; without one, IPv6 has no IFA_LOCAL.
        ip: local.or(address)?,
        prefix,
        broadcast,
        tentative: has(libc::IFA_F_DADFAILED) || has(libc::IFA_F_TENTATIVE) && !has(libc::IFA_F_OPTIMISTIC),
        deprecated: has(libc::IFA_F_DEPRECATED),
    })
}

#[cfg(test)]
mod tests {
    use super::{Address, parse};
    use std::net::IpAddr;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes
    }

    fn body(family: u8, prefix: u8, flags: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![family, prefix, flags, 0];
        bytes.extend_from_slice(&5u32.to_ne_bytes());
        bytes.extend(attributes.concat());
        bytes
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn on_a_point_to_point_link_the_local_address_is_the_hosts() {
        let address =
            parse(&body(2, 32, 0, &[attribute(1, &[10, 0, 0, 2]), attribute(2, &[10, 0, 0, 1])])).unwrap();
        assert_eq!((address.ip, address.ifindex), (ip("10.0.0.1"), 5));
        assert_eq!(address.subnet_broadcast(), None);
    }

    #[test]
    fn an_ipv6_address_without_peer_is_the_hosts() {
        let mut own = [0; 16];
        own[0] = 0xfd;
        own[15] = 9;
        let address = parse(&body(10, 64, 0, &[attribute(1, &own)])).unwrap();
        assert_eq!((address.ip, address.prefix), (ip("fd00::9"), 64));
    }

    #[test]
    fn flags_beyond_the_header_are_read() {
        let six = |flags: u32| {
            let attributes = [attribute(1, &[1; 16]), attribute(8, &flags.to_ne_bytes())];
            let address = parse(&body(10, 64, 0x40, &attributes)).unwrap();
            (address.tentative, address.deprecated)
        };
        assert_eq!(six(0x40), (true, false));
        assert_eq!(six(0x20 | 0x100), (false, true));
        assert_eq!(six(0x40 | 0x04), (false, false), "optimistic (RFC 4429)");
        assert_eq!(six(0x08), (true, false), "duplicate");
    }

    #[test]
    fn the_broadcast_address_is_known_without_configuration() {
        let address = |ip: &str, prefix| Address {
            ifindex: 1,
            ip: ip.parse().unwrap(),
            prefix,
            broadcast: None,
            tentative: false,
            deprecated: false,
        };
        let broadcast = |ip, prefix| address(ip, prefix).subnet_broadcast().map(|ip| ip.to_string());
        assert_eq!(broadcast("192.0.2.10", 24).as_deref(), Some("192.0.2.255"));
        assert_eq!(broadcast("192.0.2.10", 29).as_deref(), Some("192.0.2.15"));
        assert_eq!(broadcast("192.0.2.10", 31), None);
        assert_eq!(broadcast("10.0.0.1", 0).as_deref(), Some("255.255.255.255"));
        assert_eq!(broadcast("2001:db8::1", 64), None);
    }

    #[test]
    fn a_truncated_body_is_no_address() {
        let whole = body(2, 24, 0, &[attribute(2, &[10, 0, 0, 1])]);
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
    }
}
