//! NAT behaviour discovery (RFC 5780): four endpoints, which are two addresses with the same two ports each.

use core::net::{IpAddr, SocketAddr};

/// The flags of a CHANGE-REQUEST: which parts of the reply's source differ from the request's destination
/// (RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The reply leaves from the other address ("change IP").
    pub address: bool,
    /// The reply leaves from the other port ("change port").
    pub port: bool,
}

impl Change {
    /// Both flags.
    pub(super) const BOTH: Change = Change { address: true, port: true };

    /// Whether any flag is set.
    pub fn any(self) -> bool {
        self.address || self.port
    }
}

/// The four endpoints of one address family, with their local and their public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Primary and alternate address.
    addresses: [HostAddress; 2],
    /// Primary and alternate port.
    ports: [u16; 2],
}

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostAddress {
    local: IpAddr,
    /// The address by which clients reach `local`. It differs from `local` behind a one-to-one NAT.
    public: IpAddr,
}

/// One of the four endpoints, as indices of its address and its port.
#[derive(Clone, Copy)]
struct DiscoveryEndpoint {
    address: usize,
    port: usize,
}

impl DiscoveryEndpoint {
    fn changed(self, change: Change) -> Self {
        DiscoveryEndpoint {
            address: self.address ^ usize::from(change.address),
            port: self.port ^ usize::from(change.port),
        }
    }
}

impl Discovery {
    /// Takes the primary endpoint, and the one that differs from it in both address and port. Returns `None`
    /// if address or port are the same, or the IP versions differ.
    pub fn new(primary: SocketAddr, alternate: SocketAddr) -> Option<Self> {
        let differ = primary.ip() != alternate.ip() && primary.port() != alternate.port();
        let address = |endpoint: SocketAddr| HostAddress { local: endpoint.ip(), public: endpoint.ip() };
        (differ && primary.is_ipv4() == alternate.is_ipv4()).then(|| Discovery {
            addresses: [address(primary), address(alternate)],
            ports: [primary.port(), alternate.port()],
        })
    }

    /// Advertises the address `local` to clients as `public`. Returns false, and changes nothing, if `local`
    /// is neither of the two addresses, or `public` is of the other IP version.
    pub fn advertise(&mut self, local: IpAddr, public: IpAddr) -> bool {
        let address = self.addresses.iter_mut().find(|address| address.local == local);
        match address.filter(|_| local.is_ipv4() == public.is_ipv4()) {
            Some(address) => {
                address.public = public;
                true
            }
            None => false,
        }
    }

    /// The four endpoints with their local addresses.
    pub fn endpoints(&self) -> [SocketAddr; 4] {
        let [primary, alternate] = &self.addresses;
        let [first, second] = self.ports;
        [
            SocketAddr::new(primary.local, first),
            SocketAddr::new(alternate.local, second),
            SocketAddr::new(primary.local, second),
            SocketAddr::new(alternate.local, first),
        ]
    }

    /// Whether `destination` is one of the four endpoints.
    pub fn has(&self, destination: &SocketAddr) -> bool {
        self.find(destination).is_some()
    }

    /// Returns the endpoint, with its local address, that differs from `destination` by `change`; `None` if
    /// `destination` is not one of the four.
    pub fn origin(&self, destination: &SocketAddr, change: Change) -> Option<SocketAddr> {
        let DiscoveryEndpoint { address, port } = self.find(destination)?.changed(change);
        Some(SocketAddr::new(self.addresses.get(address)?.local, *self.ports.get(port)?))
    }

    /// Returns the same endpoint as [`Discovery::origin`], with its public address.
    pub(super) fn public(&self, destination: &SocketAddr, change: Change) -> Option<SocketAddr> {
        let DiscoveryEndpoint { address, port } = self.find(destination)?.changed(change);
        Some(SocketAddr::new(self.addresses.get(address)?.public, *self.ports.get(port)?))
    }

    /// Finds `destination` among the four endpoints. Ignores flow label and scope ID, which do not identify
    /// an endpoint.
    fn find(&self, destination: &SocketAddr) -> Option<DiscoveryEndpoint> {
        Some(DiscoveryEndpoint {
            address: self.addresses.iter().position(|address| address.local == destination.ip())?,
            port: self.ports.iter().position(|port| *port == destination.port())?,
        })
    }
}
