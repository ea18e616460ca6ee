//! 300 (Try Alternate) for those who have proven who they are (RFC 8489 §10, §14.8), row by row.

use super::*;
use crate::stun::{AlternateServer, Discovery};
use std::vec::Vec;

const CHANGE_REQUEST: u16 = 0x0003;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const ALTERNATE_SERVER: u16 = 0x8023;

/// The values of ALTERNATE-SERVER for [`redirecting`]'s servers.
const V4: Attribute = (ALTERNATE_SERVER, &[0, 1, 0x0d, 0x96, 203, 0, 113, 9]);
const V6: Attribute =
    (ALTERNATE_SERVER, &[0, 2, 0x0d, 0x96, 0x20, 1, 0x0d, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

const SOURCE: &str = "198.51.100.7:40000";
const SOURCE_V6: &str = "[2001:db8:1::7]:40000";
const PASSWORD: &[u8] = b"correct horse";
const NAME: Attribute = (USERNAME, b"anna");

/// Sends users to the servers of these versions of IP.
fn redirecting(mut policy: Policy, v4: bool, v6: bool) -> Policy {
    policy.extras.as_mut().unwrap().alternate_server = AlternateServer {
        v4: v4.then(|| "203.0.113.9:3478".parse().unwrap()),
        v6: v6.then(|| "[2001:db8:9::9]:3478".parse().unwrap()),
    };
    policy
}

fn redirection(servers: &[Attribute], integrity: Integrity, key: &[u8]) -> Vec<u8> {
    let attributes = [&[(ERROR_CODE, &[0, 0, 3, 0][..])], servers].concat();
    sign(message(BINDING_ERROR, &attributes), integrity, key)
}

fn ask_stream(policy: &Policy, request: &[u8]) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::stream(&source(), destination), policy);
    (answer.outcome, buffer[..answer.length].to_vec())
}

/// RFC 8489 §10: the client would go on to use TLS, at a port that the operator named for UDP and TCP.
#[test]
fn nobody_is_sent_elsewhere_over_tls() {
    let policy = redirecting(short_term(), true, true);
    let request = as_long_as(64, Sha1);
    assert_eq!(ask_stream(&policy, &request).0, Redirected);
    let mut buffer = [&request[..], &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::tls(&source(), destination), &policy);
    assert_eq!(answer.outcome, Answered);
    assert_eq!(buffer[..answer.length], ask(&short_term(), &request).1);
}

/// A short-term request with a SOFTWARE that makes it `length` bytes long before its integrity.
fn as_long_as(length: usize, integrity: Integrity) -> Vec<u8> {
    let software = vec![b'x'; length - 32];
    signed(&[NAME, (SOFTWARE, &software)], integrity, PASSWORD)
}

/// Whatever the family and seal, no redirection is longer than its request; over a stream neither.
#[test]
fn a_short_term_user_is_sent_elsewhere_where_the_request_has_room() {
    let policy = redirecting(short_term(), true, true);
    for integrity in [Sha1, Sha256] {
        let rows: [(_, _, _, Option<&[Attribute]>); 9] = [
            ("a name alone", SOURCE, signed(&[NAME], integrity, PASSWORD), None),
            ("one word too short", SOURCE, as_long_as(36, integrity), None),
            ("just long enough", SOURCE, as_long_as(40, integrity), Some(&[V4])),
            ("one word too short for both", SOURCE, as_long_as(60, integrity), Some(&[V4])),
            ("long enough for both", SOURCE, as_long_as(64, integrity), Some(&[V4, V6])),
            ("IPv4-mapped", "[::ffff:198.51.100.7]:40000", as_long_as(40, integrity), Some(&[V4])),
            ("IPv6, one word too short", SOURCE_V6, as_long_as(48, integrity), None),
            ("IPv6, just long enough", SOURCE_V6, as_long_as(52, integrity), Some(&[V6])),
            ("IPv6, long enough for both", SOURCE_V6, as_long_as(64, integrity), Some(&[V6, V4])),
        ];
        for (rule, source, request, servers) in rows {
            let printed = fingerprinted(request.clone());
            let (source, is_v4) = (source.parse().unwrap(), source == SOURCE);
            let (plain, print) = (ask_from(&policy, &request, source), ask_from(&policy, &printed, source));
            if is_v4 {
                assert_eq!(ask_stream(&policy, &request), plain, "{rule}");
            }
            let Some(servers) = servers else {
                assert_eq!((plain.0, print.0), (Answered, Answered), "{rule}");
                continue;
            };
            let expected = redirection(servers, integrity, PASSWORD);
            assert!(expected.len() <= request.len(), "{rule}");
            assert_eq!(plain, (Redirected, expected.clone()), "{rule}");
            assert_eq!(print, (Redirected, fingerprinted(expected)), "{rule}");
        }
    }
}

