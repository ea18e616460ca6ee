//! The conformance table: one row for each rule, with its section, the request, and the reply or silence.
//! Rows are independent of the path: the core, frames, sockets and streams are all tested with them.

mod attributes;
mod classic;
mod clients;
mod credentials;
mod discovery;
mod endpoints;
mod extras;
mod fingerprint;
mod headers;
mod others;
mod rejections;
mod row;
mod setting;
mod streams;

pub use endpoints::{RequestEndpoints, endpoints};
pub use row::{Diverted, ExpectedReply, Row};
use setting::{ALTERNATE_V4, ALTERNATE_V6};
pub use setting::{NAME, PASSWORD, Setting, USER, policy, public_addresses};
pub use streams::{stream_rows, tls_row};

use crate::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, COOKIE, classic, fingerprinted, message,
    with_right_length, with_transaction,
};
use std::net::SocketAddr;
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
        discovery::rows(),
        credentials::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn row(
    section: &'static str,
    rule: &'static str,
    request: Vec<u8>,
    outcome: Outcome,
    expected: ExpectedReply,
) -> Row {
    Row {
        section,
        rule,
        setting: Setting::Default,
        request,
        outcome,
        expected,
        diverted: Diverted::default(),
    }
}

/// The source's address and FINGERPRINT.
fn address_and_fingerprint() -> ExpectedReply {
    ExpectedReply::Fingerprinted(Box::new(ExpectedReply::Address))
}

/// A request that gets its source's address.
fn answered(section: &'static str, rule: &'static str, request: Vec<u8>) -> Row {
    row(section, rule, request, Outcome::Answered, ExpectedReply::Address)
}

/// A request without the cookie that gets its source's address.
fn answered_classic(section: &'static str, rule: &'static str, request: Vec<u8>) -> Row {
    row(section, rule, request, Outcome::AnsweredClassic, ExpectedReply::ClassicAddress)
}

/// Bytes that get no reply.
fn silence(section: &'static str, rule: &'static str, request: Vec<u8>, outcome: Outcome) -> Row {
    row(section, rule, request, outcome, ExpectedReply::Silence)
}

/// A request that gets a 420 listing these types, without a reason phrase.
fn rejected(section: &'static str, rule: &'static str, request: Vec<u8>, list: &[u16]) -> Row {
    row(
        section,
        rule,
        request,
        Outcome::UnknownAttribute,
        ExpectedReply::Bytes(rejection(&[0, 0, 4, 20], list)),
    )
}

/// As [`rejected`], with the reason phrase.
fn rejected_with_reason(section: &'static str, rule: &'static str, request: Vec<u8>, list: &[u16]) -> Row {
    let code = [&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat();
    row(section, rule, request, Outcome::UnknownAttribute, ExpectedReply::Bytes(rejection(&code, list)))
}

fn rejection(code: &[u8], list: &[u16]) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, &types(list))])
}

fn types(types: &[u16]) -> Vec<u8> {
    types.iter().flat_map(|kind| kind.to_be_bytes()).collect()
}

/// A Binding request with the cookie.
fn request(attributes: &[Attribute]) -> Vec<u8> {
    message(BINDING_REQUEST, attributes)
}

/// A request with these bytes for attributes, valid or not.
fn raw(attributes: &[u8]) -> Vec<u8> {
    with_right_length([request(&[]), attributes.to_vec()].concat())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
