//! The rules, one row each, with the section that makes it one: bytes in, and bytes out or silence. The
//! rows know no path; whoever carries datagrams to the server can be held against them.
#![allow(dead_code, unreachable_pub, reason = "the corpus of the fuzzers is made of the rows as well")]

mod attributes;
mod classic;
mod clients;
mod credentials;
mod extras;
mod fingerprint;
mod headers;
mod others;
mod rejections;

use super::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, COOKIE, classic, fingerprinted, message,
    with_right_length, with_transaction,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use xstun_core::outcome::Outcome;

const MAPPED_ADDRESS: u16 = 0x0001;
const RESPONSE_ADDRESS: u16 = 0x0002;
const CHANGE_REQUEST: u16 = 0x0003;
const SOURCE_ADDRESS: u16 = 0x0004;
const CHANGED_ADDRESS: u16 = 0x0005;
const USERNAME: u16 = 0x0006;
/// RFC 8489 §14.5.
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
/// RFC 8489 §14.6.
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const SOFTWARE: u16 = 0x8022;
const ALTERNATE_SERVER: u16 = 0x8023;
/// RFC 8489 §14.7.
pub const FINGERPRINT: u16 = 0x8028;
const RESPONSE_ORIGIN: u16 = 0x802b;
const OTHER_ADDRESS: u16 = 0x802c;

/// The name under [`Setting::Software`].
pub const NAME: &str = "a server of tests";
/// Who may ask under [`Setting::ShortTerm`]: the user of RFC 5769, but for the colon in the name, which a
/// file of users cannot have.
pub const USER: &str = "evtj";
/// The password of [`USER`].
pub const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
/// Where [`Setting::Elsewhere`] sends clients over IPv4.
pub const ELSEWHERE_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 3478);
/// Where [`Setting::Elsewhere`] sends clients over IPv6.
pub const ELSEWHERE_V6: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9), 3478, 0, 0);
/// As what clients know the server's two addresses under [`Setting::Advertised`], over IPv4.
pub const PUBLIC_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
/// The same over IPv6.
pub const PUBLIC_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 2)];

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
    /// How they end.
    pub outcome: Outcome,
    /// What comes back.
    pub owed: Owed,
    /// Whence and whither.
    pub diverted: Diverted,
}

/// Who asks whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where the request comes from.
    pub source: SocketAddr,
    /// The endpoint that is asked.
    pub server: SocketAddr,
    /// The server's endpoint that differs in address and port, where it has one.
    pub other: SocketAddr,
}

/// How a reply's way differs from that of its request (RFC 5780 §6.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Diverted {
    /// It leaves from the other address.
    pub address: bool,
    /// It leaves from the other port.
    pub port: bool,
    /// It goes to this port of the source.
    pub to: Option<u16>,
}

