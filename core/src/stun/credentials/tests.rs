//! The rules of RFC 8489 §9.1.3 and §9.2.4, row by row, asked of the whole core.

mod redirection;

use super::nonce::NONCE_PERIOD;
use super::*;
use crate::outcome::Outcome::{self, *};
use crate::stun::{Exchange, Extras, Policy, REPLY_ROOM, integrity::Integrity::*, respond};
use bytecodec::{DecodeExt as _, EncodeExt as _};
use std::collections::HashSet;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;
use stun_codec::rfc5389::attributes as codec;
use stun_codec::{MessageClass, MessageDecoder, MessageEncoder, TransactionId, rfc5389};
use xstun_testkit::messages::{
    self, Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, ID, classic, fingerprinted, message,
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

const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
const EXAMPLE: &str = "example.org";
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

const USERS: [(&[u8], &[u8]); 3] = [(b"zoe", b"zz top"), (b"anna", b"correct horse"), (b"bert", b"")];

fn long_term(clock: &CoarseClock) -> Policy {
    let nonces = Nonces::new([7; 32], clock.clone());
    with(Credentials::LongTerm(LongTerm::new(USERS, Realm::new(EXAMPLE).unwrap(), nonces)))
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
    while let [t0, t1, l0, l1, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        found.push((u16::from_be_bytes([*t0, *t1]), behind[..length].to_vec()));
        rest = &behind[length.next_multiple_of(4)..];
    }
    found
}

fn attribute(message: &[u8], kind: u16) -> Vec<u8> {
    let found = attributes(message).into_iter().find(|(found, _)| *found == kind);
    found.unwrap_or_else(|| panic!("no {kind:#06x} in {message:02x?}")).1
}

fn kinds(message: &[u8]) -> Vec<u16> {
    attributes(message).into_iter().map(|(kind, _)| kind).collect()
}

fn signed(attributes: &[Attribute], integrity: Integrity, key: &[u8]) -> Vec<u8> {
    sign(message(BINDING_REQUEST, attributes), integrity, key)
}

fn sign(mut message: Vec<u8>, integrity: Integrity, key: &[u8]) -> Vec<u8> {
    let end = message.len();
    message.resize(end + integrity.length(), 0);
    integrity.append(key, &mut message, end).unwrap();
    message
}

/// A nonce as the server gives it to [`source`].
fn challenged(policy: &Policy) -> Vec<u8> {
    let (outcome, reply) = ask(policy, &message(BINDING_REQUEST, &[]));
    assert_eq!(outcome, Unauthenticated);
    attribute(&reply, NONCE)
}

/// The error response with this code and nothing else.
fn bare_error(code: [u8; 2]) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, code[0], code[1]])])
}

/// A challenge for [`source`]: the error response that holds all that a client needs, and is not sealed.
fn challenge(code: [u8; 2], nonce: &[u8]) -> Vec<u8> {
    message(
        BINDING_ERROR,
        &[
            (ERROR_CODE, &[0, 0, code[0], code[1]]),
            (REALM, EXAMPLE.as_bytes()),
            (NONCE, nonce),
            (PASSWORD_ALGORITHMS, SHA256),
        ],
    )
}

