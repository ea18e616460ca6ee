//! One rule: the request, its outcome, and the reply that it must get.

use super::asked::Asked;
use super::credentials::{sealed, sealed_by_sha256};
use super::setting::{Setting, public_addresses};
use super::*;
use std::net::IpAddr;

/// Bytes of a FINGERPRINT attribute.
const FINGERPRINT_LENGTH: usize = 8;

/// One rule.
pub struct Row {
    /// RFC and section.
    pub section: &'static str,
    /// What is sent.
    pub rule: &'static str,
    /// How the server is set up.
    pub setting: Setting,
    /// The bytes that are sent.
    pub request: Vec<u8>,
    /// Their outcome.
    pub outcome: Outcome,
    /// The reply.
    pub owed: Owed,
    /// Where the reply leaves from and goes to.
    pub diverted: Diverted,
}

/// How the reply's endpoints differ from those of the request (RFC 5780 §6.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Diverted {
    /// It leaves from the other address.
    pub address: bool,
    /// It leaves from the other port.
    pub port: bool,
    /// It goes to this port of the source.
    pub to: Option<u16>,
}

/// The reply that a request must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
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
    /// The addresses of RFC 5780, and PADDING until the reply is as long as the request.
    PaddedDiscovery,
    /// The addresses of RFC 3489's own discovery.
    ClassicDiscovery,
    /// The sender's address in a XOR-MAPPED-ADDRESS, and MESSAGE-INTEGRITY by [`PASSWORD`].
    Sealed,
    /// As [`Owed::Sealed`], by MESSAGE-INTEGRITY-SHA256.
    SealedBySha256,
    /// The same, and a FINGERPRINT at the end.
    Fingerprinted(Box<Owed>),
    /// These bytes, whatever the source.
    Bytes(Vec<u8>),
    /// These bytes over either version of IP.
    ByVersion {
        /// Over IPv4.
        v4: Vec<u8>,
        /// Over IPv6.
        v6: Vec<u8>,
    },
}

impl Row {
    /// The reply's bytes; empty for silence.
    pub fn reply(&self, asked: &Asked) -> Vec<u8> {
        let source = SocketAddr::new(asked.source.ip().to_canonical(), asked.source.port());
        let transaction = self.request.get(4..20).unwrap_or_default();
        let xor = (XOR_MAPPED_ADDRESS, address(source, transaction));
        let plain = |kind, endpoint| (kind, address(endpoint, &[0; 16]));
        let success = |attributes: &[(u16, Vec<u8>)]| {
            let attributes: Vec<Attribute> =
                attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            with_transaction(BINDING_SUCCESS, transaction, &attributes)
        };
        match &self.owed {
            Owed::Silence => Vec::new(),
            Owed::Address => success(&[xor]),
            Owed::AddressAnd(kind, value) => success(&[xor, (*kind, (*value).into())]),
            Owed::Sealed => sealed(success(&[xor])),
            Owed::SealedBySha256 => sealed_by_sha256(success(&[xor])),
            Owed::Fingerprinted(owed) => {
                let request = self.request[..self.request.len() - FINGERPRINT_LENGTH].to_vec();
                fingerprinted(Row { request, owed: (**owed).clone(), ..*self }.reply(asked))
            }
            Owed::ClassicAddress => success(&[plain(MAPPED_ADDRESS, source)]),
            Owed::Discovery | Owed::PaddedDiscovery => {
                let mut attributes = vec![
                    xor,
                    plain(MAPPED_ADDRESS, source),
                    plain(RESPONSE_ORIGIN, self.told(asked, self.origin(asked))),
                    plain(OTHER_ADDRESS, self.told(asked, asked.other)),
                ];
                if self.owed == Owed::PaddedDiscovery {
                    let length = self.request.len().saturating_sub(success(&attributes).len() + 4);
                    attributes.push((PADDING, vec![0; length]));
                }
                success(&attributes)
            }
            Owed::ClassicDiscovery => success(&[
                plain(MAPPED_ADDRESS, source),
                plain(SOURCE_ADDRESS, self.told(asked, self.origin(asked))),
                plain(CHANGED_ADDRESS, self.told(asked, asked.other)),
            ]),
            Owed::Bytes(bytes) => bytes.clone(),
            Owed::ByVersion { v4, v6 } => {
                if source.is_ipv4() {
                    v4.clone()
                } else {
                    v6.clone()
                }
            }
        }
    }

    /// Where the reply leaves from.
    pub fn origin(&self, asked: &Asked) -> SocketAddr {
        let Diverted { address, port, .. } = self.diverted;
        let at = |other: bool| if other { asked.other } else { asked.server };
        SocketAddr::new(at(address).ip(), at(port).port())
    }

    /// What clients are told of an endpoint of the server.
    fn told(&self, asked: &Asked, endpoint: SocketAddr) -> SocketAddr {
        let which = usize::from(endpoint.ip() == asked.other.ip());
        let public = public_addresses(endpoint.is_ipv4())[which];
        let ip = if self.setting == Setting::Advertised { public } else { endpoint.ip() };
        SocketAddr::new(ip, endpoint.port())
    }

    /// Port of the source that the reply goes to.
    pub fn port(&self, asked: &Asked) -> u16 {
        self.diverted.to.unwrap_or(asked.source.port())
    }

    /// The row's name in messages.
    pub fn name(&self) -> String {
        format!("{}: {} ({:?})", self.section, self.rule, self.setting)
    }
}

/// Value of a MAPPED-ADDRESS, combined with the 16 bytes of `mask`: RFC 8489 §14.1, §14.2.
pub(super) fn address(source: SocketAddr, mask: &[u8]) -> Vec<u8> {
    let (family, octets) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let masked =
        |plain: &[u8]| -> Vec<u8> { plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    [vec![0, family], masked(&source.port().to_be_bytes()), masked(&octets)].concat()
}
