//! Computes the endpoints to serve on one interface from `--listen` and the host's addresses.

use crate::config::Listen;
use crate::interface::{Address, Interface};
use std::net::IpAddr;
use xstun_core::served::Served;

/// Returns what `interface` serves. `host` has every address of the host.
///
/// A wildcard stands for the interface's own addresses. A named address is served on every interface as
/// long as any interface of the host has it, so that an anycast address on the loopback or a dummy interface
/// is served where its traffic arrives. An address that the host does not have is not served: forwarded
/// traffic is never taken.
pub(super) fn served(interface: &Interface, listen: &Listen, host: &[Address]) -> Served {
    // A tentative address may turn out to be another host's (RFC 4862 §5.4).
    let usable = || host.iter().filter(|address| !address.tentative);
    let mut endpoints: Vec<(IpAddr, u16)> = Vec::new();
    for wanted in listen.all() {
        let stands_for = |address: &&Address| {
            if wanted.ip().is_unspecified() {
                address.ifindex == interface.index && address.ip.is_ipv4() == wanted.is_ipv4()
            } else {
                address.ip == wanted.ip()
            }
        };
        endpoints.extend(usable().filter(stands_for).map(|address| (address.ip, wanted.port())));
    }
    let broadcasts = host.iter().filter_map(Address::subnet_broadcast).map(IpAddr::V4);
    let refused_sources = host.iter().map(|address| address.ip).chain(broadcasts);
    Served::new(interface.mac, endpoints, refused_sources)
}

#[cfg(test)]
mod tests {
    use super::served;
    use crate::config::Listen;
    use crate::interface::{Address, Interface};
    use std::net::IpAddr;
    use xstun_core::classify::Endpoint;
    use xstun_core::source::SourceRules as _;

    const ETH: u32 = 2;
    const LO: u32 = 1;

    fn interface() -> Interface {
        Interface { index: ETH, ..Interface::default() }
    }

    fn address(ifindex: u32, ip: &str, prefix: u8) -> Address {
        let ip: IpAddr = ip.parse().unwrap();
        Address { ifindex, ip, prefix, broadcast: None, tentative: false, deprecated: false }
    }

    fn listen(addresses: &[&str]) -> Listen {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Listen { addresses, flag: "--listen", by_default: false, alternate: Vec::new() }
    }

    fn host() -> Vec<Address> {
        vec![
            address(LO, "127.0.0.1", 8),
            address(LO, "198.51.100.9", 32),
            address(ETH, "192.0.2.1", 24),
            address(ETH, "2001:db8::1", 64),
        ]
    }

    #[test]
    fn a_wildcard_means_the_interfaces_own_addresses_of_its_family() {
        let served = served(&interface(), &listen(&["0.0.0.0:3478"]), &host());
        assert_eq!(served.endpoints(), [Endpoint::v4([192, 0, 2, 1], 3478)]);
        let ports = served.port_words();
        assert_eq!(ports.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        assert_ne!(ports[3478 / 64] & 1 << (3478 % 64), 0);
    }

    #[test]
    fn a_named_address_is_served_wherever_it_lives_on_the_host() {
        let both = listen(&["198.51.100.9:3479", "192.0.2.1:3478"]);
        let endpoints = served(&interface(), &both, &host()).endpoints().to_vec();
        let mut expected = vec![Endpoint::v4([198, 51, 100, 9], 3479), Endpoint::v4([192, 0, 2, 1], 3478)];
        expected.sort_unstable();
        assert_eq!(endpoints, expected);
    }

    #[test]
    fn an_address_the_host_does_not_have_or_not_yet_is_not_served() {
        let mut host = host();
        host[2].tentative = true;
        let served = served(&interface(), &listen(&["203.0.113.5:3478", "0.0.0.0:3478"]), &host);
        assert!(served.endpoints().is_empty());
    }

    #[test]
    fn the_hosts_own_and_broadcast_addresses_are_no_sources() {
        let served = served(&interface(), &listen(&["0.0.0.0:3478"]), &host());
        for own in ["192.0.2.1", "198.51.100.9", "192.0.2.255", "2001:db8::1"] {
            assert!(served.refuses(&own.parse().unwrap()), "{own}");
        }
        assert!(!served.refuses(&"192.0.2.2".parse().unwrap()));
    }
}
