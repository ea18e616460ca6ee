//! What an operator can switch on, one setting for each.

use super::credentials::sealed;
use super::*;
use Outcome::{BadAttribute, BadRequest, Redirected, ZeroTransaction};

pub(super) fn rows() -> Vec<Row> {
    let set = |setting, rows: Vec<Row>| rows.into_iter().map(move |row| Row { setting, ..row });
    set(Setting::NoClassic, no_classic())
        .chain(set(Setting::NoZeroTransaction, no_zero_transaction()))
        .chain(set(Setting::Software, software()))
        .chain(set(Setting::Elsewhere, elsewhere()))
        .chain(set(Setting::Discovery, discovery()))
        .chain(set(Setting::Advertised, advertised()))
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
        told("behind the address", request(&[]), Outcome::Answered, Owed::AddressAndSoftware),
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
    let one = |address| {
        let value = super::row::address(address, &[0; 16]);
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

fn discovery() -> Vec<Row> {
    let section = "RFC 5780 §6.1";
    let port = "RFC 5780 §7.5";
    let change = |flags: u8| request(&[(CHANGE_REQUEST, &[0, 0, 0, flags])]);
    let told = |section, rule, request, diverted| {
        let owed = Owed::Discovery;
        Row { diverted, ..row(section, rule, request, Outcome::Answered, owed) }
    };
    let from = |address, port| Diverted { address, port, to: None };
    let to = |port| Diverted { to: Some(port), ..Diverted::default() };
    let bad = |section, rule, request, reason: &[u8]| {
        let code = [&[0, 0, 4, 0], reason].concat();
        let reply = message(BINDING_ERROR, &[(ERROR_CODE, &code)]);
        row(section, rule, request, BadRequest, Owed::Bytes(reply))
    };
    let padded = Row {
        owed: Owed::PaddedDiscovery,
        ..told(
            "RFC 5780 §7.6",
            "PADDING as long as the request allows",
            request(&[(PADDING, &[0xee; 500])]),
            from(false, false),
        )
    };
    let classic_change = Row {
        diverted: from(true, true),
        ..row(
            "RFC 3489 §8.1",
            "a classic client's change of both",
            classic(BINDING_REQUEST, &[(CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Outcome::AnsweredClassic,
            Owed::ClassicDiscovery,
        )
    };
    vec![
        told(section, "a plain request is told of both endpoints", request(&[]), from(false, false)),
        told(section, "no flag, no change", change(0), from(false, false)),
        told(section, "change port", change(2), from(false, true)),
        told(section, "change IP", change(4), from(true, false)),
        told(section, "change both", change(6), from(true, true)),
        told(port, "RESPONSE-PORT of two bytes", request(&[(RESPONSE_PORT, &[0x9c, 0x41])]), to(40_001)),
        told(
            port,
            "RESPONSE-PORT of four bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x42, 0, 0])]),
            to(40_002),
        ),
        told(
            port,
            "the first RESPONSE-PORT counts",
            request(&[(RESPONSE_PORT, &[0x9c, 0x43]), (RESPONSE_PORT, &[0, 0])]),
            to(40_003),
        ),
        told(
            "RFC 5780 §7.2, §7.5",
            "another port, from another address and port: turnutils_stunclient -f",
            request(&[(RESPONSE_PORT, &[0x9c, 0x44, 0, 0]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Diverted { to: Some(40_004), ..from(true, true) },
        ),
        silence(
            port,
            "RESPONSE-PORT of three bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0])]),
            BadAttribute,
        ),
        bad(port, "nobody listens at port 0", request(&[(RESPONSE_PORT, &[0; 4])]), b""),
        bad(
            section,
            "RESPONSE-PORT excludes PADDING",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0, 0]), (PADDING, &[0; 16])]),
            b"Bad Request",
        ),
        padded,
        row(
            "RFC 3489 §11.2.5",
            "a classic client is told in its own terms",
            classic(BINDING_REQUEST, &[]),
            Outcome::AnsweredClassic,
            Owed::ClassicDiscovery,
        ),
        classic_change,
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute outweighs CHANGE-REQUEST",
            request(&[(0x7ff0, &[]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            &[0x7ff0],
        ),
    ]
}

/// The reply leaves from the local address, and tells the public one.
fn advertised() -> Vec<Row> {
    let section = "RFC 5780 §7.3, §7.4";
    let asked = |rule, request, outcome, owed, both| {
        let diverted = Diverted { address: both, port: both, to: None };
        Row { diverted, ..row(section, rule, request, outcome, owed) }
    };
    let change: Attribute = (CHANGE_REQUEST, &[0, 0, 0, 6]);
    let (cookie, classic_one) = (Owed::Discovery, Owed::ClassicDiscovery);
    let unchanged = classic(BINDING_REQUEST, &[]);
    vec![
        asked("a plain request", request(&[]), Outcome::Answered, cookie.clone(), false),
        asked("a change of both", request(&[change]), Outcome::Answered, cookie, true),
        asked("a classic request", unchanged, Outcome::AnsweredClassic, classic_one, false),
    ]
}