/// What is wrong or right, the request, and what becomes of it.
type Row = (&'static str, Vec<u8>, (Outcome, Vec<u8>));

/// §9.1.3, every branch.
#[test]
fn short_term_credentials_are_checked_in_the_order_of_the_rfc() {
    let policy = short_term();
    let password: &[u8] = b"correct horse";
    let name: Attribute = (USERNAME, b"anna");
    let both = sign(signed(&[name], Sha1, password), Sha256, password);
    let sha1_of_both_is_wrong = {
        let wrong = signed(&[name], Sha1, b"wrong");
        sign(wrong, Sha256, password)
    };
    let sealed =
        |integrity| sign(message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE)]), integrity, password);
    let bad = || (BadRequest, bare_error([4, 0]));
    let unauthenticated = || (Unauthenticated, bare_error([4, 1]));
    let rows = [
        ("no integrity, no name", message(BINDING_REQUEST, &[]), bad()),
        ("a name alone", message(BINDING_REQUEST, &[name]), bad()),
        ("integrity alone", signed(&[], Sha1, password), bad()),
        ("integrity alone", signed(&[], Sha256, password), bad()),
        (
            "USERHASH is of long-term credentials",
            signed(&[(USERHASH, &userhash(b"anna", b""))], Sha1, password),
            bad(),
        ),
        (
            "the name behind the integrity",
            {
                let mut late = signed(&[], Sha1, password);
                late.extend_from_slice(&[0, 6, 0, 4, b'a', b'n', b'n', b'a']);
                messages::with_right_length(late)
            },
            bad(),
        ),
        ("nobody's name", signed(&[(USERNAME, b"otto")], Sha1, password), unauthenticated()),
        ("nobody's name and no password", signed(&[(USERNAME, b"otto")], Sha256, b""), unauthenticated()),
        ("an empty name", signed(&[(USERNAME, b"")], Sha1, b""), unauthenticated()),
        ("another's password", signed(&[name], Sha1, b"zz top"), unauthenticated()),
        ("another's password", signed(&[name], Sha256, b"zz top"), unauthenticated()),
        (
            "of both the SHA-256 counts",
            sign(signed(&[name], Sha1, password), Sha256, b"wrong"),
            unauthenticated(),
        ),
        ("right", signed(&[name], Sha1, password), (Answered, sealed(Sha1))),
        ("right", signed(&[name], Sha256, password), (Answered, sealed(Sha256))),
        ("both are right: one comes back", both, (Answered, sealed(Sha256))),
        ("of both the SHA-256 counts", sha1_of_both_is_wrong, (Answered, sealed(Sha256))),
        (
            "of two names the first counts",
            signed(&[name, (USERNAME, b"zoe")], Sha1, password),
            (Answered, sealed(Sha1)),
        ),
    ];
    for (rule, request, expected) in rows {
        assert_eq!(ask(&policy, &request), expected, "{rule}");
    }
}

/// What the requests of anna, a user of [`EXAMPLE`], are made of.
struct LongTermParts<'a> {
    name: Attribute<'a>,
    anonymous: Attribute<'a>,
    realm: Attribute<'a>,
    nonce: Attribute<'a>,
    list: Attribute<'a>,
    chosen: Attribute<'a>,
    /// A nonce as of a server that has no features.
    featureless: Attribute<'a>,
    /// A nonce as of a server whose nonces have no cookie.
    foreign: Attribute<'a>,
    md5: &'a [u8],
    sha256: &'a [u8],
}

/// §9.2.4, every branch in its order.
#[test]
fn long_term_credentials_are_checked_in_the_order_of_the_rfc() {
    let policy = long_term(&CoarseClock::default());
    let nonce = challenged(&policy);
    let (password, realm): (&[u8], _) = (b"correct horse", EXAMPLE.as_bytes());
    let hash = userhash(b"anna", realm);
    let parts = LongTermParts {
        name: (USERNAME, b"anna"),
        anonymous: (USERHASH, &hash),
        realm: (REALM, realm),
        nonce: (NONCE, &nonce),
        list: (PASSWORD_ALGORITHMS, SHA256),
        chosen: (PASSWORD_ALGORITHM, SHA256),
        featureless: (NONCE, b"obMatJos2AAAAxxxxxxxxxxx"),
        foreign: (NONCE, b"f//499k954d6OL34oL9FSTvy64sA"),
        md5: &md5_key(b"anna", realm, password),
        sha256: &sha256_key(b"anna", realm, password),
    };
    let rows = [incomplete(&parts), unauthenticated(&parts), stale(&parts), proven(&parts)].concat();
    for (rule, request, expected) in rows {
        assert_eq!(ask(&policy, &request), expected, "{rule}");
    }
}

