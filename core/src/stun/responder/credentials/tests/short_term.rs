//! The checks of short-term credentials (RFC 8489 §9.1.3).

use super::*;

fn bad_request() -> (Outcome, Vec<u8>) {
    (BadRequest, bare_error([4, 0]))
}

fn unauthenticated() -> (Outcome, Vec<u8>) {
    (Unauthenticated, bare_error([4, 1]))
}

#[test]
fn a_request_without_name_or_integrity_is_a_bad_request() {
    let name_after_integrity = {
        let mut request = authenticated(&[], Sha1, ANNAS_PASSWORD);
        request.extend_from_slice(&[0, 6, 0, 4, b'a', b'n', b'n', b'a']);
        messages::with_right_length(request)
    };
    let userhash: Attribute = (USERHASH, &userhash(b"anna", b""));
    let rows = [
        ("neither integrity nor name", message(BINDING_REQUEST, &[]), bad_request()),
        ("only a name", message(BINDING_REQUEST, &[ANNA]), bad_request()),
        ("only an integrity attribute", authenticated(&[], Sha1, ANNAS_PASSWORD), bad_request()),
        ("only an integrity attribute", authenticated(&[], Sha256, ANNAS_PASSWORD), bad_request()),
        (
            "USERHASH belongs to long-term credentials",
            authenticated(&[userhash], Sha1, ANNAS_PASSWORD),
            bad_request(),
        ),
        ("a name after the integrity attribute does not count", name_after_integrity, bad_request()),
    ];
    check_rows(&short_term(), rows);
}

#[test]
fn an_unknown_name_and_a_wrong_password_are_unauthenticated() {
    let other_name: Attribute = (USERNAME, b"otto");
    let wrong_sha256 = with_integrity(authenticated(&[ANNA], Sha1, ANNAS_PASSWORD), Sha256, b"wrong");
    let rows = [
        ("an unknown name", authenticated(&[other_name], Sha1, ANNAS_PASSWORD), unauthenticated()),
        ("an unknown name, an empty password", authenticated(&[other_name], Sha256, b""), unauthenticated()),
        ("an empty name", authenticated(&[(USERNAME, b"")], Sha1, b""), unauthenticated()),
        ("the password of another user", authenticated(&[ANNA], Sha1, b"zz top"), unauthenticated()),
        ("the password of another user", authenticated(&[ANNA], Sha256, b"zz top"), unauthenticated()),
        ("of two integrity attributes SHA-256 counts", wrong_sha256, unauthenticated()),
    ];
    check_rows(&short_term(), rows);
}

#[test]
fn the_reply_has_the_integrity_attribute_that_was_checked() {
    let both = with_integrity(authenticated(&[ANNA], Sha1, ANNAS_PASSWORD), Sha256, ANNAS_PASSWORD);
    let wrong_sha1 = with_integrity(authenticated(&[ANNA], Sha1, b"wrong"), Sha256, ANNAS_PASSWORD);
    let two_names = authenticated(&[ANNA, (USERNAME, b"zoe")], Sha1, ANNAS_PASSWORD);
    let rows = [
        ("SHA-1", authenticated(&[ANNA], Sha1, ANNAS_PASSWORD), success(Sha1, ANNAS_PASSWORD)),
        ("SHA-256", authenticated(&[ANNA], Sha256, ANNAS_PASSWORD), success(Sha256, ANNAS_PASSWORD)),
        ("both are valid: the reply has one", both, success(Sha256, ANNAS_PASSWORD)),
        ("of two integrity attributes SHA-256 counts", wrong_sha1, success(Sha256, ANNAS_PASSWORD)),
        ("of two names the first counts", two_names, success(Sha1, ANNAS_PASSWORD)),
    ];
    check_rows(&short_term(), rows);
}

/// RFC 5769 §2.1 has a FINGERPRINT after the integrity attribute.
#[test]
fn a_fingerprint_after_the_integrity_attribute_is_allowed() {
    let password: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
    let policy = with(Credentials::ShortTerm(ShortTerm::new([(&b"evtj:h6vY"[..], password)])));
    let request = fingerprinted(authenticated(&[(USERNAME, b"evtj:h6vY")], Sha1, password));
    assert_eq!(ask(&policy, &request).0, Answered);
}
