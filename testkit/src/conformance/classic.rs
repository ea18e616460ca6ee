//! Requests without the magic cookie: RFC 3489 as RFC 8489 §11 requires it to be served.

use super::*;

pub(super) fn rows() -> Vec<Row> {
    let section = "RFC 8489 §11";
    let request_with = |attributes: &[Attribute]| classic(BINDING_REQUEST, attributes);
    let without_reason = [0, 0, 4, 20];
    let with_reason = [&without_reason, &b"Unknown Attribute   "[..]].concat();
    let rejected = |section, rule, request, code: &[u8], list: &[u16]| {
        let reply = classic(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, &types(list))]);
        row(section, rule, request, Outcome::UnknownAttribute, ExpectedReply::Bytes(reply))
    };
    let mut rows = vec![
        answered_classic(
            section,
            "FINGERPRINT is ignored",
            request_with(&[(FINGERPRINT, &[0; 4]), (SOFTWARE, b"x")]),
        ),
        answered_classic(
            "RFC 3489 §11.2.2",
            "RESPONSE-ADDRESS is ignored",
            request_with(&[(RESPONSE_ADDRESS, &[0, 1, 0, 80, 203, 0, 113, 9])]),
        ),
        rejected(
            "RFC 3489 §11.2.10",
            "an odd list repeats its last type",
            request_with(&[(CHANGE_REQUEST, &[0, 0, 0, 6])]),
            &without_reason,
            &[3, 3],
        ),
        rejected(
            "RFC 3489 §11.2.10",
            "an even list repeats no type",
            request_with(&[(0x4001, &[]), (0x4000, &[])]),
            &without_reason,
            &[0x4001, 0x4000],
        ),
        rejected(
            "RFC 3489 §11.2.9",
            "a reason phrase is padded with spaces",
            request_with(&[(0x4001, &[0; 40])]),
            &with_reason,
            &[0x4001, 0x4001],
        ),
        silence(
            "RFC 3489 §8.1",
            "an overrun",
            with_right_length([request_with(&[]), vec![0x80, 0x22, 0, 1]].concat()),
            Outcome::BadAttribute,
        ),
    ];
    for byte in 0..4 {
        let mut transaction = request(&[])[4..20].to_vec();
        transaction[byte] ^= 1;
        let request = with_transaction(BINDING_REQUEST, &transaction, &[]);
        rows.push(answered_classic("RFC 8489 §5", "a cookie with one wrong bit", request));
    }
    rows
}
