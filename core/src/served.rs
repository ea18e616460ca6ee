//! What is served on an interface: the user-space side of the XDP program's maps.

use crate::classify::{Endpoint, PORT_WORDS, Serves, Verdict};
use crate::source::{self, REFUSED_BITS, Seen, SourceRules, refused_bit};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The endpoints served on one interface, and the sources refused there. Built at every change of addresses
/// and never changed afterwards, so that workers share it without a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    mac: [u8; 6],
    ports: Vec<u16>,
    /// Sorted, like `v4` and `v6`, which hold the same endpoints as numbers that compare in an instruction or
    /// two.
    endpoints: Vec<Endpoint>,
    /// The address in the upper bits, the port in the lower 16.
    v4: Vec<u64>,
    v6: Vec<(u128, u16)>,
    refused_v4: Vec<u32>,
    refused_v6: Vec<u128>,
}

impl Served {
    /// Takes the interface's own `mac`, the addresses and ports that are served there, and the sources that
    /// are refused: the host's own addresses and its subnets' broadcast addresses, which no frame from
    /// outside can rightly carry as its source.
    pub fn new(
        mac: [u8; 6],
        endpoints: impl IntoIterator<Item = (IpAddr, u16)>,
        refused_sources: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (ip, port) in endpoints {
            match ip {
                IpAddr::V4(ip) => v4.push(key(ip, port)),
                IpAddr::V6(ip) => v6.push((ip.to_bits(), port)),
            }
        }
        let (mut refused_v4, mut refused_v6) = (Vec::new(), Vec::new());
        for ip in refused_sources.into_iter().filter(|ip| !source::is_invalid(ip, Seen::OnTheWire)) {
            match ip {
                IpAddr::V4(ip) => refused_v4.push(ip.to_bits()),
                IpAddr::V6(ip) => refused_v6.push(ip.to_bits()),
            }
        }
        let (v4, v6) = (sorted_unique(v4), sorted_unique(v6));
        let v4_ports = v4.iter().map(|key| *key as u16);
        let ports = sorted_unique(v4_ports.chain(v6.iter().map(|(_, port)| *port)).collect());
        let endpoints = v4.iter().map(|key| Endpoint::v4(((key >> 16) as u32).to_be_bytes(), *key as u16));
        let endpoints = endpoints.chain(v6.iter().map(|(ip, port)| Endpoint::v6(ip.to_be_bytes(), *port)));
        let endpoints = sorted_unique(endpoints.collect());
        let (refused_v4, refused_v6) = (sorted_unique(refused_v4), sorted_unique(refused_v6));
        Served { mac, ports, endpoints, v4, v6, refused_v4, refused_v6 }
    }

    /// The interface's hardware address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.mac
    }

    /// The endpoints as socket addresses, for messages.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(|endpoint| address(*endpoint).into()).collect()
    }

    /// The keys of the XDP program's hash map, sorted and without duplicates.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The XDP program's port bitmap.
    pub fn port_words(&self) -> Vec<u64> {
        let mut words = vec![0; PORT_WORDS as usize];
        for port in &self.ports {
            words[usize::from(port / 64)] |= 1u64 << (port % 64);
        }
        words
    }

    /// The XDP program's bitmap of refused sources, by [`refused_bit`].
    pub fn refused_words(&self) -> Vec<u64> {
        let v4 = self.refused_v4.iter().map(|ip| IpAddr::V4(Ipv4Addr::from_bits(*ip)));
        let v6 = self.refused_v6.iter().map(|ip| IpAddr::V6(Ipv6Addr::from_bits(*ip)));
        let mut words = vec![0; REFUSED_BITS as usize / 64];
        for bit in v4.chain(v6).map(|ip| refused_bit(&ip)) {
            words[usize::from(bit / 64)] |= 1u64 << (bit % 64);
        }
        words
    }
}

impl SourceRules for Served {
    #[inline(always)]
    fn refuses(&self, source: &IpAddr) -> bool {
        match source {
            IpAddr::V4(ip) => contains(&self.refused_v4, &ip.to_bits()),
            IpAddr::V6(ip) => contains(&self.refused_v6, &ip.to_bits()),
        }
    }
}

impl Serves for Served {
    type Entry = ();

    #[inline(always)]
    fn mac(&self, address: &[u8; 6]) -> bool {
        self.mac == *address
    }

    #[inline(always)]
    fn endpoint(&self, endpoint: &Endpoint, port: u16) -> Result<(), Verdict> {
        let served = match address(*endpoint) {
            (IpAddr::V4(ip), port) => contains(&self.v4, &key(ip, port)),
            (IpAddr::V6(ip), port) => contains(&self.v6, &(ip.to_bits(), port)),
        };
        if served { Ok(()) } else { Err(self.why_not(port)) }
    }
}

impl Served {
    /// The verdict on an endpoint that is not served.
    #[cold]
    fn why_not(&self, port: u16) -> Verdict {
        if contains(&self.ports, &port) { Verdict::OtherAddress } else { Verdict::OtherPort }
    }
}

/// Most hosts serve a handful of addresses, where a linear scan beats a binary search.
#[inline(always)]
fn contains<T: Ord>(sorted: &[T], item: &T) -> bool {
    if sorted.len() <= 8 { sorted.iter().any(|one| one == item) } else { search(sorted, item) }
}

#[inline(never)]
fn search<T: Ord>(sorted: &[T], item: &T) -> bool {
    sorted.binary_search(item).is_ok()
}

/// An endpoint as one number: the port is in the lower 16 bits.
#[inline(always)]
fn key(ip: Ipv4Addr, port: u16) -> u64 {
    u64::from(ip.to_bits()) << 16 | u64::from(port)
}

fn sorted_unique<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// The address and port of a map key.
#[inline(always)]
fn address(endpoint: Endpoint) -> (IpAddr, u16) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = endpoint.to_bytes();
    let [i, j, k, l, m, n, o, p, high, low, version, _] = rest;
    let ip: IpAddr = match version {
        4 => [m, n, o, p].into(),
        _ => [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into(),
    };
    (ip, u16::from_be_bytes([high, low]))
}
