//! Short-term credentials. The challenges of long-term credentials differ each time, so separate tests cover
//! them.

use super::*;
use Outcome::{BadRequest, Unauthenticated};
use hmac::{Hmac, Mac as _};

/// Returns `message` with MESSAGE-INTEGRITY keyed with [`PASSWORD`] (RFC 8489 §14.5).
pub(super) fn authenticated(message: Vec<u8>) -> Vec<u8> {
    authenticated_with(message, PASSWORD)
}

fn authenticated_with(message: Vec<u8>, password: &str) -> Vec<u8> {
    // The length field includes the attribute, and the value covers everything before it.
    let mut covered = message;
    covered.extend_from_slice(&[0; 24]);
    let mut covered = with_right_length(covered);
    covered.truncate(covered.len() - 24);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(password.as_bytes()).unwrap();
    mac.update(&covered);
    [&covered[..], &[0, 8, 0, 20], &mac.finalize().into_bytes()].concat()
}

/// Returns `message` with MESSAGE-INTEGRITY-SHA256 keyed with [`PASSWORD`] (RFC 8489 §14.6).
pub(super) fn authenticated_by_sha256(message: Vec<u8>) -> Vec<u8> {
    let mut covered = message;
    covered.extend_from_slice(&[0; 36]);
    let mut covered = with_right_length(covered);
    covered.truncate(covered.len() - 36);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    mac.update(&covered);
    [&covered[..], &[0, 0x1c, 0, 32], &mac.finalize().into_bytes()].concat()
}

pub(super) fn rows() -> Vec<Row> {
    let rows = [authenticated_requests(), refused_requests()].into_iter().flatten();
    rows.map(|row| Row { setting: Setting::ShortTerm, ..row }).collect()
}

/// A request with [`USER`] as USERNAME, and without integrity.
fn user() -> Vec<u8> {
    request(&[(USERNAME, USER.as_bytes())])
}

fn authenticated_requests() -> Vec<Row> {
    let section = "RFC 8489 §9.1.3";
    let right = |section, rule, request, expected| row(section, rule, request, Outcome::Answered, expected);
    vec![
        right(section, "the right password", authenticated(user()), ExpectedReply::Authenticated),
        right(
            "RFC 8489 §14.6",
            "MESSAGE-INTEGRITY-SHA256",
            authenticated_by_sha256(user()),
            ExpectedReply::AuthenticatedBySha256,
        ),
        right(
            "RFC 8489 §14.7",
            "with FINGERPRINT",
            fingerprinted(authenticated(user())),
            ExpectedReply::Fingerprinted(Box::new(ExpectedReply::Authenticated)),
        ),
        right(
            "RFC 8489 §9.1.3",
            "of both attributes, the SHA-256 one is verified and used in the reply",
            authenticated_by_sha256(authenticated_with(user(), "password")),
            ExpectedReply::AuthenticatedBySha256,
        ),
    ]
}

/// Refused with an error or without a reply.
fn refused_requests() -> Vec<Row> {
    let section = "RFC 8489 §9.1.3";
    let name: Attribute = (USERNAME, USER.as_bytes());
    let error =
        |number: u8| ExpectedReply::Bytes(message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, 4, number])]));
    let mut flipped = authenticated(user());
    flipped[25] ^= 1;
    let name_after = with_right_length([authenticated(request(&[])), b"\0\x06\0\x04evtj".to_vec()].concat());
    vec![
        row(section, "neither USERNAME nor integrity", request(&[]), BadRequest, error(0)),
        row(section, "USERNAME without integrity", user(), BadRequest, error(0)),
        row(section, "integrity without USERNAME", authenticated(request(&[])), BadRequest, error(0)),
        row(section, "a wrong password", authenticated_with(user(), "password"), Unauthenticated, error(1)),
        row(
            section,
            "an unknown USERNAME",
            authenticated(request(&[(USERNAME, b"nobody")])),
            Unauthenticated,
            error(1),
        ),
        row(
            section,
            "a USERNAME changed after the integrity was computed",
            flipped,
            Unauthenticated,
            error(1),
        ),
        row("RFC 8489 §14.5", "USERNAME after MESSAGE-INTEGRITY", name_after, BadRequest, error(0)),
        row(
            "RFC 8489 §6.3",
            "credentials are checked before unknown attributes",
            request(&[name, (0x4000, &[])]),
            BadRequest,
            error(0),
        ),
        silence(
            "RFC 3489 §11.2.8",
            "a classic request cannot be authenticated",
            classic(BINDING_REQUEST, &[]),
            Outcome::NoCookie,
        ),
        silence(
            "RFC 8489 §6.3",
            "the syntax is checked before credentials",
            raw(&[0x80, 0x22, 0, 9, 1, 2, 3, 4]),
            Outcome::BadAttribute,
        ),
    ]
}
