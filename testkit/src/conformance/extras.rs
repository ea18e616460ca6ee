//! The options of the operator, one setting each.

use super::credentials::authenticated;
use super::*;
use Outcome::{BadRequest, Redirected, ZeroTransaction};

pub(super) fn rows() -> Vec<Row> {
    let set = |setting, rows: Vec<Row>| rows.into_iter().map(move |row| Row { setting, ..row });
    set(Setting::NoClassic, no_classic())
        .chain(set(Setting::NoZeroTransaction, no_zero_transaction()))
        .chain(set(Setting::Software, software()))
        .chain(set(Setting::AlternateServer, alternate_server()))
        .collect()
}

fn no_classic() -> Vec<Row> {
    let section = "RFC 8489 §11";
    let unknown = classic(BINDING_REQUEST, &[(0x4000, &[])]);
    vec![
        silence(section, "a classic request", classic(BINDING_REQUEST, &[]), Outcome::NoCookie),
        silence(section, "a classic request with an unknown attribute", unknown, Outcome::NoCookie),
        answered(section, "a request with cookie", request(&[])),
    ]
}

fn no_zero_transaction() -> Vec<Row> {
    let section = "RFC 8489 §5";
    let of = |transaction: [u8; 16]| with_transaction(BINDING_REQUEST, &transaction, &[]);
    let [c0, c1, c2, c3] = COOKIE;
    let mut last = [0; 16];
    last[15] = 1;
    vec![
        silence(
            section,
            "a scanner's transaction ID",
            of([c0, c1, c2, c3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ZeroTransaction,
        ),
        silence(section, "a classic transaction ID of zeros", of([0; 16]), ZeroTransaction),
        answered_classic(section, "a transaction ID with one bit set", of(last)),
        answered(section, "any other transaction ID", request(&[])),
    ]
}

fn software() -> Vec<Row> {
    let section = "RFC 8489 §14.14";
    let named = |rule, request, outcome, expected| row(section, rule, request, outcome, expected);
    vec![
        named(
            "after the mapped address",
            request(&[]),
            Outcome::Answered,
            ExpectedReply::AddressAnd(SOFTWARE, NAME),
        ),
        named(
            "before FINGERPRINT",
            fingerprinted(request(&[])),
            Outcome::Answered,
            ExpectedReply::Fingerprinted(Box::new(ExpectedReply::AddressAnd(SOFTWARE, NAME))),
        ),
        answered_classic(section, "not in a reply to a classic request", classic(BINDING_REQUEST, &[])),
        rejected(section, "not in an error response", request(&[(0x4000, &[])]), &[0x4000]),
    ]
}

fn alternate_server() -> Vec<Row> {
    let section = "RFC 8489 §14.8";
    let name: Attribute = (USERNAME, USER.as_bytes());
    let error = |number: [u8; 2], rest: &[Attribute]| {
        let code = [0, 0, number[0], number[1]];
        message(BINDING_ERROR, &[&[(ERROR_CODE, &code[..])], rest].concat())
    };
    let redirection = |server| {
        let value = row::address(server, &[0; 16]);
        authenticated(error([3, 0], &[(ALTERNATE_SERVER, &value)]))
    };
    let v4 = redirection(SocketAddr::V4(ALTERNATE_V4));
    let v6 = redirection(SocketAddr::V6(ALTERNATE_V6));
    // Long enough for the server of either address family, too short for both.
    let user = authenticated(request(&[name, (SOFTWARE, &[b'x'; 28])]));
    let unknown = authenticated(error([4, 20], &[(UNKNOWN_ATTRIBUTES, &[0x40, 0])]));
    vec![
        row(
            section,
            "a user, to the server of the same address family",
            user,
            Redirected,
            ExpectedReply::ByVersion { v4, v6 },
        ),
        row(
            section,
            "a request that is shorter than the redirection is answered",
            authenticated(request(&[name])),
            Outcome::Answered,
            ExpectedReply::Authenticated,
        ),
        row(
            section,
            "an unauthenticated client is not redirected",
            request(&[(SOFTWARE, &[b'x'; 40])]),
            BadRequest,
            ExpectedReply::Bytes(error([4, 0], &[])),
        ),
        row(
            "RFC 8489 §6.3.1",
            "an unknown attribute takes precedence",
            authenticated(request(&[name, (0x4000, &[])])),
            Outcome::UnknownAttribute,
            ExpectedReply::Bytes(unknown),
        ),
    ]
}