/// Realm and nonce make a long-term request long enough for both servers, whatever name and seal.
#[test]
fn a_long_term_user_is_always_sent_elsewhere() {
    let realm: &[u8] = b"r";
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let users = LongTerm::new([(&b"a"[..], PASSWORD)], Realm::new("r").unwrap(), nonces);
    let policy = redirecting(with(Credentials::LongTerm(users)), true, true);
    let (md5, sha256) = (md5_key(b"a", realm, PASSWORD), sha256_key(b"a", realm, PASSWORD));
    for (source, servers) in [(SOURCE, [V4, V6]), (SOURCE_V6, [V6, V4])] {
        let source = source.parse().unwrap();
        let (outcome, refusal) = ask_from(&policy, &message(BINDING_REQUEST, &[]), source);
        assert_eq!(outcome, Unauthenticated, "who has proven nothing is sent nowhere");
        let nonce = attribute(&refusal, NONCE);
        let old: [Attribute; 3] = [(USERNAME, b"a"), (REALM, realm), (NONCE, &nonce)];
        let chosen: [Attribute; 2] = [(PASSWORD_ALGORITHMS, SHA256), (PASSWORD_ALGORITHM, SHA256)];
        let modern = [&old[..], &chosen].concat();
        for (attributes, key, seal) in [(&old[..], &md5[..], Sha1), (&modern, &sha256, Sha256)] {
            for integrity in [Sha1, Sha256] {
                let request = signed(attributes, integrity, key);
                let expected = redirection(&servers, seal, key);
                assert!(expected.len() <= request.len());
                assert_eq!(ask_from(&policy, &request, source), (Redirected, expected));
            }
            let wrong = signed(attributes, seal, b"wrong");
            assert_eq!(ask_from(&policy, &wrong, source).0, Unauthenticated);
        }
        let foreign = signed(&[old[0], old[1], (NONCE, b"another's")], Sha1, &md5);
        assert_eq!(ask_from(&policy, &foreign, source).0, StaleNonce);
    }
}

#[test]
fn no_user_is_sent_where_the_rfcs_do_not_let_him_go() {
    let long: Attribute = (SOFTWARE, &[b'x'; 96]);
    let proven = |more: &[Attribute]| signed(&[&[NAME, long], more].concat(), Sha1, PASSWORD);
    let policy = redirecting(short_term(), true, false);
    assert_eq!(ask(&policy, &proven(&[])), (Redirected, redirection(&[V4], Sha1, PASSWORD)));
    // §14.8: none without USERNAME and right integrity.
    assert_eq!(ask(&policy, &message(BINDING_REQUEST, &[NAME, long])).0, BadRequest);
    assert_eq!(ask(&policy, &signed(&[long], Sha1, PASSWORD)).0, BadRequest);
    assert_eq!(ask(&policy, &signed(&[NAME, long], Sha1, b"wrong")).0, Unauthenticated);
    // §10: the server must be of the source's address family.
    assert_eq!(ask_from(&policy, &proven(&[]), SOURCE_V6.parse().unwrap()).0, Answered);
    // RFC 3489 knows no 300.
    assert_eq!(ask(&policy, &classic(BINDING_REQUEST, &[NAME, long])).0, NoCookie);
    // 420 comes first.
    assert_eq!(ask(&policy, &proven(&[(0x7ff0, &[])])).0, UnknownAttribute);
    // RFC 5780 §5: not in the midst of the tests, which another server would spoil.
    let mut policy = policy;
    policy.extras.as_mut().unwrap().discovery_v4 =
        Discovery::new(destination(), "192.0.2.2:3479".parse().unwrap());
    assert_eq!(ask(&policy, &proven(&[])).0, Redirected);
    assert_eq!(ask(&policy, &proven(&[(CHANGE_REQUEST, &[0; 4])])).0, Redirected);
    for wish in [(CHANGE_REQUEST, &[0, 0, 0, 2][..]), (PADDING, &[0; 4]), (RESPONSE_PORT, &[1, 2])] {
        assert_eq!(ask(&policy, &proven(&[wish])).0, Answered);
    }
}
