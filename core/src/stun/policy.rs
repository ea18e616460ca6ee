//! What the operator chose where the RFCs leave room.

use super::credentials::Credentials;
use super::discovery::{Change, Discovery};
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The operator's choices. Those of the default are the plain service: a request that real clients send
/// is answered with its source and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Answer requests without magic cookie, as RFC 8489 §12 asks of a stand-alone server.
    pub classic: bool,
    /// What was switched on beyond the plain service. Where there is any, every request takes the
    /// longer way, on which these are looked at one by one.
    pub extras: Option<Extras>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { classic: true, extras: None }
    }
}

/// What can be switched on beyond the plain service. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// NAT behaviour discovery (RFC 5780) over IPv4.
    pub discovery_v4: Option<Discovery>,
    /// NAT behaviour discovery (RFC 5780) over IPv6.
    pub discovery_v6: Option<Discovery>,
    /// SOFTWARE of success responses (RFC 8489 §14.14).
    pub software: Option<Software>,
    /// Whether a request whose transaction ID is all zero gets silence: scanners send it, and a client
    /// that draws its ID as RFC 8489 §5 asks never does.
    pub drop_zero_transaction: bool,
    /// Where clients shall go instead (RFC 8489 §10). Without `credentials` nobody is sent there (§14.8),
    /// and nobody who asks over TLS.
    pub alternate_server: AlternateServer,
    /// Who alone may ask (RFC 8489 §9). A request without magic cookie gets silence: the
    /// MESSAGE-INTEGRITY of RFC 3489 §11.2.8 is not verified.
    pub credentials: Option<Arc<Credentials>>,
}

/// Servers that a 300 (Try Alternate) names, one of either version of IP, with their port for UDP and TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlternateServer {
    /// For requests over IPv4.
    pub v4: Option<SocketAddrV4>,
    /// For requests over IPv6.
    pub v6: Option<SocketAddrV6>,
}

impl AlternateServer {
    /// The server for a client with address `source`, and the one of the other version of IP. `None`
    /// where there is none that `source` could ask (RFC 8489 §10).
    pub(super) fn of(&self, source: &SocketAddr) -> Option<(SocketAddr, Option<SocketAddr>)> {
        let (v4, v6) = (self.v4.map(SocketAddr::V4), self.v6.map(SocketAddr::V6));
        match source.ip().to_canonical() {
            IpAddr::V4(_) => Some((v4?, v6)),
            IpAddr::V6(_) => Some((v6?, v4)),
        }
    }
}

/// Value of a SOFTWARE attribute, which names the server to its clients. Bounded, since each of its
/// bytes is one more that an attacker who asks in somebody's name has sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Software {
    bytes: [u8; Software::MAX],
    length: usize,
}

impl Software {
    /// Most bytes that it can have.
    pub const MAX: usize = 32;

    /// `None` where `text` is empty, longer than [`Software::MAX`] bytes, or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Software::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (!text.is_empty() && !text.chars().any(char::is_control))
            .then_some(Software { bytes, length: text.len() })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Policy {
    /// The NAT behaviour discovery that `destination`, the address and port that was asked, is an
    /// endpoint of.
    pub fn discovery(&self, destination: &SocketAddr) -> Option<&Discovery> {
        let extras = self.extras.as_ref()?;
        let discovery = if destination.is_ipv4() { &extras.discovery_v4 } else { &extras.discovery_v6 };
        discovery.as_ref().filter(|discovery| discovery.has(destination))
    }

    /// The local address and port from which a reply leaves whose request asked `destination` for
    /// `change` (RFC 5780 §6.1, table 1).
    pub fn origin(&self, destination: &SocketAddr, change: Change) -> SocketAddr {
        self.discovery(destination)
            .and_then(|discovery| discovery.origin(destination, change))
            .unwrap_or(*destination)
    }
}
