//! One rule: the request, its outcome, and the reply that it must get.

use super::credentials::{authenticated, authenticated_by_sha256};
use super::endpoints::RequestEndpoints;
use super::setting::{Setting, public_addresses};
use super::*;
use std::net::IpAddr;

/// Bytes of a FINGERPRINT attribute.
const FINGERPRINT_LENGTH: usize = 8;

/// One rule.
pub struct Row {
    /// RFC and section.
    pub section: &'static str,
    /// The rule, in words.
    pub rule: &'static str,
    /// The server's options.
    pub setting: Setting,
    /// The request's bytes.
    pub request: Vec<u8>,
    /// The expected outcome.
    pub outcome: Outcome,
    /// The expected reply.
    pub expected: ExpectedReply,
    /// The endpoints of the reply.
    pub diverted: Diverted,
}

/// How the reply's endpoints differ from those of the request (RFC 5780 §6.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Diverted {
    /// It is sent from the other address.
    pub address: bool,
    /// It is sent from the other port.
    pub port: bool,
    /// It is sent to this port of the source.
    pub to: Option<u16>,
}

/// The reply that a request must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedReply {
    /// No reply.
    Silence,
    /// The sender's address in a XOR-MAPPED-ADDRESS.
    Address,
    /// The sender's address in a XOR-MAPPED-ADDRESS, then an attribute of this type and value.
    AddressAnd(u16, &'static str),
    /// The sender's address in a MAPPED-ADDRESS.
    ClassicAddress,
    /// The addresses of RFC 5780.
    Discovery,
    /// The addresses of RFC 5780, and PADDING up to the request's length.
    PaddedDiscovery,
    /// The addresses of RFC 3489's own discovery.
    ClassicDiscovery,
    /// The sender's address in a XOR-MAPPED-ADDRESS, and MESSAGE-INTEGRITY keyed with [`PASSWORD`].
    Authenticated,
    /// As [`ExpectedReply::Authenticated`], by MESSAGE-INTEGRITY-SHA256.
    AuthenticatedBySha256,
    /// The inner reply, and a FINGERPRINT at the end.
    Fingerprinted(Box<ExpectedReply>),
    /// These bytes, for any source.
    Bytes(Vec<u8>),
    /// Different bytes for each address family.
    ByVersion {
        /// Over IPv4.
        v4: Vec<u8>,
        /// Over IPv6.
        v6: Vec<u8>,
    },
}

impl Row {
    /// The reply's bytes; empty for silence.
    pub fn reply(&self, endpoints: &RequestEndpoints) -> Vec<u8> {
        let source = SocketAddr::new(endpoints.source.ip().to_canonical(), endpoints.source.port());
        let transaction = self.request.get(4..20).unwrap_or_default();
        let xor = (XOR_MAPPED_ADDRESS, address(source, transaction));
        let plain = |kind, endpoint| (kind, address(endpoint, &[0; 16]));
        let success = |attributes: &[(u16, Vec<u8>)]| {
            let attributes: Vec<Attribute> =
                attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            with_transaction(BINDING_SUCCESS, transaction, &attributes)
        };
        match &self.expected {
            ExpectedReply::Silence => Vec::new(),
            ExpectedReply::Address => success(&[xor]),
            ExpectedReply::AddressAnd(kind, value) => success(&[xor, (*kind, (*value).into())]),
            ExpectedReply::Authenticated => authenticated(success(&[xor])),
            ExpectedReply::AuthenticatedBySha256 => authenticated_by_sha256(success(&[xor])),
            ExpectedReply::Fingerprinted(expected) => {
                let request = self.request[..self.request.len() - FINGERPRINT_LENGTH].to_vec();
                fingerprinted(Row { request, expected: (**expected).clone(), ..*self }.reply(endpoints))
            }
            ExpectedReply::ClassicAddress => success(&[plain(MAPPED_ADDRESS, source)]),
            ExpectedReply::Discovery | ExpectedReply::PaddedDiscovery => {
                let mut attributes = vec![
                    xor,
                    plain(MAPPED_ADDRESS, source),
                    plain(RESPONSE_ORIGIN, self.advertised(endpoints, self.origin(endpoints))),
                    plain(OTHER_ADDRESS, self.advertised(endpoints, endpoints.other)),
                ];
                if self.expected == ExpectedReply::PaddedDiscovery {
                    let length = self.request.len().saturating_sub(success(&attributes).len() + 4);
                    attributes.push((PADDING, vec![0; length]));
                }
                success(&attributes)
            }
            ExpectedReply::ClassicDiscovery => success(&[
                plain(MAPPED_ADDRESS, source),
                plain(SOURCE_ADDRESS, self.advertised(endpoints, self.origin(endpoints))),
                plain(CHANGED_ADDRESS, self.advertised(endpoints, endpoints.other)),
            ]),
            ExpectedReply::Bytes(bytes) => bytes.clone(),
            ExpectedReply::ByVersion { v4, v6 } => {
                if source.is_ipv4() {
                    v4.clone()
                } else {
                    v6.clone()
                }
            }
        }
    }

    /// The endpoint that sends the reply.
    pub fn origin(&self, endpoints: &RequestEndpoints) -> SocketAddr {
        let Diverted { address, port, .. } = self.diverted;
        let endpoint = |other: bool| if other { endpoints.other } else { endpoints.server };
        SocketAddr::new(endpoint(address).ip(), endpoint(port).port())
    }

    /// The advertised form of an endpoint of the server.
    fn advertised(&self, endpoints: &RequestEndpoints, endpoint: SocketAddr) -> SocketAddr {
        let index = usize::from(endpoint.ip() == endpoints.other.ip());
        let public = public_addresses(endpoint.is_ipv4())[index];
        let ip = if self.setting == Setting::Advertised { public } else { endpoint.ip() };
        SocketAddr::new(ip, endpoint.port())
    }

    /// The port of the source that the reply is sent to.
    pub fn port(&self, endpoints: &RequestEndpoints) -> u16 {
        self.diverted.to.unwrap_or(endpoints.source.port())
    }

    /// The row's name in messages.
    pub fn name(&self) -> String {
        format!("{}: {} ({:?})", self.section, self.rule, self.setting)
    }
}

/// Value of a MAPPED-ADDRESS, XORed with the 16 bytes of `mask`: RFC 8489 §14.1, §14.2.
pub(super) fn address(source: SocketAddr, mask: &[u8]) -> Vec<u8> {
    let (family, octets) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let masked =
        |plain: &[u8]| -> Vec<u8> { plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    [vec![0, family], masked(&source.port().to_be_bytes()), masked(&octets)].concat()
}
