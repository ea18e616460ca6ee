//! NAT behaviour discovery (RFC 5780): four endpoints, two addresses with the same two ports each.

use core::net::{IpAddr, SocketAddr};

/// What a CHANGE-REQUEST asks for: that the reply leaves from elsewhere (RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From the other address ("change IP").
    pub address: bool,
    /// From the other port ("change port").
    pub port: bool,
}

impl Change {
    /// Both.
    pub(super) const BOTH: Change = Change { address: true, port: true };

    /// Whether anything is asked for.
    pub fn any(self) -> bool {
        self.address || self.port
    }
}

/// The four endpoints of one address family, as they are here and as clients know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Primary and alternate address.
    addresses: [Place; 2],
    /// Primary and alternate port.
    ports: [u16; 2],
}

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    local: IpAddr,
    /// The same, as clients know it: not `local` behind a NAT that maps one to one.
    public: IpAddr,
}

/// Which of the four: indices of address and port.
#[derive(Clone, Copy)]
struct Endpoint {
    address: usize,
    port: usize,
}

impl Endpoint {
    fn changed(self, change: Change) -> Self {
        Endpoint {
            address: self.address ^ usize::from(change.address),
            port: self.port ^ usize::from(change.port),
        }
    }
}

impl Discovery {
    /// From one endpoint and the one that differs from it in both address and port. `None` where they
    /// differ in less, or in the version of IP.
    pub fn new(primary: SocketAddr, alternate: SocketAddr) -> Option<Self> {
        let differ = primary.ip() != alternate.ip() && primary.port() != alternate.port();
        let place = |endpoint: SocketAddr| Place { local: endpoint.ip(), public: endpoint.ip() };
        (differ && primary.is_ipv4() == alternate.is_ipv4()).then(|| Discovery {
            addresses: [place(primary), place(alternate)],
            ports: [primary.port(), alternate.port()],
        })
    }

    /// Has clients know the address `local` as `public`. False where `local` is none of the two
    /// addresses, or `public` of the other version of IP.
    pub fn advertise(&mut self, local: IpAddr, public: IpAddr) -> bool {
        let place = self.addresses.iter_mut().find(|place| place.local == local);
        match place.filter(|_| local.is_ipv4() == public.is_ipv4()) {
            Some(place) => {
                place.public = public;
                true
            }
            None => false,
        }
    }

    /// The four endpoints, as they are here.
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

    /// Whether `destination` is one of the four.
    pub fn has(&self, destination: &SocketAddr) -> bool {
        self.find(destination).is_some()
    }

    /// The local endpoint that is `change` away from `destination`; `None` where that is none of the
    /// four.
    pub fn origin(&self, destination: &SocketAddr, change: Change) -> Option<SocketAddr> {
        let Endpoint { address, port } = self.find(destination)?.changed(change);
        Some(SocketAddr::new(self.addresses.get(address)?.local, *self.ports.get(port)?))
    }

    /// The same as [`Discovery::origin`], as clients know it.
    pub(super) fn public(&self, destination: &SocketAddr, change: Change) -> Option<SocketAddr> {
        let Endpoint { address, port } = self.find(destination)?.changed(change);
        Some(SocketAddr::new(self.addresses.get(address)?.public, *self.ports.get(port)?))
    }

    /// Compared without flow label and scope, which say nothing of the endpoint.
    fn find(&self, destination: &SocketAddr) -> Option<Endpoint> {
        Some(Endpoint {
            address: self.addresses.iter().position(|place| place.local == destination.ip())?,
            port: self.ports.iter().position(|port| *port == destination.port())?,
        })
    }
}
