//! Addresses to listen on.

use super::STUN_PORT;
use crate::error::{Failure, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses and ports to listen on. A wildcard means every address of the interfaces to the AF_XDP
/// path, and every address of the host to the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// As given, each once; the two wildcards if nothing was given.
    pub addresses: Vec<SocketAddr>,
    /// The flag that sets `addresses`.
    pub flag: &'static str,
    /// Whether nothing was given: an address family that the host lacks is then not an error.
    pub by_default: bool,
    /// What `--alternate-address` adds: those of the four endpoints of NAT behaviour discovery
    /// (RFC 5780 §6) that are not in `addresses`.
    pub alternate: Vec<SocketAddr>,
}

impl Listen {
    /// Checks the addresses of `--listen`.
    pub(super) fn new(given: &[SocketAddr]) -> Result<Self> {
        let flag = "--listen";
        if given.is_empty() {
            let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let addresses = wildcards.map(|ip| SocketAddr::new(ip, STUN_PORT)).to_vec();
            return Ok(Listen { addresses, flag, by_default: true, alternate: Vec::new() });
        }
        let addresses = each_once(flag, given, STUN_PORT)?;
        Ok(Listen { addresses, flag, by_default: false, alternate: Vec::new() })
    }

    /// Returns the same with these alternate endpoints.
    pub(super) fn with_alternate(self, alternate: Vec<SocketAddr>) -> Self {
        Listen { alternate, ..self }
    }

    /// Returns all addresses and ports.
    pub(crate) fn all(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().chain(&self.alternate).copied()
    }

    /// Whether one of them is exactly this.
    pub(crate) fn has(&self, address: &SocketAddr) -> bool {
        self.all().any(|own| own == *address)
    }

    /// Returns the flag that sets `address`, which is one of them.
    pub(crate) fn flag(&self, address: &SocketAddr) -> &'static str {
        if self.alternate.contains(address) { "--alternate-address" } else { self.flag }
    }

    /// Returns the first of them that [collides](collide) with `address`, and its flag.
    pub(super) fn overlapping(&self, address: &SocketAddr) -> Option<(SocketAddr, &'static str)> {
        self.all().find(|own| collide(address, own)).map(|own| (own, self.flag(&own)))
    }
}

/// Whether two endpoints share port and address, also by a wildcard: then both cannot have a socket each
/// without SO_REUSEPORT. Port 0 collides with nothing, since the kernel chooses the port.
pub(crate) fn collide(one: &SocketAddr, other: &SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && same_ip
}

/// Returns what is wrong with the notation of an address, if anything is.
pub(super) fn malformed(address: &SocketAddr) -> Option<&'static str> {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            Some("is an IPv4-mapped IPv6 address: write it as IPv4")
        }
        // RFC 4007 has no zone there. The kernel drops it, and the socket's address would then differ.
        SocketAddr::V6(v6) if v6.scope_id() != 0 && !v6.ip().is_unicast_link_local() => Some(
            "names an interface, which only a link-local address (fe80::/10) has: leave out what follows the %",
        ),
        _ => None,
    }
}

/// Checks the addresses of `flag`, whose port is usually `usual`: each can be listened on, and none
/// covers another.
pub(super) fn each_once(flag: &'static str, given: &[SocketAddr], usual: u16) -> Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in given {
        let invalid = |why: &str| Err(Failure::invalid(flag, address, why));
        let ip = address.ip();
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if address.port() == 0 {
            return invalid(&format!("has port 0: name the port that clients use, usually {usual}"));
        }
        if ip.is_multicast() || broadcast {
            return invalid("is a group address: name an address of this host");
        }
        if let Some(why) = malformed(address) {
            return invalid(why);
        }
        if addresses.contains(address) {
            return invalid("is given twice");
        }
        addresses.push(*address);
    }
    for address in &addresses {
        let covers = |other: &&SocketAddr| {
            other.ip().is_unspecified()
                && other.port() == address.port()
                && other.is_ipv4() == address.is_ipv4()
                && *other != address
        };
        if let Some(wildcard) = addresses.iter().find(covers) {
            return Err(Failure::invalid(flag, address, format!("is already covered by {flag} {wildcard}"))
                .remedy("leave one of them out"));
        }
    }
    Ok(addresses)
}
