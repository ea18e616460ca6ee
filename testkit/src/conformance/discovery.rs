//! NAT behaviour discovery, by RFC 5780 and as RFC 3489 has it.

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

/// A request with CHANGE-REQUEST; flag 2 asks for another port, 4 for another address.
fn change(flags: u8) -> Vec<u8> {
    request(&[(CHANGE_REQUEST, &[0, 0, 0, flags])])
}

/// The reply leaves from the other address, or from the other port.
fn from(address: bool, port: bool) -> Diverted {
    Diverted { address, port, to: None }
}

/// The reply goes to this port of the source.
fn to(port: u16) -> Diverted {
    Diverted { to: Some(port), ..Diverted::default() }
}

/// A request that is answered with the addresses of RFC 5780.
fn told(section: &'static str, rule: &'static str, request: Vec<u8>, diverted: Diverted) -> Row {
    Row { diverted, ..row(section, rule, request, Answered, Owed::Discovery) }
}

fn changes() -> Vec<Row> {
    vec![
        told(SECTION, "a plain request gets both endpoints", request(&[]), from(false, false)),
        told(SECTION, "no flag, no change", change(0), from(false, false)),
        told(SECTION, "change port", change(2), from(false, true)),
        told(SECTION, "change IP", change(4), from(true, false)),
        told(SECTION, "change both", change(6), from(true, true)),
    ]
}

fn classic_changes() -> Vec<Row> {
    let asked = |section, rule, attributes: &[Attribute], diverted| Row {
        diverted,
        ..row(section, rule, classic(BINDING_REQUEST, attributes), AnsweredClassic, Owed::ClassicDiscovery)
    };
    let change = |rule, flags: u8, diverted| {
        asked("RFC 3489 §8.1", rule, &[(CHANGE_REQUEST, &[0, 0, 0, flags])], diverted)
    };
    vec![
        asked("RFC 3489 §11.2.5", "a classic client gets RFC 3489's attributes", &[], from(false, false)),
        change("a classic client's change without a flag", 0, from(false, false)),
        change("a classic client's change of the port", 2, from(false, true)),
        change("a classic client's change of the address", 4, from(true, false)),
        change("a classic client's change of both", 6, from(true, true)),
    ]
}

