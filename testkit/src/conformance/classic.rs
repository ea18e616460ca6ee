//! Requests without the magic cookie: RFC 3489 as RFC 8489 §11 has it served.

use super::*;

pub(super) fn rows() -> Vec<Row> {
    let served = "RFC 8489 §11";
    let asked = |attributes: &[Attribute]| classic(BINDING_REQUEST, attributes);
    let frugal = [0, 0, 4, 20];
    let reason = [&frugal, &b"Unknown Attribute   "[..]].concat();
    let rejected = |section, rule, request, code: &[u8], list: &[u16]| {
        let reply = classic(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, &types(list))]);
        row(section, rule, request, Outcome::UnknownAttribute, Owed::Bytes(reply))
    };
    let mut rows = vec![
        answered_classic(
            served,
            "FINGERPRINT means nothing",
            asked(&[(FINGERPRINT, &[0; 4]), (SOFTWARE, b"x")]),
        ),
        answered_classic(
            "RFC 3489 §11.2.2",
            "RESPONSE-ADDRESS diverts nothing",
            asked(&[(RESPONSE_ADDRESS, &[0, 1, 0, 80, 203, 0, 113, 9])]),
        ),
        rejected(
            "RFC 3489 §11.2.10",
            "an odd list repeats its last type",
            asked(&[(CHANGE_REQUEST, &[0, 0, 0, 6])]),
            &frugal,
            &[3, 3],
        ),
        rejected(
            "RFC 3489 §11.2.10",
            "an even list repeats none",
            asked(&[(0x4001, &[]), (0x4000, &[])]),
            &frugal,
            &[0x4001, 0x4000],
        ),
        rejected(
            "RFC 3489 §11.2.9",
            "a reason phrase is filled up with spaces",
            asked(&[(0x4001, &[0; 40])]),
            &reason,
            &[0x4001, 0x4001],
        ),
        silence(
            "RFC 3489 §8.1",
            "an overrun",
            with_right_length([asked(&[]), vec![0x80, 0x22, 0, 1]].concat()),
            Outcome::BadAttribute,
        ),
    ];
    for byte in 0..4 {
        let mut transaction = request(&[])[4..20].to_vec();
        transaction[byte] ^= 1;
        let request = with_transaction(BINDING_REQUEST, &transaction, &[]);
        rows.push(answered_classic("RFC 8489 §5", "a cookie that is wrong in one bit", request));
    }
    rows
}
