//! Credentials, tested through [`respond`]: requests with and without integrity attributes, and the replies
//! to them.

mod long_term;
mod nonces;
mod properties;
mod redirection;
mod replies;
mod short_term;

use super::*;
use crate::outcome::Outcome::{self, *};
use crate::stun::{Exchange, Extras, Policy, REPLY_ROOM, integrity::Integrity::*, respond};
use std::sync::Arc;
use std::vec::Vec;
use xstun_testkit::messages::{
    self, Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, classic, fingerprinted, message,
};

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const PASSWORD_ALGORITHM: u16 = 0x001d;
const USERHASH: u16 = 0x001e;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PASSWORD_ALGORITHMS: u16 = 0x8002;
const SOFTWARE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;

/// Values of PASSWORD-ALGORITHM.
const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];

const EXAMPLE_REALM: &str = "example.org";
const USERS: [(&[u8], &[u8]); 3] = [(b"zoe", b"zz top"), (b"anna", b"correct horse"), (b"bert", b"")];
/// The attribute and the password of the user in most requests here.
const ANNA: Attribute = (USERNAME, b"anna");
const ANNAS_PASSWORD: &[u8] = b"correct horse";

/// The value of XOR-MAPPED-ADDRESS for [`source`].
const XOR_VALUE: [u8; 8] = [0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];

fn source() -> SocketAddr {
    "198.51.100.7:40000".parse().unwrap()
}

fn destination() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

fn with(credentials: Credentials) -> Policy {
    let extras = Extras { credentials: Some(Arc::new(credentials)), ..Extras::default() };
    Policy { extras: Some(extras), ..Policy::default() }
}

fn long_term(clock: &CoarseClock) -> Policy {
    long_term_of(USERS, EXAMPLE_REALM, Nonces::new([7; 32], clock.clone()))
}

fn long_term_of<const N: usize>(users: [(&[u8], &[u8]); N], realm: &str, nonces: Nonces) -> Policy {
    with(Credentials::LongTerm(LongTerm::new(users, Realm::new(realm).unwrap(), nonces)))
}

fn short_term() -> Policy {
    with(Credentials::ShortTerm(ShortTerm::new(USERS)))
}

fn ask_from(policy: &Policy, request: &[u8], source: SocketAddr) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, destination), policy);
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    (answer.outcome, buffer[..answer.length].to_vec())
}

fn ask(policy: &Policy, request: &[u8]) -> (Outcome, Vec<u8>) {
    ask_from(policy, request, source())
}

fn attributes(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = &message[20..];
    while let [t0, t1, l0, l1, remaining @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        found.push((u16::from_be_bytes([*t0, *t1]), remaining[..length].to_vec()));
        rest = &remaining[length.next_multiple_of(4)..];
    }
    found
}

fn attribute(message: &[u8], kind: u16) -> Vec<u8> {
    let found = attributes(message).into_iter().find(|(found, _)| *found == kind);
    found.unwrap_or_else(|| panic!("no {kind:#06x} in {message:02x?}")).1
}

/// A Binding request whose last attribute is the integrity attribute.
fn authenticated(attributes: &[Attribute], integrity: Integrity, key: &[u8]) -> Vec<u8> {
    with_integrity(message(BINDING_REQUEST, attributes), integrity, key)
}

fn with_integrity(mut message: Vec<u8>, integrity: Integrity, key: &[u8]) -> Vec<u8> {
    let end = message.len();
    message.resize(end + integrity.length(), 0);
    integrity.append(key, &mut message, end).unwrap();
    message
}

/// The success response to an authenticated request from [`source`].
fn success(integrity: Integrity, key: &[u8]) -> (Outcome, Vec<u8>) {
    let reply = message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE)]);
    (Answered, with_integrity(reply, integrity, key))
}

/// The nonce that the server issues to [`source`].
fn issued_nonce(policy: &Policy) -> Vec<u8> {
    let (outcome, reply) = ask(policy, &message(BINDING_REQUEST, &[]));
    assert_eq!(outcome, Unauthenticated);
    attribute(&reply, NONCE)
}

/// The error response with this code and no other attribute.
fn bare_error(code: [u8; 2]) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, code[0], code[1]])])
}

/// A challenge of the server in [`EXAMPLE_REALM`]: an error response with all that a client needs to
/// authenticate, and without an integrity attribute.
fn challenge(code: [u8; 2], nonce: &[u8]) -> Vec<u8> {
    message(
        BINDING_ERROR,
        &[
            (ERROR_CODE, &[0, 0, code[0], code[1]]),
            (REALM, EXAMPLE_REALM.as_bytes()),
            (NONCE, nonce),
            (PASSWORD_ALGORITHMS, SHA256),
        ],
    )
}

/// A rule of the RFC, a request, and the expected outcome and reply.
type Row = (&'static str, Vec<u8>, (Outcome, Vec<u8>));

fn check_rows(policy: &Policy, rows: impl IntoIterator<Item = Row>) {
    for (rule, request, expected) in rows {
        assert_eq!(ask(policy, &request), expected, "{rule}");
    }
}

#[test]
fn a_realm_is_bounded_and_needs_no_quoting() {
    assert_eq!(Realm::new("example.org").unwrap().as_bytes(), b"example.org");
    for text in ["", "a\"b", "a\\b", "a\nb", "bücher.example", &"x".repeat(Realm::MAX + 1)] {
        assert_eq!(Realm::new(text), None, "{text:?}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let credentials = |policy: Policy| policy.extras.and_then(|extras| extras.credentials).unwrap();
    assert_eq!(format!("{:?}", credentials(short_term())), "ShortTerm(..)");
    assert_eq!(format!("{:?}", credentials(long_term(&CoarseClock::default()))), "LongTerm(..)");
    assert_eq!(format!("{:?}", Realm::new(EXAMPLE_REALM).unwrap()), "\"example.org\"");
    let shown = format!("{:?} {:?}", short_term(), long_term(&CoarseClock::default()));
    for secret in ["correct", "anna", "7, 7"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// A reload compares credentials to find out whether they changed.
#[test]
fn credentials_are_equal_if_users_secret_and_clock_are() {
    let clock = CoarseClock::default();
    assert!(long_term(&clock) == long_term(&clock.clone()));
    assert!(long_term(&clock) != long_term(&CoarseClock::default()), "another clock");
    assert!(short_term() == short_term() && short_term() != long_term(&clock));
}