/// Steps 1 to 3: something lacks, or the algorithm was bid down.
fn incomplete(parts: &LongTermParts<'_>) -> Vec<Row> {
    let LongTermParts { name, anonymous, realm, nonce, list, chosen, md5, sha256, .. } = *parts;
    let bad = || (BadRequest, bare_error([4, 0]));
    let unauthenticated = || (Unauthenticated, challenge([4, 1], nonce.1));
    let both: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
    vec![
        ("1: no integrity", message(BINDING_REQUEST, &[]), unauthenticated()),
        ("1: no integrity", message(BINDING_REQUEST, &[name, realm, nonce]), unauthenticated()),
        ("2: no name", signed(&[realm, nonce], Sha1, &md5), bad()),
        ("2: no realm", signed(&[name, nonce], Sha1, &md5), bad()),
        ("2: no nonce", signed(&[name, realm], Sha1, &md5), bad()),
        ("2: no nonce", signed(&[anonymous, realm], Sha256, &sha256), bad()),
        ("2 before 4", signed(&[(USERNAME, b"otto"), nonce], Sha1, &md5), bad()),
        ("3: the list is gone", signed(&[name, realm, nonce, chosen], Sha256, &sha256), bad()),
        ("3: the choice is gone", signed(&[name, realm, nonce, list], Sha256, &sha256), bad()),
        (
            "3: the list is another",
            signed(&[name, realm, nonce, (PASSWORD_ALGORITHMS, both), chosen], Sha256, &sha256),
            bad(),
        ),
        (
            "3: the list was bid down",
            signed(&[name, realm, nonce, (PASSWORD_ALGORITHMS, MD5), (PASSWORD_ALGORITHM, MD5)], Sha1, &md5),
            bad(),
        ),
        (
            "3: what is chosen is not in the list",
            signed(&[name, realm, nonce, list, (PASSWORD_ALGORITHM, MD5)], Sha1, &md5),
            bad(),
        ),
        (
            "3: parameters that the algorithm does not have",
            signed(
                &[name, realm, nonce, list, (PASSWORD_ALGORITHM, &[0, 2, 0, 4, 0, 0, 0, 0])],
                Sha256,
                &sha256,
            ),
            bad(),
        ),
        ("3 before 4", signed(&[(USERNAME, b"otto"), realm, nonce, chosen], Sha256, &sha256), bad()),
    ]
}

/// Steps 4 and 5: an unknown user, or a wrong password.
fn unauthenticated(parts: &LongTermParts<'_>) -> Vec<Row> {
    let LongTermParts { name, realm, nonce, list, chosen, foreign, md5, sha256, .. } = *parts;
    let unauthenticated = || (Unauthenticated, challenge([4, 1], nonce.1));
    let stranger = userhash(b"otto", realm.1);
    vec![
        ("4: nobody's name", signed(&[(USERNAME, b"otto"), realm, nonce], Sha1, &md5), unauthenticated()),
        (
            "4: nobody's name, an empty key",
            signed(&[(USERNAME, b"otto"), realm, nonce], Sha1, &[0; 32]),
            unauthenticated(),
        ),
        (
            "4: nobody's hash",
            signed(&[(USERHASH, &stranger), realm, nonce, list, chosen], Sha256, &sha256),
            unauthenticated(),
        ),
        ("4: a hash of no length", signed(&[(USERHASH, &[]), realm, nonce], Sha1, &md5), unauthenticated()),
        ("4 before 6", signed(&[(USERNAME, b"otto"), realm, foreign], Sha1, &md5), unauthenticated()),
        ("5: another's password", signed(&[name, realm, nonce], Sha1, b"wrong"), unauthenticated()),
        (
            "5: SHA-256 counts where it is",
            sign(signed(&[name, realm, nonce], Sha1, &md5), Sha256, b"wrong"),
            unauthenticated(),
        ),
        (
            "5: the key of the algorithm that was not chosen",
            signed(&[name, realm, nonce, list, chosen], Sha256, &md5),
            unauthenticated(),
        ),
        ("5 before 6", signed(&[name, realm, foreign], Sha1, b"wrong"), unauthenticated()),
        (
            "5: an algorithm that nobody knows",
            signed(&[name, realm, foreign, (PASSWORD_ALGORITHM, &[0, 9, 0, 0])], Sha1, &md5),
            unauthenticated(),
        ),
    ]
}

