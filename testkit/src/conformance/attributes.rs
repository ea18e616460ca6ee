//! How attributes are parsed.

use super::*;
use Outcome::BadAttribute;

pub(super) fn rows() -> Vec<Row> {
    [syntax(), known(), change_request(), integrity()].into_iter().flatten().collect()
}

fn syntax() -> Vec<Row> {
    let section = "RFC 8489 §14";
    let mut dirty = request(&[(SOFTWARE, b"a")]);
    dirty[25..28].copy_from_slice(&[1, 2, 3]);
    let after_integrity =
        with_right_length([request(&[(MESSAGE_INTEGRITY, &[0; 20])]), vec![0x80, 0x22, 0, 1]].concat());
    vec![
        answered(section, "an empty optional attribute", request(&[(0x8000, &[])])),
        answered(section, "the last optional type", request(&[(0xffff, b"?")])),
        answered(section, "padding that is not zero", dirty),
        answered("RFC 8489 §14.14", "SOFTWARE that is not UTF-8", request(&[(SOFTWARE, &[0xff; 3])])),
        answered("RFC 8489 §14.14", "SOFTWARE of 763 bytes", request(&[(SOFTWARE, &[b'x'; 763])])),
        answered(
            section,
            "the same optional attribute twice",
            request(&[(SOFTWARE, b"a"), (SOFTWARE, b"b")]),
        ),
        silence(section, "a length without its padding", raw(&[0x80, 0x22, 0, 5, 1, 2, 3, 4]), BadAttribute),
        silence(section, "the greatest length", raw(&[0x80, 0x22, 0xff, 0xff]), BadAttribute),
        silence(section, "a length one word too great", raw(&[0x80, 0x22, 0, 8, 1, 2, 3, 4]), BadAttribute),
        silence(
            "RFC 8489 §6.3.1",
            "an overrun after an unknown attribute",
            raw(&[0x40, 0, 0, 0, 0x80, 0x22, 0, 1]),
            BadAttribute,
        ),
        silence(section, "an overrun after MESSAGE-INTEGRITY", after_integrity, BadAttribute),
    ]
}

/// Known attributes without a meaning in a Binding request are ignored.
fn known() -> Vec<Row> {
    let section = "RFC 8489 §6.3.1";
    let ignored = |rule, kind, value: &[u8]| answered(section, rule, request(&[(kind, value)]));
    vec![
        ignored("XOR-MAPPED-ADDRESS in a request", XOR_MAPPED_ADDRESS, &[0, 1, 0, 80, 1, 2, 3, 4]),
        ignored("MAPPED-ADDRESS in a request", MAPPED_ADDRESS, &[0, 1, 0, 80, 1, 2, 3, 4]),
        ignored("ERROR-CODE in a request", ERROR_CODE, &[0, 0, 4, 20]),
        ignored("TURN's LIFETIME", 0x000d, &[0, 0, 2, 88]),
        ignored("TURN's REQUESTED-TRANSPORT", 0x0019, &[17, 0, 0, 0]),
        ignored("ICE's PRIORITY", 0x0024, &[0x6e, 0, 1, 0xff]),
        ignored("ICE's PRIORITY with an unusual length", 0x0024, &[0; 3]),
        ignored("ICE's ICE-CONTROLLING", 0x802a, &[7; 8]),
        ignored("REALM", 0x0014, b"example.org"),
        ignored("NONCE", 0x0015, b"obMatJos2AAAA"),
        ignored("USERHASH", 0x001e, &[9; 32]),
        ignored("PASSWORD-ALGORITHM", 0x001d, &[0, 2, 0, 0]),
    ]
}

fn change_request() -> Vec<Row> {
    let section = "RFC 5780 §7.2";
    let flags = |flags: u8| request(&[(CHANGE_REQUEST, &[0, 0, 0, flags])]);
    let sized = |length: usize| request(&[(CHANGE_REQUEST, &[0; 8][..length])]);
    let twice = |first: u8, second: u8| {
        request(&[(CHANGE_REQUEST, &[0, 0, 0, first]), (CHANGE_REQUEST, &[0, 0, 0, second])])
    };
    vec![
        answered(section, "CHANGE-REQUEST with other bits only", flags(0xf9)),
        rejected(section, "change port", flags(2), &[CHANGE_REQUEST]),
        rejected(section, "change IP", flags(4), &[CHANGE_REQUEST]),
        rejected(section, "change both", flags(6), &[CHANGE_REQUEST]),
        silence(section, "an empty CHANGE-REQUEST", sized(0), BadAttribute),
        silence(section, "a CHANGE-REQUEST of three bytes", sized(3), BadAttribute),
        silence(section, "a CHANGE-REQUEST of eight bytes", sized(8), BadAttribute),
        answered("RFC 8489 §14", "the first CHANGE-REQUEST counts: no flag set", twice(0, 6)),
        rejected(
            "RFC 8489 §14",
            "the first CHANGE-REQUEST counts: both flags set",
            twice(6, 0),
            &[CHANGE_REQUEST],
        ),
    ]
}

/// Without credentials MESSAGE-INTEGRITY is not verified, but attributes after it are still ignored.
fn integrity() -> Vec<Row> {
    let integrity: Attribute = (MESSAGE_INTEGRITY, &[0; 20]);
    let sha256: Attribute = (MESSAGE_INTEGRITY_SHA256, &[0; 32]);
    let unknown: Attribute = (0x7fff, &[]);
    let change: Attribute = (CHANGE_REQUEST, &[0, 0, 0, 6]);
    vec![
        answered(
            "RFC 8489 §14.5",
            "an unknown attribute after MESSAGE-INTEGRITY",
            request(&[integrity, unknown]),
        ),
        answered(
            "RFC 8489 §14.6",
            "an unknown attribute after MESSAGE-INTEGRITY-SHA256",
            request(&[sha256, unknown]),
        ),
        answered("RFC 8489 §14.6", "an unknown attribute after both", request(&[integrity, sha256, unknown])),
        answered("RFC 8489 §14.5", "CHANGE-REQUEST after MESSAGE-INTEGRITY", request(&[integrity, change])),
        row(
            "RFC 8489 §14.5",
            "a FINGERPRINT after MESSAGE-INTEGRITY",
            fingerprinted(request(&[integrity])),
            Outcome::Answered,
            address_and_fingerprint(),
        ),
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute before MESSAGE-INTEGRITY",
            request(&[unknown, integrity]),
            &[0x7fff],
        ),
    ]
}