/// What the operator switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    Default,
    /// Classic requests off.
    NoClassic,
    /// Transaction IDs of zeros get silence.
    NoZeroTransaction,
    /// The server tells its [`NAME`].
    Software,
    /// As under [`Setting::ShortTerm`], and who may ask shall go to [`ELSEWHERE_V4`] or [`ELSEWHERE_V6`].
    Elsewhere,
    /// NAT behaviour discovery at four endpoints.
    Discovery,
    /// The same behind a NAT that maps one to one, by which clients know other addresses.
    Advertised,
    /// Only [`USER`] may ask, who proves a short-term credential.
    ShortTerm,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Setting; 8] = [
        Setting::Default,
        Setting::NoClassic,
        Setting::NoZeroTransaction,
        Setting::Software,
        Setting::Elsewhere,
        Setting::Discovery,
        Setting::Advertised,
        Setting::ShortTerm,
    ];
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// No reply.
    Silence,
    /// The sender's address in a XOR-MAPPED-ADDRESS.
    Address,
    /// The sender's address in a XOR-MAPPED-ADDRESS, and a FINGERPRINT.
    AddressAndFingerprint,
    /// The sender's address in a XOR-MAPPED-ADDRESS, and [`NAME`].
    AddressAndSoftware,
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
    /// As [`Owed::Sealed`], and a FINGERPRINT.
    SealedAndFingerprint,
    /// These bytes, whoever asked.
    Bytes(Vec<u8>),
    /// These bytes over either version of IP.
    ByVersion { v4: Vec<u8>, v6: Vec<u8> },
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
            Owed::AddressAndFingerprint => fingerprinted(success(&[xor])),
            Owed::AddressAndSoftware => success(&[xor, (SOFTWARE, NAME.into())]),
            Owed::Sealed => credentials::sealed(success(&[xor])),
            Owed::SealedBySha256 => credentials::sealed_by_sha256(success(&[xor])),
            Owed::SealedAndFingerprint => fingerprinted(credentials::sealed(success(&[xor]))),
            Owed::ClassicAddress => success(&[plain(MAPPED_ADDRESS, source)]),
            Owed::Discovery | Owed::PaddedDiscovery => {
                let mut attributes = vec![
                    xor,
                    plain(MAPPED_ADDRESS, source),
                    plain(RESPONSE_ORIGIN, self.told(asked, self.origin(asked))),
                    plain(OTHER_ADDRESS, self.told(asked, asked.other)),
                ];
                if self.owed == Owed::PaddedDiscovery {
                    let length = self.request.len() - success(&attributes).len() - 4;
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
        let public = if endpoint.is_ipv4() { PUBLIC_V4[which].into() } else { PUBLIC_V6[which].into() };
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
fn address(source: SocketAddr, mask: &[u8]) -> Vec<u8> {
    let (family, octets) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let masked =
        |plain: &[u8]| -> Vec<u8> { plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    [vec![0, family], masked(&source.port().to_be_bytes()), masked(&octets)].concat()
}

/// Every row.
pub fn rows() -> Vec<Row> {
    [
        clients::rows(),
        headers::rows(),
        attributes::rows(),
        fingerprint::rows(),
        rejections::rows(),
        classic::rows(),
        others::rows(),
        extras::rows(),
        credentials::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(section: &'static str, rule: &'static str, request: Vec<u8>, outcome: Outcome, owed: Owed) -> Row {
    Row { section, rule, setting: Setting::Default, request, outcome, owed, diverted: Diverted::default() }
}

/// A request that gets its sender's address.
fn answered(section: &'static str, rule: &'static str, request: Vec<u8>) -> Row {
    row(section, rule, request, Outcome::Answered, Owed::Address)
}

/// A request without cookie that gets its sender's address.
fn answered_classic(section: &'static str, rule: &'static str, request: Vec<u8>) -> Row {
    row(section, rule, request, Outcome::AnsweredClassic, Owed::ClassicAddress)
}

/// Bytes that get nothing.
fn silence(section: &'static str, rule: &'static str, request: Vec<u8>, outcome: Outcome) -> Row {
    row(section, rule, request, outcome, Owed::Silence)
}

/// A request that gets a 420 naming these types, without reason phrase.
fn rejected(section: &'static str, rule: &'static str, request: Vec<u8>, list: &[u16]) -> Row {
    row(section, rule, request, Outcome::UnknownAttribute, Owed::Bytes(rejection(&[0, 0, 4, 20], list)))
}

/// As [`rejected`], with the reason phrase.
fn rejected_with_reason(section: &'static str, rule: &'static str, request: Vec<u8>, list: &[u16]) -> Row {
    let code = [&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat();
    row(section, rule, request, Outcome::UnknownAttribute, Owed::Bytes(rejection(&code, list)))
}

fn rejection(code: &[u8], list: &[u16]) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, &types(list))])
}

fn types(types: &[u16]) -> Vec<u8> {
    types.iter().flat_map(|kind| kind.to_be_bytes()).collect()
}

/// A Binding request with cookie.
fn request(attributes: &[Attribute]) -> Vec<u8> {
    message(BINDING_REQUEST, attributes)
}

/// A request whose attributes are written out, right or wrong.
fn raw(attributes: &[u8]) -> Vec<u8> {
    with_right_length([request(&[]), attributes.to_vec()].concat())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