/// Step 6: a nonce that is not the server's.
fn stale(parts: &LongTermParts<'_>) -> Vec<Row> {
    let LongTermParts { name, realm, nonce, chosen, featureless, foreign, md5, sha256, .. } = *parts;
    let stale = || (StaleNonce, challenge([4, 38], nonce.1));
    vec![
        ("6: a nonce of nobody's", signed(&[name, realm, foreign], Sha1, &md5), stale()),
        (
            "6: the features were taken out of the nonce",
            signed(&[name, realm, featureless], Sha1, &md5),
            stale(),
        ),
        (
            "6: and the algorithm was chosen for a nonce without features",
            signed(&[name, realm, featureless, chosen], Sha256, &sha256),
            stale(),
        ),
        (
            "6: MD5 may be chosen there",
            signed(&[name, realm, foreign, (PASSWORD_ALGORITHM, MD5)], Sha1, &md5),
            stale(),
        ),
        ("6: an empty nonce", signed(&[name, realm, (NONCE, b"")], Sha1, &md5), stale()),
        (
            "6: a nonce with a tail",
            signed(&[name, realm, (NONCE, &[nonce.1, b"x"].concat())], Sha1, &md5),
            stale(),
        ),
    ]
}

/// Requests that pass every step.
fn proven(parts: &LongTermParts<'_>) -> Vec<Row> {
    let LongTermParts { name, anonymous, realm, nonce, list, chosen, md5, sha256, .. } = *parts;
    let success = message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE)]);
    let sealed = |integrity, key: &[u8]| (Answered, sign(success.clone(), integrity, key));
    vec![
        ("as though MD5", signed(&[name, realm, nonce], Sha1, &md5), sealed(Sha1, &md5)),
        (
            "as though MD5, proven by SHA-256: MESSAGE-INTEGRITY comes back",
            signed(&[name, realm, nonce], Sha256, &md5),
            sealed(Sha1, &md5),
        ),
        ("SHA-256", signed(&[name, realm, nonce, list, chosen], Sha256, &sha256), sealed(Sha256, &sha256)),
        (
            "SHA-256, proven by SHA-1: MESSAGE-INTEGRITY-SHA256 comes back",
            signed(&[name, realm, nonce, list, chosen], Sha1, &sha256),
            sealed(Sha256, &sha256),
        ),
        (
            "a name that is not told",
            signed(&[anonymous, realm, nonce, list, chosen], Sha256, &sha256),
            sealed(Sha256, &sha256),
        ),
        (
            "a name that is not told, and MD5",
            signed(&[anonymous, realm, nonce], Sha1, &md5),
            sealed(Sha1, &md5),
        ),
    ]
}