fn response_ports() -> Vec<Row> {
    vec![
        told(
            PORT_SECTION,
            "RESPONSE-PORT of two bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41])]),
            to(40_001),
        ),
        told(
            PORT_SECTION,
            "RESPONSE-PORT of four bytes",
            request(&[(RESPONSE_PORT, &[0x9c, 0x42, 0, 0])]),
            to(40_002),
        ),
        told(
            PORT_SECTION,
            "of two RESPONSE-PORTs the first counts",
            request(&[(RESPONSE_PORT, &[0x9c, 0x43]), (RESPONSE_PORT, &[0, 0])]),
            to(40_003),
        ),
        told(
            "RFC 5780 §7.2, §7.5",
            "another port, from another address and port: turnutils_stunclient -f",
            request(&[(RESPONSE_PORT, &[0x9c, 0x44, 0, 0]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Diverted { to: Some(40_004), ..from(true, true) },
        ),
        told(
            "RFC 5780 §7.2, §7.5",
            "the first RESPONSE-PORT counts beside a change as well",
            request(&[
                (RESPONSE_PORT, &[0x9c, 0x45]),
                (CHANGE_REQUEST, &[0, 0, 0, 6]),
                (RESPONSE_PORT, &[9, 9]),
            ]),
            Diverted { to: Some(40_005), ..from(true, true) },
        ),
        told(
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

/// Each is filled with zeros until the reply is as long as the request, and no further.
fn padding() -> Vec<Row> {
    let section = "RFC 5780 §7.6";
    let padded = |rule, length| {
        let request = request(&[(PADDING, &vec![0xee; length])]);
        let row = |rule, request, owed| row(section, rule, request, Answered, owed);
        let owed = Owed::PaddedDiscovery;
        [
            row(rule, fingerprinted(request.clone()), Owed::Fingerprinted(Box::new(owed.clone()))),
            row(rule, request, owed),
        ]
    };
    [
        padded("PADDING without value", 0),
        padded("PADDING of a word", 4),
        padded("PADDING that leaves one word too few over IPv4", 44),
        padded("PADDING that leaves room for none over IPv4", 48),
        padded("PADDING that leaves room for one word over IPv4", 52),
        padded("PADDING that leaves one word too few over IPv6", 92),
        padded("PADDING that leaves room for one word over IPv6", 100),
        padded("PADDING as long as the request allows", 500),
        padded("PADDING of a length that is no multiple of 4", 1001),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What excludes each other, with and without FINGERPRINT.
fn contradictions() -> Vec<Row> {
    let bad = |section, rule, attributes: &[Attribute], reason: &[u8]| {
        let code = [&[0, 0, 4, 0], reason].concat();
        let reply = message(BINDING_ERROR, &[(ERROR_CODE, &code)]);
        let request = request(attributes);
        let row = |request, reply| row(section, rule, request, BadRequest, Owed::Bytes(reply));
        [row(fingerprinted(request.clone()), fingerprinted(reply.clone())), row(request, reply)]
    };
    let port: Attribute = (RESPONSE_PORT, &[0x9c, 0x41]);
    let (padding, short): (Attribute, Attribute) = ((PADDING, &[7; 8]), (PADDING, &[]));
    let (reason, none) = (b"Bad Request", b"");
    [
        bad(SECTION, "RESPONSE-PORT excludes PADDING", &[port, padding], reason),
        bad(SECTION, "PADDING excludes RESPONSE-PORT", &[padding, port], reason),
        bad(SECTION, "a request that is too short for the reason", &[port, short], none),
        bad(PORT_SECTION, "nobody listens at port 0", &[(RESPONSE_PORT, &[0; 4])], none),
        bad(PORT_SECTION, "nobody listens at port 0, in two bytes", &[(RESPONSE_PORT, &[0; 2])], none),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What goes before what a client asks for.
fn precedence() -> Vec<Row> {
    let both: Attribute = (CHANGE_REQUEST, &[0, 0, 0, 6]);
    let padding = |request, list: &[u16]| {
        let code = [&[0, 0, 4, 20], &b"Unknown Attribute   "[..]].concat();
        let reply = classic(BINDING_ERROR, &[(ERROR_CODE, &code), (UNKNOWN_ATTRIBUTES, &types(list))]);
        let rule = "PADDING of a classic client is unknown";
        row("RFC 3489 §8.1", rule, request, Outcome::UnknownAttribute, Owed::Bytes(reply))
    };
    vec![
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute outweighs CHANGE-REQUEST",
            request(&[(0x7ff0, &[]), both]),
            &[0x7ff0],
        ),
        rejected(
            "RFC 8489 §6.3.1",
            "an unknown attribute outweighs a bad RESPONSE-PORT",
            request(&[(RESPONSE_PORT, &[0, 0]), (0x7ff0, &[]), both]),
            &[0x7ff0],
        ),
        padding(classic(BINDING_REQUEST, &[(PADDING, &[0; 40])]), &[PADDING, PADDING]),
        told(
            "RFC 8489 §14.5",
            "CHANGE-REQUEST behind MESSAGE-INTEGRITY asks for nothing",
            request(&[(MESSAGE_INTEGRITY, &[0; 20]), both]),
            from(false, false),
        ),
    ]
}

/// The reply leaves from the local address, and tells the public one.
fn advertised() -> Vec<Row> {
    let section = "RFC 5780 §7.3, §7.4";
    let asked = |rule, request, outcome, owed, diverted| Row {
        diverted,
        ..row(section, rule, request, outcome, owed)
    };
    let unchanged = classic(BINDING_REQUEST, &[]);
    let none = from(false, false);
    vec![
        asked("a plain request", request(&[]), Answered, Owed::Discovery, none),
        asked("a change of the address", change(4), Answered, Owed::Discovery, from(true, false)),
        asked("a change of both", change(6), Answered, Owed::Discovery, from(true, true)),
        asked("a classic request", unchanged, AnsweredClassic, Owed::ClassicDiscovery, none),
    ]
}
