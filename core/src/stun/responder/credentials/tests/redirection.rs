//! Redirection of authenticated clients by 300 (Try Alternate) (RFC 8489 §10, §14.8).

use super::*;
use crate::stun::{AlternateServer, Discovery};

const CHANGE_REQUEST: u16 = 0x0003;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const ALTERNATE_SERVER: u16 = 0x8023;

/// ALTERNATE-SERVER with the servers of [`redirecting`].
const V4: Attribute = (ALTERNATE_SERVER, &[0, 1, 0x0d, 0x96, 203, 0, 113, 9]);
const V6: Attribute =
    (ALTERNATE_SERVER, &[0, 2, 0x0d, 0x96, 0x20, 1, 0x0d, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

const SOURCE: &str = "198.51.100.7:40000";
const SOURCE_V6: &str = "[2001:db8:1::7]:40000";

/// `policy` with alternate servers of these IP versions.
fn redirecting(mut policy: Policy, v4: bool, v6: bool) -> Policy {
    policy.extras.as_mut().unwrap().alternate_server = AlternateServer {
        v4: v4.then(|| "203.0.113.9:3478".parse().unwrap()),
        v6: v6.then(|| "[2001:db8:9::9]:3478".parse().unwrap()),
    };
    policy
}

fn redirection(servers: &[Attribute], integrity: Integrity, key: &[u8]) -> Vec<u8> {
    let attributes = [&[(ERROR_CODE, &[0, 0, 3, 0][..])], servers].concat();
    with_integrity(message(BINDING_ERROR, &attributes), integrity, key)
}

fn ask_stream(policy: &Policy, request: &[u8]) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::stream(&source(), destination), policy);
    (answer.outcome, buffer[..answer.length].to_vec())
}

/// RFC 8489 §10: the client would use TLS with the alternate server too, at a port that is meant for UDP and
/// TCP.
#[test]
fn no_client_is_redirected_over_tls() {
    let policy = redirecting(short_term(), true, true);
    let request = of_length(64, Sha1);
    assert_eq!(ask_stream(&policy, &request).0, Redirected);
    let mut buffer = [&request[..], &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::tls(&source(), destination), &policy);
    assert_eq!(answer.outcome, Answered);
    assert_eq!(buffer[..answer.length], ask(&short_term(), &request).1);
}

/// A short-term request with a SOFTWARE that makes it `length` bytes long up to its integrity attribute.
fn of_length(length: usize, integrity: Integrity) -> Vec<u8> {
    let software = vec![b'x'; length - 32];
    authenticated(&[ANNA, (SOFTWARE, &software)], integrity, ANNAS_PASSWORD)
}

/// No redirection is longer than its request: whatever the address family and integrity attribute, and over a
/// stream too.
#[test]
fn a_short_term_user_is_redirected_if_the_request_has_room() {
    let policy = redirecting(short_term(), true, true);
    for integrity in [Sha1, Sha256] {
        let rows: [(_, _, _, Option<&[Attribute]>); 9] = [
            ("only a name", SOURCE, authenticated(&[ANNA], integrity, ANNAS_PASSWORD), None),
            ("one word too short", SOURCE, of_length(36, integrity), None),
            ("just long enough", SOURCE, of_length(40, integrity), Some(&[V4])),
            ("one word too short for both", SOURCE, of_length(60, integrity), Some(&[V4])),
            ("long enough for both", SOURCE, of_length(64, integrity), Some(&[V4, V6])),
            ("IPv4-mapped", "[::ffff:198.51.100.7]:40000", of_length(40, integrity), Some(&[V4])),
            ("IPv6, one word too short", SOURCE_V6, of_length(48, integrity), None),
            ("IPv6, just long enough", SOURCE_V6, of_length(52, integrity), Some(&[V6])),
            ("IPv6, long enough for both", SOURCE_V6, of_length(64, integrity), Some(&[V6, V4])),
        ];
        for (rule, source, request, servers) in rows {
            let (source, is_v4) = (source.parse().unwrap(), source == SOURCE);
            let without = ask_from(&policy, &request, source);
            let with_fingerprint = ask_from(&policy, &fingerprinted(request.clone()), source);
            if is_v4 {
                assert_eq!(ask_stream(&policy, &request), without, "{rule}");
            }
            let Some(servers) = servers else {
                assert_eq!((without.0, with_fingerprint.0), (Answered, Answered), "{rule}");
                continue;
            };
            let expected = redirection(servers, integrity, ANNAS_PASSWORD);
            assert!(expected.len() <= request.len(), "{rule}");
            assert_eq!(without, (Redirected, expected.clone()), "{rule}");
            assert_eq!(with_fingerprint, (Redirected, fingerprinted(expected)), "{rule}");
        }
    }
}

