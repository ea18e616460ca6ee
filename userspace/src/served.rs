//! What a worker serves: the host's side of the XDP program's maps.

use std::net::{IpAddr, SocketAddr};
use xstun_ebpf::{Endpoint, PORT_WORDS};

/// The endpoints served on one interface and the sources that can be nobody's there. Built anew at
/// every change of addresses and never changed after: workers share it without a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    mac: [u8; 6],
    endpoints: Vec<Endpoint>,
    ports: Vec<u16>,
    refused_sources: Vec<IpAddr>,
}

impl Served {
    /// `mac` is the interface's own; `endpoints` are the addresses and ports answered there;
    /// `refused_sources` are the host's own addresses and its subnets' broadcast addresses, which no
    /// frame from outside can rightly carry as its source.
    pub fn new(
        mac: [u8; 6],
        endpoints: impl IntoIterator<Item = (IpAddr, u16)>,
        refused_sources: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let (mut keys, mut ports): (Vec<_>, Vec<_>) =
            endpoints.into_iter().map(|(ip, port)| (endpoint(ip, port), port)).unzip();
        let mut refused_sources: Vec<_> = refused_sources.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        ports.sort_unstable();
        ports.dedup();
        refused_sources.sort_unstable();
        refused_sources.dedup();
        Served { mac, endpoints: keys, ports, refused_sources }
    }

    /// The interface's hardware address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.mac
    }

    /// The endpoints, for a person to read.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(|endpoint| socket_address(*endpoint)).collect()
    }

    /// Keys of the XDP program's hash map, sorted, each once.
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

    /// Whether a datagram from outside with this source must not be answered.
    #[inline]
    pub fn refuses_source(&self, source: &IpAddr) -> bool {
        contains(&self.refused_sources, source)
    }
}

impl xstun_ebpf::Served for Served {
    #[inline]
    fn mac(&self, address: &[u8; 6]) -> bool {
        self.mac == *address
    }

    #[inline]
    fn port(&self, port: u16) -> bool {
        contains(&self.ports, &port)
    }

    #[inline]
    fn endpoint(&self, endpoint: &Endpoint) -> bool {
        contains(&self.endpoints, endpoint)
    }
}

/// Most hosts serve a handful of addresses, where a walk beats a search.
#[inline]
fn contains<T: Ord>(sorted: &[T], item: &T) -> bool {
    if sorted.len() <= 8 { sorted.contains(item) } else { sorted.binary_search(item).is_ok() }
}

fn socket_address(endpoint: Endpoint) -> SocketAddr {
    let [a, b, c, d, rest @ ..] = endpoint.to_bytes();
    let [e, f, g, h, i, j, k, l, m, n, o, p, high, low, version, _] = rest;
    let ip: IpAddr = match version {
        4 => [a, b, c, d].into(),
        _ => [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into(),
    };
    SocketAddr::new(ip, u16::from_be_bytes([high, low]))
}

fn endpoint(ip: IpAddr, port: u16) -> Endpoint {
    match ip {
        IpAddr::V4(ip) => Endpoint::v4(ip.octets(), port),
        IpAddr::V6(ip) => Endpoint::v6(ip.octets(), port),
    }
}