/// RFC 5769 §2.4 and RFC 8489 B.1, whole, on a server that has this user: all that is wrong with them is
/// that the nonce is not ours.
#[test]
fn the_requests_of_the_vectors_are_proven_but_for_their_nonce() {
    let user: (&[u8], &[u8]) = ("マトリックス".as_bytes(), b"TheMatrIX");
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let policy = with(Credentials::LongTerm(LongTerm::new([user], Realm::new(EXAMPLE).unwrap(), nonces)));
    let vectors = [
        "00010060 2112a442 78ad3433c6ad72c029da412e 00060012 e3839ee38388e383aae38383e382afe382b90000 0015001c \
         662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b 6578616d706c652e6f726700 00080014 \
         f67024656dd64a3e02b8e0712e85c9a28ca89666",
        "00010090 2112a442 78ad3433c6ad72c029da412e 001e0020 \
         4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704 00150029 \
         6f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39465354767936347341000000 0014000b \
         6578616d706c652e6f726700 001d0004 00020000 001c0020 \
         b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65",
    ];
    for vector in vectors {
        let digits: Vec<_> = vector.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        let request: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        assert_eq!(ask(&policy, &request).0, StaleNonce);
        for at in (8..request.len()).step_by(if cfg!(miri) { 13 } else { 1 }) {
            let mut changed = request.clone();
            changed[at] ^= 0x40;
            assert_ne!(ask(&policy, &changed).0, StaleNonce, "byte {at}");
        }
    }
    // RFC 5769 §2.1: short-term, and with a FINGERPRINT behind the integrity.
    let policy =
        with(Credentials::ShortTerm(ShortTerm::new([(&b"evtj:h6vY"[..], &b"VOkJxbRl1RmTxUk/WvJxBt"[..])])));
    let request = fingerprinted(signed(&[(USERNAME, b"evtj:h6vY")], Sha1, b"VOkJxbRl1RmTxUk/WvJxBt"));
    assert_eq!(ask(&policy, &request).0, Answered);
}

#[test]
fn a_nonce_is_good_for_the_period_that_it_was_given_in_and_the_next() {
    let clock = CoarseClock::default();
    clock.set(5 * NONCE_PERIOD + 1);
    let policy = long_term(&clock);
    let nonce = challenged(&policy);
    let key = md5_key(b"zoe", EXAMPLE.as_bytes(), b"zz top");
    let request = signed(&[(USERNAME, b"zoe"), (REALM, EXAMPLE.as_bytes()), (NONCE, &nonce)], Sha1, &key);
    for (seconds, outcome) in [
        (5 * NONCE_PERIOD + 1, Answered),
        (6 * NONCE_PERIOD - 1, Answered),
        (6 * NONCE_PERIOD, Answered),
        (7 * NONCE_PERIOD - 1, Answered),
        (7 * NONCE_PERIOD, StaleNonce),
        (1000 * NONCE_PERIOD, StaleNonce),
    ] {
        clock.set(seconds);
        assert_eq!(ask(&policy, &request).0, outcome, "at {seconds} s");
    }
    // The nonce that a 438 gives is valid (§9.2.4).
    let (_, reply) = ask(&policy, &request);
    let fresh = attribute(&reply, NONCE);
    assert_ne!(fresh, nonce);
    let again = signed(&[(USERNAME, b"zoe"), (REALM, EXAMPLE.as_bytes()), (NONCE, &fresh)], Sha1, &key);
    assert_eq!(ask(&policy, &again).0, Answered);
}

/// §9.2.4: not the same nonce for two requests unless their source is the same.
#[test]
fn a_nonce_is_one_clients_and_one_servers() {
    let policy = long_term(&CoarseClock::default());
    let nonce = challenged(&policy);
    assert_eq!(challenged(&policy), nonce, "within a period it stays");
    let key = md5_key(b"zoe", EXAMPLE.as_bytes(), b"zz top");
    let request = signed(&[(USERNAME, b"zoe"), (REALM, EXAMPLE.as_bytes()), (NONCE, &nonce)], Sha1, &key);
    for other in ["198.51.100.7:40001", "198.51.100.8:40000", "[2001:db8::7]:40000"] {
        assert_eq!(ask_from(&policy, &request, other.parse().unwrap()).0, StaleNonce, "{other}");
    }
    let mapped = "[::ffff:198.51.100.7]:40000".parse().unwrap();
    assert_eq!(ask_from(&policy, &request, mapped).0, Answered, "the same client in IPv6 clothing");

    let other_secret = Nonces::new([8; 32], CoarseClock::default());
    let users = LongTerm::new(USERS, Realm::new(EXAMPLE).unwrap(), other_secret);
    assert_eq!(ask(&with(Credentials::LongTerm(users)), &request).0, StaleNonce);
}

