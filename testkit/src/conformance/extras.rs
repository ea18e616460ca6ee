//! What an operator can switch on, one setting for each.

use super::credentials::sealed;
use super::*;
use Outcome::{BadRequest, Redirected, ZeroTransaction};

pub(super) fn rows() -> Vec<Row> {
    let set = |setting, rows: Vec<Row>| rows.into_iter().map(move |row| Row { setting, ..row });
    set(Setting::NoClassic, no_classic())
        .chain(set(Setting::NoZeroTransaction, no_zero_transaction()))
        .chain(set(Setting::Software, software()))
        .chain(set(Setting::Elsewhere, elsewhere()))
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
        silence(section, "a classic one of zeros", of([0; 16]), ZeroTransaction),
        answered_classic(section, "one bit makes it a transaction", of(last)),
        answered(section, "any other", request(&[])),
    ]
}

fn software() -> Vec<Row> {
    let section = "RFC 8489 §14.14";
    let told = |rule, request, outcome, owed| row(section, rule, request, outcome, owed);
    vec![
        told("behind the address", request(&[]), Outcome::Answered, Owed::AddressAnd(SOFTWARE, NAME)),
        told(
            "before FINGERPRINT",
            fingerprinted(request(&[])),
            Outcome::Answered,
            Owed::Fingerprinted(Box::new(Owed::AddressAnd(SOFTWARE, NAME))),
        ),
        answered_classic(section, "not for RFC 3489 clients", classic(BINDING_REQUEST, &[])),
        rejected(section, "not in an error response", request(&[(0x4000, &[])]), &[0x4000]),
    ]
}

fn elsewhere() -> Vec<Row> {
    let section = "RFC 8489 §14.8";
    let name: Attribute = (USERNAME, USER.as_bytes());
    let error = |number: [u8; 2], rest: &[Attribute]| {
        let code = [0, 0, number[0], number[1]];
        message(BINDING_ERROR, &[&[(ERROR_CODE, &code[..])], rest].concat())
    };
    let one = |server| {
        let value = row::address(server, &[0; 16]);
        sealed(error([3, 0], &[(ALTERNATE_SERVER, &value)]))
    };
    let v4 = one(SocketAddr::V4(ELSEWHERE_V4));
    let v6 = one(SocketAddr::V6(ELSEWHERE_V6));
    // Long enough for one server of either version of IP, and too short for both.
    let user = sealed(request(&[name, (SOFTWARE, &[b'x'; 28])]));
    let unknown = sealed(error([4, 20], &[(UNKNOWN_ATTRIBUTES, &[0x40, 0])]));
    vec![
        row(section, "a user, by the own version of IP", user, Redirected, Owed::ByVersion { v4, v6 }),
        row(
            section,
            "a request that is shorter than the redirection",
            sealed(request(&[name])),
            Outcome::Answered,
            Owed::Sealed,
        ),
        row(
            section,
            "nobody who has proven nothing",
            request(&[(SOFTWARE, &[b'x'; 40])]),
            BadRequest,
            Owed::Bytes(error([4, 0], &[])),
        ),
        row(
            "RFC 8489 §6.3.1",
            "an unknown attribute goes before",
            sealed(request(&[name, (0x4000, &[])])),
            Outcome::UnknownAttribute,
            Owed::Bytes(unknown),
        ),
    ]
}
