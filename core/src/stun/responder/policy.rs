//! The operator's choices where the RFCs allow more than one behaviour.

use super::credentials::Credentials;
use super::discovery::{Change, Discovery};
use crate::stun::Permission;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The operator's choices. The default is the plain service: the reply to a Binding request holds its source
/// address and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether requests without magic cookie get a reply, as RFC 8489 §12 requires of a stand-alone server.
    pub classic: bool,
    /// Features beyond the plain service. If present, every request takes the extended path, which checks
    /// them one by one.
    pub extras: Option<Extras>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { classic: true, extras: None }
    }
}

/// Features beyond the plain service. The default has none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// NAT behaviour discovery (RFC 5780) over IPv4.
    pub discovery_v4: Option<Discovery>,
    /// NAT behaviour discovery (RFC 5780) over IPv6.
    pub discovery_v6: Option<Discovery>,
    /// SOFTWARE in success responses (RFC 8489 §14.14).
    pub software: Option<Software>,
    /// Whether requests with a transaction ID of zeros are dropped. Scanners send them; a client that chooses
    /// its ID at random, as RFC 8489 §5 requires, never does.
    pub drop_zero_transaction: bool,
    /// The servers to which clients are redirected (RFC 8489 §10). Clients are redirected only if
    /// `credentials` are required (§14.8), and never over TLS.
    pub alternate_server: AlternateServer,
    /// Credentials that the server requires (RFC 8489 §9). Requests without magic cookie are then dropped:
    /// the MESSAGE-INTEGRITY of RFC 3489 §11.2.8 is not supported.
    pub credentials: Option<Arc<Credentials>>,
}

/// The servers that a 300 (Try Alternate) names: one of each IP version, with its port for UDP and TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlternateServer {
    /// For requests over IPv4.
    pub v4: Option<SocketAddrV4>,
    /// For requests over IPv6.
    pub v6: Option<SocketAddrV6>,
}

impl AlternateServer {
    /// Returns the server of the IP version of `source`, and that of the other version. `None` if there is no
    /// server of the version of `source`: ALTERNATE-SERVER must be of the family of the request's source (RFC
    /// 8489 §10).
    pub(super) fn of(&self, source: &SocketAddr) -> Option<(SocketAddr, Option<SocketAddr>)> {
        let (v4, v6) = (self.v4.map(SocketAddr::V4), self.v6.map(SocketAddr::V6));
        match source.ip().to_canonical() {
            IpAddr::V4(_) => Some((v4?, v6)),
            IpAddr::V6(_) => Some((v6?, v4)),
        }
    }
}

/// The value of a SOFTWARE attribute, which names the server's software to its clients. Its length is
/// limited, because an attacker who forges the source of a request has every byte of the reply sent to the
/// victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Software {
    bytes: [u8; Software::MAX],
    length: usize,
}

impl Software {
    /// Maximum length in bytes.
    pub const MAX: usize = 32;

    /// Returns `None` if `text` is empty, is longer than [`Software::MAX`] bytes, or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Software::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (!text.is_empty() && !text.chars().any(char::is_control))
            .then_some(Software { bytes, length: text.len() })
    }

    /// The attribute's value.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Policy {
    /// Returns the NAT behaviour discovery that has `destination`, the endpoint that received the request,
    /// among its four endpoints.
    pub fn discovery(&self, destination: &SocketAddr) -> Option<&Discovery> {
        let extras = self.extras.as_ref()?;
        let discovery = if destination.is_ipv4() { &extras.discovery_v4 } else { &extras.discovery_v6 };
        discovery.as_ref().filter(|discovery| discovery.has(destination))
    }

    /// Returns what the XDP program may answer by itself at `destination`: plain requests, if the reply there is the
    /// plain one. It is not where credentials are required, where SOFTWARE is added, or at one of the four endpoints of
    /// NAT behaviour discovery.
    pub fn permission(&self, destination: &SocketAddr) -> Permission {
        let Some(extras) = &self.extras else { return Permission::answer(self.classic, true) };
        // Destructured, so that a feature that is not considered here does not compile. Only authenticated clients are
        // redirected to another server.
        let Extras {
            discovery_v4: _,
            discovery_v6: _,
            software,
            drop_zero_transaction,
            alternate_server: _,
            credentials,
        } = extras;
        if software.is_some() || credentials.is_some() || self.discovery(destination).is_some() {
            return Permission::REDIRECT;
        }
        Permission::answer(self.classic, !drop_zero_transaction)
    }

    /// Returns the local endpoint from which the reply leaves if the request was sent to `destination` and
    /// asked for `change` (RFC 5780 §6.1, table 1).
    pub fn origin(&self, destination: &SocketAddr, change: Change) -> SocketAddr {
        self.discovery(destination)
            .and_then(|discovery| discovery.origin(destination, change))
            .unwrap_or(*destination)
    }
}
