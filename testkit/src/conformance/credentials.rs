//! A server that knows its users, by short-term credentials. Challenges of long-term ones are never the same
//! twice, so they have tests of their own.

use super::*;
use Outcome::{BadRequest, Unauthenticated};
use hmac::{Hmac, Mac as _};

/// `message` with a MESSAGE-INTEGRITY by [`PASSWORD`] (RFC 8489 §14.5).
pub(super) fn sealed(message: Vec<u8>) -> Vec<u8> {
    signed(message, PASSWORD)
}

fn signed(message: Vec<u8>, password: &str) -> Vec<u8> {
    // The length counts the attribute, and the value covers all before it.
    let mut covered = message;
    covered.extend_from_slice(&[0; 24]);
    let mut covered = with_right_length(covered);
    covered.truncate(covered.len() - 24);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).unwrap();
    mac.update(&covered);
    [&covered[..], &[0, 8, 0, 20], &mac.finalize().into_bytes()].concat()
}

/// `message` with a MESSAGE-INTEGRITY-SHA256 by [`PASSWORD`] (RFC 8489 §14.6).
pub(super) fn sealed_by_sha256(message: Vec<u8>) -> Vec<u8> {
    let mut covered = message;
    covered.extend_from_slice(&[0; 36]);
    let mut covered = with_right_length(covered);
    covered.truncate(covered.len() - 36);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    mac.update(&covered);
    [&covered[..], &[0, 0x1c, 0, 32], &mac.finalize().into_bytes()].concat()
}

pub(super) fn rows() -> Vec<Row> {
    let rule = "RFC 8489 §9.1.3";
    let name: Attribute = (USERNAME, USER.as_bytes());
    let user = || request(&[name]);
    let error = |number: u8| Owed::Bytes(message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, 4, number])]));
    let right = |rule_of, what, request, owed| row(rule_of, what, request, Outcome::Answered, owed);
    let mut flipped = sealed(user());
    flipped[25] ^= 1;
    let name_behind = with_right_length([sealed(request(&[])), b"\0\x06\0\x04evtj".to_vec()].concat());
    let rows = vec![
        right(rule, "who knows the password", sealed(user()), Owed::Sealed),
        right("RFC 8489 §14.6", "by SHA-256", sealed_by_sha256(user()), Owed::SealedBySha256),
        right(
            "RFC 8489 §14.7",
            "with FINGERPRINT",
            fingerprinted(sealed(user())),
            Owed::Fingerprinted(Box::new(Owed::Sealed)),
        ),
        right(
            "RFC 8489 §9.1.3",
            "of both proofs the SHA-256 counts, and comes back",
            sealed_by_sha256(signed(user(), "password")),
            Owed::SealedBySha256,
        ),
        row(rule, "neither name nor proof", request(&[]), BadRequest, error(0)),
        row(rule, "a name without proof", user(), BadRequest, error(0)),
        row(rule, "a proof without name", sealed(request(&[])), BadRequest, error(0)),
        row(rule, "a wrong password", signed(user(), "password"), Unauthenticated, error(1)),
        row(rule, "an unknown name", sealed(request(&[(USERNAME, b"nobody")])), Unauthenticated, error(1)),
        row(rule, "another name under the proof", flipped, Unauthenticated, error(1)),
        row("RFC 8489 §14.5", "a name behind the proof", name_behind, BadRequest, error(0)),
        row(
            "RFC 8489 §6.3",
            "credentials go before unknown attributes",
            request(&[name, (0x4000, &[])]),
            BadRequest,
            error(0),
        ),
        silence(
            "RFC 3489 §11.2.8",
            "a classic request proves nothing",
            classic(BINDING_REQUEST, &[]),
            Outcome::NoCookie,
        ),
        silence(
            "RFC 8489 §6.3",
            "syntax goes before credentials",
            raw(&[0x80, 0x22, 0, 9, 1, 2, 3, 4]),
            Outcome::BadAttribute,
        ),
    ];
    rows.into_iter().map(|row| Row { setting: Setting::ShortTerm, ..row }).collect()
}
