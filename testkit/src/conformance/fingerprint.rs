//! FINGERPRINT: not required; if present, it is checked and the reply has one.

use super::*;
use Outcome::BadFingerprint;

pub(super) fn rows() -> Vec<Row> {
    let section = "RFC 8489 §14.7";
    let bare = || fingerprinted(request(&[]));
    let misplaced = with_right_length([bare(), vec![0x80, 0x22, 0, 0]].concat());
    let right = |rule, request| row(section, rule, request, Outcome::Answered, address_and_fingerprint());
    let wrong = |rule, request| silence(section, rule, request, BadFingerprint);
    let without_xor = {
        let mut request = bare();
        for (byte, xor) in request[24..].iter_mut().zip(b"STUN") {
            *byte ^= xor;
        }
        request
    };
    let rejection = fingerprinted(rejection(&[0, 0, 4, 20], &[0x4000]));
    vec![
        right("after SOFTWARE", fingerprinted(request(&[(SOFTWARE, b"client")]))),
        wrong("not last", misplaced),
        wrong("three bytes", request(&[(FINGERPRINT, &[1, 2, 3])])),
        wrong("eight bytes", request(&[(FINGERPRINT, &[0; 8])])),
        wrong("empty", request(&[(FINGERPRINT, &[])])),
        wrong("zero", request(&[(FINGERPRINT, &[0; 4])])),
        wrong("twice", fingerprinted(bare())),
        wrong("a CRC not combined with \"STUN\"", without_xor),
        wrong("wrong, together with an unknown attribute", request(&[(0x4000, &[]), (FINGERPRINT, &[0; 4])])),
        row(
            section,
            "on an error reply",
            fingerprinted(request(&[(0x4000, &[])])),
            Outcome::UnknownAttribute,
            ExpectedReply::Bytes(rejection),
        ),
    ]
}