/// 66 bits of the MAC: 11 characters, each of them any of 64.
#[test]
#[cfg_attr(miri, ignore = "a thousand MACs take the interpreter an hour; the other tests run the same code")]
fn nonces_of_many_clients_differ_in_all_that_can() {
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let given: HashSet<_> =
        (0..1000).map(|port| nonces.current(&SocketAddr::new(source().ip(), port))).collect();
    assert_eq!(given.len(), 1000);
    for place in 13..nonce::LENGTH {
        let digits: HashSet<u8> = given.iter().map(|nonce| nonce[place]).collect();
        assert_eq!(digits.len(), 64, "character {place}");
    }
}

/// §9.2, §18.1 with erratum 6290, §14.10: what a nonce tells.
#[test]
fn a_nonce_tells_the_security_features_and_needs_no_quoting() {
    let nonce = challenged(&long_term(&CoarseClock::default()));
    assert_eq!(&nonce[..13], b"obMatJos2AAAD");
    assert!(nonce[13..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)), "{nonce:?}");
    assert!(nonce::has_algorithms_bit(&nonce));
    for (nonce, promises) in [
        (&b"obMatJos2AAAB"[..], true),
        (b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA", false),
        (b"obMatJos2////", true),
        (b"obMatJos2AA=B", false),
        (b"obMatJos2AAA", false),
        (b"obMatJos3AAAB", false),
        (b"", false),
    ] {
        assert_eq!(nonce::has_algorithms_bit(nonce), promises, "{nonce:?}");
    }
}

/// The order of §6.3: syntax, then credentials, then unknown attributes. The reply to a proven request is
/// sealed whatever it says, and no longer than the request.
#[test]
fn credentials_stand_between_syntax_and_unknown_attributes() {
    let policy = short_term();
    let unknown: Attribute = (0x4000, &[0; 40]);
    let name: Attribute = (USERNAME, b"anna");
    assert_eq!(ask(&policy, &message(BINDING_REQUEST, &[unknown])).0, BadRequest);
    for integrity in [Sha1, Sha256] {
        let request = signed(&[name, unknown], integrity, b"correct horse");
        for (request, print) in [(request.clone(), false), (fingerprinted(request), true)] {
            let (outcome, reply) = ask(&policy, &request);
            assert_eq!(outcome, UnknownAttribute);
            assert_eq!(attribute(&reply, ERROR_CODE)[..4], [0, 0, 4, 20]);
            assert_eq!(attribute(&reply, UNKNOWN_ATTRIBUTES), [0x40, 0]);
            let start = reply.len() - integrity.length() - if print { 8 } else { 0 };
            assert!(integrity.is_right(b"correct horse", &reply, start));
            assert!(reply.len() <= request.len(), "{} for {}", reply.len(), request.len());
            assert_eq!(kinds(&reply).last() == Some(&FINGERPRINT), print);
            if print {
                let covered = messages::with_right_length(reply[..reply.len() - 8].to_vec());
                assert_eq!(fingerprinted(covered), reply);
            }
        }
    }
    let mut broken = signed(&[name], Sha1, b"correct horse");
    broken[23] = 40;
    assert_eq!(ask(&policy, &broken), (BadAttribute, vec![]));
    let mut print = fingerprinted(signed(&[name], Sha1, b"correct horse"));
    *print.last_mut().unwrap() ^= 1;
    assert_eq!(ask(&policy, &print), (BadFingerprint, vec![]));
}

