//! The checks of long-term credentials (RFC 8489 §9.2.4). The numbers in the names of rules are those of its
//! checks, in their order.

use super::*;

/// The attributes and keys that Anna's requests consist of.
struct Parts {
    userhash: [u8; 32],
    /// The nonce that the server issued.
    nonce: Vec<u8>,
    md5: [u8; 16],
    sha256: [u8; 32],
}

const REALM_OF_SERVER: Attribute = (REALM, EXAMPLE_REALM.as_bytes());
/// The list that the server sent, and the algorithm chosen from it.
const LIST: Attribute = (PASSWORD_ALGORITHMS, SHA256);
const CHOSEN: Attribute = (PASSWORD_ALGORITHM, SHA256);
const UNKNOWN_NAME: Attribute = (USERNAME, b"otto");
/// A nonce with a cookie whose security feature bits are all clear.
const NONCE_WITHOUT_FEATURES: Attribute = (NONCE, b"obMatJos2AAAAxxxxxxxxxxx");
/// A nonce without cookie, from another server.
const FOREIGN_NONCE: Attribute = (NONCE, b"f//499k954d6OL34oL9FSTvy64sA");

impl Parts {
    fn new(policy: &Policy) -> Self {
        let realm = EXAMPLE_REALM.as_bytes();
        Parts {
            userhash: userhash(b"anna", realm),
            nonce: issued_nonce(policy),
            md5: md5_key(b"anna", realm, ANNAS_PASSWORD),
            sha256: sha256_key(b"anna", realm, ANNAS_PASSWORD),
        }
    }

    fn userhash(&self) -> Attribute<'_> {
        (USERHASH, &self.userhash)
    }

    fn nonce(&self) -> Attribute<'_> {
        (NONCE, &self.nonce)
    }

    fn unauthenticated(&self) -> (Outcome, Vec<u8>) {
        (Unauthenticated, challenge([4, 1], &self.nonce))
    }

    fn stale(&self) -> (Outcome, Vec<u8>) {
        (StaleNonce, challenge([4, 38], &self.nonce))
    }
}

fn policy_and_parts() -> (Policy, Parts) {
    let policy = long_term(&CoarseClock::default());
    let parts = Parts::new(&policy);
    (policy, parts)
}

fn bad_request() -> (Outcome, Vec<u8>) {
    (BadRequest, bare_error([4, 0]))
}

#[test]
fn missing_attributes_are_found_first() {
    let (policy, parts) = policy_and_parts();
    let (realm, nonce, userhash) = (REALM_OF_SERVER, parts.nonce(), parts.userhash());
    let Parts { md5, sha256, .. } = &parts;
    let rows = [
        ("1: no integrity", message(BINDING_REQUEST, &[]), parts.unauthenticated()),
        ("1: no integrity", message(BINDING_REQUEST, &[ANNA, realm, nonce]), parts.unauthenticated()),
        ("2: no name", authenticated(&[realm, nonce], Sha1, md5), bad_request()),
        ("2: no realm", authenticated(&[ANNA, nonce], Sha1, md5), bad_request()),
        ("2: no nonce", authenticated(&[ANNA, realm], Sha1, md5), bad_request()),
        ("2: no nonce", authenticated(&[userhash, realm], Sha256, sha256), bad_request()),
        ("2 before 4", authenticated(&[UNKNOWN_NAME, nonce], Sha1, md5), bad_request()),
    ];
    check_rows(&policy, rows);
}

