//! Nonces: for how long and for whom they are valid, and what they consist of.

use super::*;
use crate::stun::credentials::nonce::{self, NONCE_PERIOD};
use std::collections::HashSet;

/// A request of the user Zoe with this nonce.
fn request_with(nonce: &[u8]) -> Vec<u8> {
    let realm = EXAMPLE_REALM.as_bytes();
    let attributes: [Attribute; 3] = [(USERNAME, b"zoe"), (REALM, realm), (NONCE, nonce)];
    authenticated(&attributes, Sha1, &md5_key(b"zoe", realm, b"zz top"))
}

#[test]
fn a_nonce_is_valid_in_the_period_in_which_it_was_issued_and_in_the_next() {
    let clock = CoarseClock::default();
    clock.set(5 * NONCE_PERIOD + 1);
    let policy = long_term(&clock);
    let nonce = issued_nonce(&policy);
    let request = request_with(&nonce);
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
    // The nonce in a 438 is valid (§9.2.4).
    let (_, reply) = ask(&policy, &request);
    let fresh = attribute(&reply, NONCE);
    assert_ne!(fresh, nonce);
    assert_eq!(ask(&policy, &request_with(&fresh)).0, Answered);
}

/// RFC 8489 §9.2.4: two requests get the same nonce only if they have the same source.
#[test]
fn a_nonce_is_valid_for_one_client_of_one_server() {
    let policy = long_term(&CoarseClock::default());
    let nonce = issued_nonce(&policy);
    assert_eq!(issued_nonce(&policy), nonce, "the nonce stays the same within a period");
    let request = request_with(&nonce);
    for other in ["198.51.100.7:40001", "198.51.100.8:40000", "[2001:db8::7]:40000"] {
        assert_eq!(ask_from(&policy, &request, other.parse().unwrap()).0, StaleNonce, "{other}");
    }
    let mapped = "[::ffff:198.51.100.7]:40000".parse().unwrap();
    assert_eq!(ask_from(&policy, &request, mapped).0, Answered, "the same client, IPv4-mapped");

    let other_server = long_term_of(USERS, EXAMPLE_REALM, Nonces::new([8; 32], CoarseClock::default()));
    assert_eq!(ask(&other_server, &request).0, StaleNonce);
}

/// The 11 characters after the cookie hold 66 bits of the MAC: each of them can be any of 64.
#[test]
#[cfg_attr(miri, ignore = "a thousand MACs take the interpreter an hour; the other tests run the same code")]
fn nonces_of_many_clients_differ_in_every_bit_of_the_mac() {
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let issued: HashSet<_> =
        (0..1000).map(|port| nonces.current(&SocketAddr::new(source().ip(), port))).collect();
    assert_eq!(issued.len(), 1000);
    for index in 13..nonce::LENGTH {
        let digits: HashSet<u8> = issued.iter().map(|nonce| nonce[index]).collect();
        assert_eq!(digits.len(), 64, "character {index}");
    }
}

/// RFC 8489 §9.2, §14.10, and §18.1 with erratum 6290.
#[test]
fn a_nonce_has_the_security_feature_bits_and_needs_no_quoting() {
    let nonce = issued_nonce(&long_term(&CoarseClock::default()));
    assert_eq!(&nonce[..13], b"obMatJos2AAAD");
    assert!(nonce[13..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)), "{nonce:?}");
    assert!(nonce::has_algorithms_bit(&nonce));
    for (nonce, has_algorithms_bit) in [
        (&b"obMatJos2AAAB"[..], true),
        (b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA", false),
        (b"obMatJos2////", true),
        (b"obMatJos2AA=B", false),
        (b"obMatJos2AAA", false),
        (b"obMatJos3AAAB", false),
        (b"", false),
    ] {
        assert_eq!(nonce::has_algorithms_bit(nonce), has_algorithms_bit, "{nonce:?}");
    }
}