/// A reply that is sealed by SHA-256 to a request that was proven by SHA-1 is the longer by twelve bytes;
/// what the request asks for is read to its end all the same.
#[test]
fn what_stands_before_the_integrity_is_read_whatever_seals_the_reply() {
    let policy = long_term(&CoarseClock::default());
    let nonce = challenged(&policy);
    let key = sha256_key(b"anna", EXAMPLE.as_bytes(), b"correct horse");
    let attributes: [Attribute; 6] = [
        (USERNAME, b"anna"),
        (REALM, EXAMPLE.as_bytes()),
        (NONCE, &nonce),
        (PASSWORD_ALGORITHMS, SHA256),
        (PASSWORD_ALGORITHM, SHA256),
        (0x4000, &[]),
    ];
    for integrity in [Sha1, Sha256] {
        let request = signed(&attributes, integrity, &key);
        for request in [request.clone(), fingerprinted(request)] {
            let (outcome, reply) = ask(&policy, &request);
            assert_eq!(outcome, UnknownAttribute, "{integrity:?}");
            assert_eq!(attribute(&reply, UNKNOWN_ATTRIBUTES), [0x40, 0]);
            assert!(reply.len() <= request.len());
        }
    }
}

#[test]
fn a_classic_request_can_prove_nothing_and_gets_silence() {
    for policy in [short_term(), long_term(&CoarseClock::default())] {
        assert!(policy.classic);
        for request in [classic(BINDING_REQUEST, &[]), classic(BINDING_REQUEST, &[(USERNAME, b"anna")])] {
            assert_eq!(ask(&policy, &request), (NoCookie, vec![]));
        }
    }
}

/// The figures that the documentation gives: with the longest realm, whatever the request, no refusal is
/// longer, and none of short-term credentials exceeds 36 bytes.
#[test]
fn a_challenge_is_as_short_as_it_can_be() {
    for (realm, length) in [("r", 72), ("org", 72), ("example.org", 80), (&"x".repeat(Realm::MAX), 116)] {
        let nonces = Nonces::new([7; 32], CoarseClock::default());
        let policy = with(Credentials::LongTerm(LongTerm::new(USERS, Realm::new(realm).unwrap(), nonces)));
        let bare = message(BINDING_REQUEST, &[]);
        assert_eq!(ask(&policy, &bare).1.len(), length, "{realm}");
        assert_eq!(ask(&policy, &fingerprinted(bare)).1.len(), length + 8, "{realm}");
    }
    // What the room for replies is reckoned with.
    assert_eq!(20 + 8 + Challenge::MAX, 116);
    let bare = message(BINDING_REQUEST, &[]);
    assert_eq!(ask(&short_term(), &bare).1.len(), 28);
    assert_eq!(ask(&short_term(), &fingerprinted(bare)).1.len(), 36);
}

