//! NAT behaviour discovery by RFC 5780 and by RFC 3489.

use super::*;
use Outcome::{Answered, AnsweredClassic, BadAttribute, BadRequest};

const SECTION: &str = "RFC 5780 §6.1";
const PORT_SECTION: &str = "RFC 5780 §7.5";

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        changes(),
        classic_changes(),
        response_ports(),
        bad_response_ports(),
        padding(),
        contradictions(),
        precedence(),
    ];
    let set = |setting, rows: Vec<Row>| rows.into_iter().map(move |row| Row { setting, ..row });
    let discovery = set(Setting::Discovery, groups.into_iter().flatten().collect());
    discovery.chain(set(Setting::Advertised, advertised())).collect()
}

/// A request with CHANGE-REQUEST; flag 2 requests the other port, flag 4 the other address.
fn change(flags: u8) -> Vec<u8> {
    request(&[(CHANGE_REQUEST, &[0, 0, 0, flags])])
}

/// The reply is sent from the other address, or from the other port.
fn from(address: bool, port: bool) -> Diverted {
    Diverted { address, port, to: None }
}

/// The reply is sent to this port of the source.
fn to(port: u16) -> Diverted {
    Diverted { to: Some(port), ..Diverted::default() }
}

/// A request that is answered with the addresses of RFC 5780.
fn discovered(section: &'static str, rule: &'static str, request: Vec<u8>, diverted: Diverted) -> Row {
    Row { diverted, ..row(section, rule, request, Answered, ExpectedReply::Discovery) }
}

fn changes() -> Vec<Row> {
    vec![
        discovered(SECTION, "a plain request gets both endpoints", request(&[]), from(false, false)),
        discovered(SECTION, "no flag set", change(0), from(false, false)),
        discovered(SECTION, "change port", change(2), from(false, true)),
        discovered(SECTION, "change IP", change(4), from(true, false)),
        discovered(SECTION, "change both", change(6), from(true, true)),
    ]
}

fn classic_changes() -> Vec<Row> {
    let answered = |section, rule, attributes: &[Attribute], diverted| Row {
        diverted,
        ..row(
            section,
            rule,
            classic(BINDING_REQUEST, attributes),
            AnsweredClassic,
            ExpectedReply::ClassicDiscovery,
        )
    };
    let change = |rule, flags: u8, diverted| {
        answered("RFC 3489 §8.1", rule, &[(CHANGE_REQUEST, &[0, 0, 0, flags])], diverted)
    };
    vec![
        answered("RFC 3489 §11.2.5", "a classic client gets RFC 3489's attributes", &[], from(false, false)),
        change("a classic client's change without a flag", 0, from(false, false)),
        change("a classic client's change of the port", 2, from(false, true)),
        change("a classic client's change of the address", 4, from(true, false)),
        change("a classic client's change of both", 6, from(true, true)),
    ]
}

