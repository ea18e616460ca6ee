//! 420 with UNKNOWN-ATTRIBUTES: which types it lists, and its maximum length.

use super::*;

pub(super) fn rows() -> Vec<Row> {
    let section = "RFC 8489 §6.3.1";
    let range = "RFC 8489 §18.3";
    let one = |kind| request(&[(kind, &[])]);
    let many = |count: u16| {
        let kinds: Vec<u16> = (0x5000..0x5000 + count).collect();
        let attributes: Vec<Attribute> = kinds.iter().map(|kind| (*kind, &[][..])).collect();
        (request(&attributes), kinds)
    };
    let (three, _) = many(3);
    let (four, _) = many(4);
    let (five, kinds_of_five) = many(5);
    let (nine, kinds_of_nine) = many(9);
    vec![
        rejected(section, "an unknown required attribute", request(&[(0x4000, &[0; 4])]), &[0x4000]),
        rejected(section, "the last required type", one(0x7fff), &[0x7fff]),
        rejected(range, "type 0 is reserved", one(0), &[0]),
        rejected(range, "type 64", one(64), &[64]),
        rejected(range, "type 65 is not type 1", one(65), &[65]),
        rejected("RFC 5780 §7.6", "PADDING, with RFC 5780 off", request(&[(PADDING, &[0; 4])]), &[PADDING]),
        rejected(
            section,
            "one unknown attribute among known ones",
            request(&[(SOFTWARE, b"x"), (0x4001, &[]), (USERNAME, b"me")]),
            &[0x4001],
        ),
        rejected(
            section,
            "a repeated unknown type is listed once",
            request(&[(0x4001, &[]), (0x4002, &[]), (0x4001, &[])]),
            &[0x4001, 0x4002],
        ),
        // A third type would take 4 more bytes, and the reply would be longer than the request.
        rejected("RFC 8489 §14.13", "as many types as the request has room for", three, &[0x5000, 0x5001]),
        rejected("RFC 8489 §14.13", "four types, and no room for more than two", four, &[0x5000, 0x5001]),
        rejected("RFC 8489 §14.13", "five types, and room for four", five, &kinds_of_five[..4]),
        rejected("RFC 8489 §14.13", "nine types in 56 bytes", nine, &kinds_of_nine),
        rejected_with_reason(
            "RFC 8489 §14.8",
            "the reason phrase, if it fits in the request's length",
            request(&[(0x4000, &[0; 32])]),
            &[0x4000],
        ),
        rejected(
            "RFC 8489 §14.8",
            "no reason phrase if it would be 4 bytes too long",
            request(&[(0x4000, &[0; 28])]),
            &[0x4000],
        ),
    ]
}
