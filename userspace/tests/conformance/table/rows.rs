//! The rules, one row each, with the section that makes it one: bytes in, and bytes out or silence. The
//! rows know no path; whoever carries datagrams to the server can be held against them.
#![allow(dead_code, unreachable_pub, reason = "the corpus of the fuzzers is made of the rows as well")]

mod attributes;
mod classic;
mod clients;
mod fingerprint;
mod headers;
mod others;
mod rejections;

use super::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, classic, fingerprinted, message,
    with_right_length, with_transaction,
};
use std::net::{IpAddr, SocketAddr};
use xstun::outcome::Outcome;

const MAPPED_ADDRESS: u16 = 0x0001;
const RESPONSE_ADDRESS: u16 = 0x0002;
const CHANGE_REQUEST: u16 = 0x0003;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const SOFTWARE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;

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
}

/// What the operator switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    Default,
    /// Classic requests off.
    NoClassic,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Setting; 2] = [Setting::Default, Setting::NoClassic];
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
    /// The sender's address in a MAPPED-ADDRESS.
    ClassicAddress,
    /// These bytes, whoever asked.
    Bytes(Vec<u8>),
}

impl Row {
    /// The reply's bytes to a request from `source`; empty for silence.
    pub fn reply(&self, source: SocketAddr) -> Vec<u8> {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let transaction = self.request.get(4..20).unwrap_or_default();
        let success =
            |kind, value: Vec<u8>| with_transaction(BINDING_SUCCESS, transaction, &[(kind, &value)]);
        match &self.owed {
            Owed::Silence => Vec::new(),
            Owed::Address => success(XOR_MAPPED_ADDRESS, address(source, transaction)),
            Owed::AddressAndFingerprint => {
                fingerprinted(success(XOR_MAPPED_ADDRESS, address(source, transaction)))
            }
            Owed::ClassicAddress => success(MAPPED_ADDRESS, address(source, &[0; 16])),
            Owed::Bytes(bytes) => bytes.clone(),
        }
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
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(section: &'static str, rule: &'static str, request: Vec<u8>, outcome: Outcome, owed: Owed) -> Row {
    Row { section, rule, setting: Setting::Default, request, outcome, owed }
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