fn response_ports() -> Vec<Row> {
    vec![
        discovered(
            PORT_SECTION,
            "RESPONSE-PORT of two bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41])]),
            to(40_001),
        ),
        discovered(
            PORT_SECTION,
            "RESPONSE-PORT of four bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x42, 0, 0])]),
            to(40_002),
        ),
        discovered(
            PORT_SECTION,
            "of two RESPONSE-PORTs the first counts",
            request(&[(RESPONSE_PORT, &[0x9c, 0x43]), (RESPONSE_PORT, &[0, 0])]),
            to(40_003),
        ),
        discovered(
            "RFC 5780 §7.2, §7.5",
            "RESPONSE-PORT with both change flags: turnutils_stunclient -f",
            request(&[(RESPONSE_PORT, &[0x9c, 0x44, 0, 0]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Diverted { to: Some(40_004), ..from(true, true) },
        ),
        discovered(
            "RFC 5780 §7.2, §7.5",
            "the first RESPONSE-PORT counts, also with CHANGE-REQUEST",
            request(&[
                (RESPONSE_PORT, &[0x9c, 0x45]),
                (CHANGE_REQUEST, &[0, 0, 0, 6]),
                (RESPONSE_PORT, &[9, 9]),
            ]),
            Diverted { to: Some(40_005), ..from(true, true) },
        ),
        discovered(
            PORT_SECTION,
            "RESPONSE-PORT whose padding is not zero",
            request(&[(RESPONSE_PORT, &[0x9c, 0x46, 0xab, 0xcd])]),
            to(40_006),
        ),
    ]
}

fn bad_response_ports() -> Vec<Row> {
    let bad =
        |rule, value: &[u8]| silence(PORT_SECTION, rule, request(&[(RESPONSE_PORT, value)]), BadAttribute);
    vec![
        bad("RESPONSE-PORT without value", &[]),
        bad("RESPONSE-PORT of one byte", &[1]),
        bad("RESPONSE-PORT of three bytes", &[0x9c, 0x41, 0]),
        bad("RESPONSE-PORT of eight bytes", &[0; 8]),
    ]
}

/// The reply is padded with zeros to the request's length.
fn padding() -> Vec<Row> {
    let section = "RFC 5780 §7.6";
    let padded = |rule, length| {
        let request = request(&[(PADDING, &vec![0xee; length])]);
        let row = |rule, request, expected| row(section, rule, request, Answered, expected);
        let expected = ExpectedReply::PaddedDiscovery;
        [
            row(
                rule,
                fingerprinted(request.clone()),
                ExpectedReply::Fingerprinted(Box::new(expected.clone())),
            ),
            row(rule, request, expected),
        ]
    };
    [
        padded("PADDING without value", 0),
        padded("PADDING of 4 bytes", 4),
        padded("PADDING that leaves one word too few over IPv4", 44),
        padded("PADDING that leaves room for none over IPv4", 48),
        padded("PADDING that leaves room for one word over IPv4", 52),
        padded("PADDING that leaves one word too few over IPv6", 92),
        padded("PADDING that leaves room for one word over IPv6", 100),
        padded("PADDING as long as the request allows", 500),
        padded("PADDING of a length that is not a multiple of 4", 1001),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Attributes that exclude each other, with and without FINGERPRINT.
fn contradictions() -> Vec<Row> {
    let bad = |section, rule, attributes: &[Attribute], reason: &[u8]| {
        let code = [&[0, 0, 4, 0], reason].concat();
        let reply = message(BINDING_ERROR, &[(ERROR_CODE, &code)]);
        let request = request(attributes);
        let row = |request, reply| row(section, rule, request, BadRequest, ExpectedReply::Bytes(reply));
        [row(fingerprinted(request.clone()), fingerprinted(reply.clone())), row(request, reply)]
    };
    let port: Attribute = (RESPONSE_PORT, &[0x9c, 0x41]);
    let (padding, short): (Attribute, Attribute) = ((PADDING, &[7; 8]), (PADDING, &[]));
    let (reason, none) = (b"Bad Request", b"");
    [
        bad(SECTION, "RESPONSE-PORT excludes PADDING", &[port, padding], reason),
        bad(SECTION, "PADDING excludes RESPONSE-PORT", &[padding, port], reason),
        bad(SECTION, "a request that is too short for the reason", &[port, short], none),
        bad(PORT_SECTION, "RESPONSE-PORT 0 of four bytes", &[(RESPONSE_PORT, &[0; 4])], none),
        bad(PORT_SECTION, "RESPONSE-PORT 0 of two bytes", &[(RESPONSE_PORT, &[0; 2])], none),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Errors that take precedence over discovery.
fn precedence() -> Vec<Row> {
    let both: Attribute = (CHANGE_REQUEST, &[0, 0, 0, 6]);
    let padding = |request, list: &[u16]| {
        let code = [&[0, 0, 4, 20], &b"Unknown Attribute   "[..]].concat();
        let reply = classic(BINDING_ERROR, &[(ERROR_CODE, &code), (UNKNOWN_ATTRIBUTES, &types(list))]);
        let rule = "PADDING is unknown in a classic request";
        row("RFC 3489 §8.1", rule, request, Outcome::UnknownAttribute, ExpectedReply::Bytes(reply))
    };
    vec![
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute takes precedence over CHANGE-REQUEST",
            request(&[(0x7ff0, &[]), both]),
            &[0x7ff0],
        ),
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute takes precedence over an invalid RESPONSE-PORT",
            request(&[(RESPONSE_PORT, &[0, 0]), (0x7ff0, &[]), both]),
            &[0x7ff0],
        ),
        padding(classic(BINDING_REQUEST, &[(PADDING, &[0; 40])]), &[PADDING, PADDING]),
        discovered(
            "RFC 8489 §14.5",
            "CHANGE-REQUEST after MESSAGE-INTEGRITY is ignored",
            request(&[(MESSAGE_INTEGRITY, &[0; 20]), both]),
            from(false, false),
        ),
    ]
}

/// The reply is sent from the local address and contains the public one.
fn advertised() -> Vec<Row> {
    let section = "RFC 5780 §7.3, §7.4";
    let answered = |rule, request, outcome, expected, diverted| Row {
        diverted,
        ..row(section, rule, request, outcome, expected)
    };
    let unchanged = classic(BINDING_REQUEST, &[]);
    let none = from(false, false);
    vec![
        answered("a plain request", request(&[]), Answered, ExpectedReply::Discovery, none),
        answered("a change of the address", change(4), Answered, ExpectedReply::Discovery, from(true, false)),
        answered("a change of both", change(6), Answered, ExpectedReply::Discovery, from(true, true)),
        answered("a classic request", unchanged, AnsweredClassic, ExpectedReply::ClassicDiscovery, none),
    ]
}