/// Realm and nonce make a long-term request long enough for both servers, whatever the name and integrity
/// attribute.
#[test]
fn a_long_term_user_is_always_redirected() {
    let realm: &[u8] = b"r";
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let policy = redirecting(long_term_of([(b"a", ANNAS_PASSWORD)], "r", nonces), true, true);
    let (md5, sha256) = (md5_key(b"a", realm, ANNAS_PASSWORD), sha256_key(b"a", realm, ANNAS_PASSWORD));
    for (source, servers) in [(SOURCE, [V4, V6]), (SOURCE_V6, [V6, V4])] {
        let source = source.parse().unwrap();
        let (outcome, refusal) = ask_from(&policy, &message(BINDING_REQUEST, &[]), source);
        assert_eq!(outcome, Unauthenticated, "only authenticated clients are redirected");
        let nonce = attribute(&refusal, NONCE);
        let without_algorithm: [Attribute; 3] = [(USERNAME, b"a"), (REALM, realm), (NONCE, &nonce)];
        let chosen: [Attribute; 2] = [(PASSWORD_ALGORITHMS, SHA256), (PASSWORD_ALGORITHM, SHA256)];
        let with_algorithm = [&without_algorithm[..], &chosen].concat();
        for (attributes, key, of_reply) in
            [(&without_algorithm[..], &md5[..], Sha1), (&with_algorithm, &sha256, Sha256)]
        {
            for integrity in [Sha1, Sha256] {
                let request = authenticated(attributes, integrity, key);
                let expected = redirection(&servers, of_reply, key);
                assert!(expected.len() <= request.len());
                assert_eq!(ask_from(&policy, &request, source), (Redirected, expected));
            }
            let wrong = authenticated(attributes, of_reply, b"wrong");
            assert_eq!(ask_from(&policy, &wrong, source).0, Unauthenticated);
        }
        let [name, realm, _] = without_algorithm;
        let foreign = authenticated(&[name, realm, (NONCE, b"another's")], Sha1, &md5);
        assert_eq!(ask_from(&policy, &foreign, source).0, StaleNonce);
    }
}

#[test]
fn no_client_is_redirected_if_an_rfc_forbids_it() {
    let long: Attribute = (SOFTWARE, &[b'x'; 96]);
    let authentic = |more: &[Attribute]| authenticated(&[&[ANNA, long], more].concat(), Sha1, ANNAS_PASSWORD);
    let policy = redirecting(short_term(), true, false);
    assert_eq!(ask(&policy, &authentic(&[])), (Redirected, redirection(&[V4], Sha1, ANNAS_PASSWORD)));
    // §14.8: only with USERNAME and valid integrity.
    assert_eq!(ask(&policy, &message(BINDING_REQUEST, &[ANNA, long])).0, BadRequest);
    assert_eq!(ask(&policy, &authenticated(&[long], Sha1, ANNAS_PASSWORD)).0, BadRequest);
    assert_eq!(ask(&policy, &authenticated(&[ANNA, long], Sha1, b"wrong")).0, Unauthenticated);
    // §10: the server must be of the source's address family.
    assert_eq!(ask_from(&policy, &authentic(&[]), SOURCE_V6.parse().unwrap()).0, Answered);
    // RFC 3489 has no 300.
    assert_eq!(ask(&policy, &classic(BINDING_REQUEST, &[ANNA, long])).0, NoCookie);
    // 420 comes first.
    assert_eq!(ask(&policy, &authentic(&[(0x7ff0, &[])])).0, UnknownAttribute);
    // RFC 5780 §5: not during NAT behaviour discovery, whose tests must all reach the same server.
    let mut policy = policy;
    policy.extras.as_mut().unwrap().discovery_v4 =
        Discovery::new(destination(), "192.0.2.2:3479".parse().unwrap());
    assert_eq!(ask(&policy, &authentic(&[])).0, Redirected);
    assert_eq!(ask(&policy, &authentic(&[(CHANGE_REQUEST, &[0; 4])])).0, Redirected);
    for attribute in [(CHANGE_REQUEST, &[0, 0, 0, 2][..]), (PADDING, &[0; 4]), (RESPONSE_PORT, &[1, 2])] {
        assert_eq!(ask(&policy, &authentic(&[attribute])).0, Answered);
    }
}
