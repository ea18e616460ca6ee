//! Requests that other servers answer although they must not, or answer wrongly or not at all.

use super::*;

pub(super) fn rows() -> Vec<Row> {
    [silences(), replies()].into_iter().flatten().collect()
}

/// Requests that must not be answered, and that other servers answer.
fn silences() -> Vec<Row> {
    let mut trailing = request(&[]);
    trailing.extend_from_slice(&[0; 4]);
    let mut wrong = fingerprinted(request(&[]));
    wrong[27] ^= 1;
    vec![
        silence(
            "RFC 8489 §14",
            "an attribute overruns the message (coturn, turn-rs answer)",
            raw(&[0x80, 0x22, 0, 9, 1, 2, 3, 4]),
            Outcome::BadAttribute,
        ),
        silence(
            "RFC 8489 §5",
            "a length that is not a multiple of four (turn-rs exits)",
            raw(&[0x80, 0x22, 0]),
            Outcome::BadLength,
        ),
        silence(
            "RFC 8489 §6.3",
            "bytes after the message (turn-rs, eturnal, pion answer)",
            trailing,
            Outcome::BadLength,
        ),
        silence(
            "RFC 8489 §14.7",
            "a wrong FINGERPRINT (stuntman, turn-rs answer success)",
            wrong,
            Outcome::BadFingerprint,
        ),
        silence(
            "RFC 8489 §6.3",
            "another method (stuntman answers 400)",
            message(0x0003, &[(0x0019, &[17, 0, 0, 0])]),
            Outcome::OtherMethod,
        ),
    ]
}

/// Requests that other servers answer wrongly or not at all.
fn replies() -> Vec<Row> {
    let thirteen: Vec<Attribute> = (0x4000..0x400d).map(|kind| (kind, &[][..])).collect();
    let twelve: Vec<u16> = (0x4000..0x400c).collect();
    vec![
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown required attribute (stuntman, turn-rs answer success)",
            request(&[(0x4242, &[0; 4])]),
            &[0x4242],
        ),
        answered("RFC 8445 §16.1", "USE-CANDIDATE is known (coturn sends 420)", request(&[(0x0025, &[])])),
        answered(
            "RFC 8489 §14.6",
            "MESSAGE-INTEGRITY-SHA256 is known (coturn sends 420)",
            request(&[(MESSAGE_INTEGRITY_SHA256, &[0; 32])]),
        ),
        rejected(
            "RFC 5780 §7.5",
            "RESPONSE-PORT has no effect (stuntman obeys it)",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0, 0])]),
            &[RESPONSE_PORT],
        ),
        answered(
            "RFC 8489 §11",
            "RESPONSE-ADDRESS has no effect",
            request(&[(RESPONSE_ADDRESS, &[0, 1, 0, 80, 203, 0, 113, 9])]),
        ),
        rejected(
            "RFC 8489 §6.3.1",
            "more than twelve unknown required attributes (stuntman drops)",
            request(&thirteen),
            &twelve,
        ),
    ]
}