#[test]
fn a_realm_is_bounded_and_needs_no_quoting() {
    assert_eq!(Realm::new("example.org").unwrap().as_bytes(), b"example.org");
    for text in ["", "a\"b", "a\\b", "a\nb", "bücher.example", &"x".repeat(Realm::MAX + 1)] {
        assert_eq!(Realm::new(text), None, "{text:?}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let users = |policy: Policy| policy.extras.and_then(|extras| extras.credentials).unwrap();
    assert_eq!(format!("{:?}", users(short_term())), "ShortTerm(..)");
    assert_eq!(format!("{:?}", users(long_term(&CoarseClock::default()))), "LongTerm(..)");
    assert_eq!(format!("{:?}", Realm::new(EXAMPLE).unwrap()), "\"example.org\"");
    let shown = format!("{:?} {:?}", short_term(), long_term(&CoarseClock::default()));
    for secret in ["correct", "anna", "7, 7"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// A change of the configuration is told from none by comparing.
#[test]
fn credentials_are_the_same_where_users_secret_and_clock_are() {
    let clock = CoarseClock::default();
    assert!(long_term(&clock) == long_term(&clock.clone()));
    assert!(long_term(&clock) != long_term(&CoarseClock::default()), "told by somebody else");
    assert!(short_term() == short_term() && short_term() != long_term(&clock));
}

/// `stun_codec` as another client: it signs its request, and checks the seal of the reply.
#[test]
fn another_codec_is_admitted_and_accepts_the_seal() {
    use stun_codec::rfc5389::Attribute;
    let clock = CoarseClock::default();
    let policy = long_term(&clock);
    let nonce = String::from_utf8(challenged(&policy)).unwrap();
    let (name, realm) =
        (codec::Username::new("anna".into()).unwrap(), codec::Realm::new(EXAMPLE.into()).unwrap());
    let mut request = stun_codec::Message::<Attribute>::new(
        MessageClass::Request,
        rfc5389::methods::BINDING,
        TransactionId::new(ID),
    );
    request.add_attribute(name.clone());
    request.add_attribute(realm.clone());
    request.add_attribute(codec::Nonce::new(nonce).unwrap());
    let proof =
        codec::MessageIntegrity::new_long_term_credential(&request, &name, &realm, "correct horse").unwrap();
    request.add_attribute(proof);
    let bytes = MessageEncoder::new().encode_into_bytes(request).unwrap();
    let (outcome, reply) = ask(&policy, &bytes);
    assert_eq!(outcome, Answered);
    let reply = MessageDecoder::<Attribute>::new().decode_from_bytes(&reply).unwrap().unwrap();
    let seal = reply.get_attribute::<codec::MessageIntegrity>().unwrap();
    seal.check_long_term_credential(&name, &realm, "correct horse").unwrap();
    assert!(seal.check_long_term_credential(&name, &realm, "wrong").is_err());
    assert_eq!(reply.get_attribute::<codec::XorMappedAddress>().unwrap().address(), source());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn integrity() -> impl Strategy<Value = Integrity> {
        prop_oneof![Just(Sha1), Just(Sha256)]
    }

    proptest! {
        /// Whatever is changed in what the integrity covers, nothing is proven by it any more.
        #[test]
        fn a_wrong_byte_under_the_integrity_is_never_authenticated(
            integrity in integrity(), at in 0usize..200, bit in 0u8..8, software in ".{0,20}", modern: bool,
        ) {
            let policy = long_term(&CoarseClock::default());
            let nonce = challenged(&policy);
            let realm = EXAMPLE.as_bytes();
            let mut list: Vec<Attribute> =
                vec![(SOFTWARE, software.as_bytes()), (USERNAME, b"anna"), (REALM, realm), (NONCE, &nonce)];
            let key = if modern {
                list.extend([(PASSWORD_ALGORITHMS, SHA256), (PASSWORD_ALGORITHM, SHA256)]);
                sha256_key(b"anna", realm, b"correct horse").to_vec()
            } else {
                md5_key(b"anna", realm, b"correct horse").to_vec()
            };
            let mut request = signed(&list, integrity, &key);
            prop_assert_eq!(ask(&policy, &request).0, Answered);
            let at = at % request.len();
            request[at] ^= 1 << bit;
            prop_assert_ne!(ask(&policy, &request).0, Answered, "byte {}", at);
        }

        /// Any attributes in any order: no panic, and no reply longer than a challenge or its request and
        /// what seals it.
        #[test]
        fn replies_are_bounded_whatever_comes(
            list in prop::collection::vec(
                (
                    prop_oneof![
                        prop::sample::select(vec![
                            USERNAME, REALM, NONCE, PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS, USERHASH, 0x0008, 0x001c,
                        ]),
                        any::<u16>(),
                    ],
                    prop::collection::vec(any::<u8>(), 0..48),
                ),
                0..10,
            ),
            print: bool,
        ) {
            let list: Vec<Attribute> = list.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            let mut request = message(BINDING_REQUEST, &list);
            if print {
                request = fingerprinted(request);
            }
            for policy in [short_term(), long_term(&CoarseClock::default())] {
                let (outcome, reply) = ask(&policy, &request);
                prop_assert_ne!(outcome, Answered);
                prop_assert!(reply.len() <= 88, "{:?}: {} bytes", outcome, reply.len());
            }
        }
    }
}