#[test]
fn a_bid_down_attack_is_a_bad_request() {
    let (policy, parts) = policy_and_parts();
    let (realm, nonce) = (REALM_OF_SERVER, parts.nonce());
    let Parts { md5, sha256, .. } = &parts;
    let both: Attribute = (PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
    let (only_md5, md5_chosen) = ((PASSWORD_ALGORITHMS, MD5), (PASSWORD_ALGORITHM, MD5));
    let with_parameters = (PASSWORD_ALGORITHM, &[0, 2, 0, 4, 0, 0, 0, 0][..]);
    let rows = [
        (
            "3: the list is missing",
            authenticated(&[ANNA, realm, nonce, CHOSEN], Sha256, sha256),
            bad_request(),
        ),
        (
            "3: the choice is missing",
            authenticated(&[ANNA, realm, nonce, LIST], Sha256, sha256),
            bad_request(),
        ),
        (
            "3: the list is not the one that was sent",
            authenticated(&[ANNA, realm, nonce, both, CHOSEN], Sha256, sha256),
            bad_request(),
        ),
        (
            "3: the list was bid down",
            authenticated(&[ANNA, realm, nonce, only_md5, md5_chosen], Sha1, md5),
            bad_request(),
        ),
        (
            "3: the choice is not in the list",
            authenticated(&[ANNA, realm, nonce, LIST, md5_chosen], Sha1, md5),
            bad_request(),
        ),
        (
            "3: parameters that the algorithm does not have",
            authenticated(&[ANNA, realm, nonce, LIST, with_parameters], Sha256, sha256),
            bad_request(),
        ),
        ("3 before 4", authenticated(&[UNKNOWN_NAME, realm, nonce, CHOSEN], Sha256, sha256), bad_request()),
    ];
    check_rows(&policy, rows);
}

#[test]
fn an_unknown_user_is_unauthenticated() {
    let (policy, parts) = policy_and_parts();
    let (realm, nonce, denied) = (REALM_OF_SERVER, parts.nonce(), || parts.unauthenticated());
    let Parts { md5, sha256, .. } = &parts;
    let unknown_hash: Attribute = (USERHASH, &userhash(b"otto", EXAMPLE_REALM.as_bytes()));
    let rows = [
        ("4: an unknown name", authenticated(&[UNKNOWN_NAME, realm, nonce], Sha1, md5), denied()),
        (
            "4: an unknown name, and the key that stands in for a missing one",
            authenticated(&[UNKNOWN_NAME, realm, nonce], Sha1, &[0; 32]),
            denied(),
        ),
        (
            "4: an unknown USERHASH",
            authenticated(&[unknown_hash, realm, nonce, LIST, CHOSEN], Sha256, sha256),
            denied(),
        ),
        ("4: an empty USERHASH", authenticated(&[(USERHASH, &[]), realm, nonce], Sha1, md5), denied()),
        ("4 before 6", authenticated(&[UNKNOWN_NAME, realm, FOREIGN_NONCE], Sha1, md5), denied()),
    ];
    check_rows(&policy, rows);
}

#[test]
fn a_wrong_key_is_unauthenticated() {
    let (policy, parts) = policy_and_parts();
    let (realm, nonce, denied) = (REALM_OF_SERVER, parts.nonce(), || parts.unauthenticated());
    let Parts { md5, .. } = &parts;
    let unassigned: Attribute = (PASSWORD_ALGORITHM, &[0, 9, 0, 0]);
    let rows = [
        ("5: a wrong password", authenticated(&[ANNA, realm, nonce], Sha1, b"wrong"), denied()),
        (
            "5: of two integrity attributes SHA-256 counts",
            with_integrity(authenticated(&[ANNA, realm, nonce], Sha1, md5), Sha256, b"wrong"),
            denied(),
        ),
        (
            "5: the key of the algorithm that was not chosen",
            authenticated(&[ANNA, realm, nonce, LIST, CHOSEN], Sha256, md5),
            denied(),
        ),
        ("5 before 6", authenticated(&[ANNA, realm, FOREIGN_NONCE], Sha1, b"wrong"), denied()),
        (
            "5: an unassigned algorithm",
            authenticated(&[ANNA, realm, FOREIGN_NONCE, unassigned], Sha1, md5),
            denied(),
        ),
    ];
    check_rows(&policy, rows);
}

#[test]
fn a_nonce_that_the_server_did_not_issue_is_stale() {
    let (policy, parts) = policy_and_parts();
    let realm = REALM_OF_SERVER;
    let Parts { md5, sha256, .. } = &parts;
    let longer = [&parts.nonce[..], b"x"].concat();
    let rows = [
        ("6: a foreign nonce", authenticated(&[ANNA, realm, FOREIGN_NONCE], Sha1, md5), parts.stale()),
        (
            "6: the features were removed from the nonce",
            authenticated(&[ANNA, realm, NONCE_WITHOUT_FEATURES], Sha1, md5),
            parts.stale(),
        ),
        (
            "6: a nonce without features, and SHA-256 chosen without a list",
            authenticated(&[ANNA, realm, NONCE_WITHOUT_FEATURES, CHOSEN], Sha256, sha256),
            parts.stale(),
        ),
        (
            "6: a foreign nonce, and MD5 chosen without a list",
            authenticated(&[ANNA, realm, FOREIGN_NONCE, (PASSWORD_ALGORITHM, MD5)], Sha1, md5),
            parts.stale(),
        ),
        ("6: an empty nonce", authenticated(&[ANNA, realm, (NONCE, b"")], Sha1, md5), parts.stale()),
        ("6: a byte too many", authenticated(&[ANNA, realm, (NONCE, &longer)], Sha1, md5), parts.stale()),
    ];
    check_rows(&policy, rows);
}

/// The reply's integrity attribute follows from the password algorithm, and not from the request's attribute.
#[test]
fn the_reply_has_the_integrity_attribute_of_the_algorithm() {
    let (policy, parts) = policy_and_parts();
    let (realm, nonce, userhash) = (REALM_OF_SERVER, parts.nonce(), parts.userhash());
    let Parts { md5, sha256, .. } = &parts;
    let rows = [
        ("MD5, by default", authenticated(&[ANNA, realm, nonce], Sha1, md5), success(Sha1, md5)),
        (
            "MD5, authenticated by MESSAGE-INTEGRITY-SHA256",
            authenticated(&[ANNA, realm, nonce], Sha256, md5),
            success(Sha1, md5),
        ),
        (
            "SHA-256",
            authenticated(&[ANNA, realm, nonce, LIST, CHOSEN], Sha256, sha256),
            success(Sha256, sha256),
        ),
        (
            "SHA-256, authenticated by MESSAGE-INTEGRITY",
            authenticated(&[ANNA, realm, nonce, LIST, CHOSEN], Sha1, sha256),
            success(Sha256, sha256),
        ),
        (
            "SHA-256 with USERHASH",
            authenticated(&[userhash, realm, nonce, LIST, CHOSEN], Sha256, sha256),
            success(Sha256, sha256),
        ),
        ("MD5 with USERHASH", authenticated(&[userhash, realm, nonce], Sha1, md5), success(Sha1, md5)),
    ];
    check_rows(&policy, rows);
}

/// The whole requests of RFC 5769 §2.4 and RFC 8489 B.1, on a server that has their user. Only their nonces
/// are not this server's.
#[test]
fn the_requests_of_the_test_vectors_are_authentic_with_a_stale_nonce() {
    let user: (&[u8], &[u8]) = ("マトリックス".as_bytes(), b"TheMatrIX");
    let policy = long_term_of([user], EXAMPLE_REALM, Nonces::new([7; 32], CoarseClock::default()));
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
}
