//! The rules of what an operator can switch on, row by row.

use crate::outcome::Outcome::{self, *};
use crate::stun::{
    AlternateServer, Answer, Discovery, Exchange, Extras, Policy, REPLY_ROOM, Software, respond,
};
use std::net::SocketAddr;
use std::vec::Vec;
use xstun_testkit::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, classic, fingerprinted, message,
    with_transaction,
};

const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const SOURCE_ADDRESS: u16 = 0x0004;
const CHANGED_ADDRESS: u16 = 0x0005;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const SOFTWARE: u16 = 0x8022;
const RESPONSE_ORIGIN: u16 = 0x802b;
const OTHER_ADDRESS: u16 = 0x802c;

const SOURCE: &str = "198.51.100.7:40000";
const SOURCE_V6: &str = "[2001:db8:1::7]:40000";
const XOR_VALUE: [u8; 8] = [0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];

/// Primary, other port, other address, both other.
const FOUR: [&str; 4] = ["192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"];

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The value of MAPPED-ADDRESS and its like.
fn value(address: &str) -> Vec<u8> {
    let address = addr(address);
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(a) => [&[0, 1], &port[..], &a.ip().octets()].concat(),
        SocketAddr::V6(a) => [&[0, 2], &port[..], &a.ip().octets()].concat(),
    }
}

fn with(extras: Extras) -> Policy {
    Policy { classic: true, extras: Some(extras) }
}

fn discovery() -> Extras {
    let v6 = Discovery::new(addr("[2001:db8::1]:3478"), addr("[2001:db8::2]:3479"));
    Extras {
        discovery_v4: Discovery::new(addr(FOUR[0]), addr(FOUR[3])),
        discovery_v6: v6,
        ..Extras::default()
    }
}

struct Reply {
    outcome: Outcome,
    bytes: Vec<u8>,
    origin: SocketAddr,
    port: Option<u16>,
}

fn reply(policy: &Policy, server: SocketAddr, buffer: &[u8], answer: Answer) -> Reply {
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    Reply {
        outcome: answer.outcome,
        bytes: buffer[..answer.length].to_vec(),
        origin: policy.origin(&server, answer.change),
        port: answer.port.map(Into::into),
    }
}

fn room(request: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xff; request.len().max(REPLY_ROOM)];
    buffer[..request.len()].copy_from_slice(request);
    buffer
}

fn ask_from(source: &str, request: &[u8], server: &str, policy: &Policy) -> Reply {
    let (mut buffer, server) = (room(request), addr(server));
    let before = buffer.clone();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&addr(source), || server), policy);
    if answer.length == 0 {
        assert_eq!(buffer, before, "silence leaves the buffer as it was");
    }
    reply(policy, server, &buffer, answer)
}

fn ask(request: &[u8], server: &str, policy: &Policy) -> Reply {
    ask_from(SOURCE, request, server, policy)
}

fn ask_stream(request: &[u8], server: &str, policy: &Policy) -> Reply {
    let (mut buffer, server) = (room(request), addr(server));
    let answer = respond(&mut buffer, request.len(), Exchange::stream(&addr(SOURCE), || server), policy);
    reply(policy, server, &buffer, answer)
}

fn request(attributes: &[Attribute]) -> Vec<u8> {
    message(BINDING_REQUEST, attributes)
}

fn success(origin: &str, other: &str, more: &[Attribute]) -> Vec<u8> {
    let (mapped, origin, other) = (value(SOURCE), value(origin), value(other));
    let attributes: [Attribute; 4] = [
        (XOR_MAPPED_ADDRESS, &XOR_VALUE),
        (MAPPED_ADDRESS, &mapped),
        (RESPONSE_ORIGIN, &origin),
        (OTHER_ADDRESS, &other),
    ];
    message(BINDING_SUCCESS, &[&attributes, more].concat())
}

/// RFC 5780 §6.1, table 1: for each endpoint that is asked and each pair of flags the one that the reply
/// leaves from, as an index into [`FOUR`].
#[test]
fn the_reply_leaves_from_where_table_1_says() {
    for asked in 0..4 {
        for (flags, moved) in [(None, 0), (Some(0), 0), (Some(2), 1), (Some(4), 2), (Some(6), 3)] {
            let change = [0, 0, 0, flags.unwrap_or(0)];
            let attributes: &[Attribute] = if flags.is_some() { &[(CHANGE_REQUEST, &change)] } else { &[] };
            let reply = ask(&request(attributes), FOUR[asked], &with(discovery()));
            let (origin, other) = (FOUR[asked ^ moved], FOUR[asked ^ 3]);
            assert_eq!(reply.outcome, Answered);
            assert_eq!(reply.origin, addr(origin), "{} asked for {flags:?}", FOUR[asked]);
            assert_eq!(reply.port, None);
            assert_eq!(reply.bytes, success(origin, other, &[]), "{} asked for {flags:?}", FOUR[asked]);

            let reply = ask(&classic(BINDING_REQUEST, attributes), FOUR[asked], &with(discovery()));
            let (mapped, source, changed) = (value(SOURCE), value(origin), value(other));
            let attributes: [Attribute; 3] =
                [(MAPPED_ADDRESS, &mapped), (SOURCE_ADDRESS, &source), (CHANGED_ADDRESS, &changed)];
            assert_eq!(reply.outcome, AnsweredClassic);
            assert_eq!(reply.origin, addr(origin));
            assert_eq!(reply.bytes, classic(BINDING_SUCCESS, &attributes));
        }
    }
}

#[test]
fn over_ipv6_all_four_addresses_fit() {
    let policy = with(Extras { software: Software::new(&"s".repeat(32)), ..discovery() });
    let flags: Attribute = (CHANGE_REQUEST, &[0, 0, 0, 4]);
    let reply = ask_from(SOURCE_V6, &fingerprinted(request(&[flags])), "[2001:db8::1]:3478", &policy);
    assert_eq!(reply.outcome, Answered);
    assert_eq!(reply.origin, addr("[2001:db8::2]:3478"));
    assert_eq!(reply.bytes.len(), 20 + 4 * 24 + 36 + 8);
    let (origin, other) = (value("[2001:db8::2]:3478"), value("[2001:db8::2]:3479"));
    for value in [origin, other, value(SOURCE_V6)] {
        assert!(reply.bytes.windows(value.len()).any(|window| window == value));
    }
}

#[test]
fn clients_are_told_the_advertised_addresses() {
    let mut extras = discovery();
    let four = extras.discovery_v4.as_mut().unwrap();
    assert!(four.advertise(addr(FOUR[3]).ip(), "203.0.113.2".parse().unwrap()));
    assert!(!four.advertise("192.0.2.3".parse().unwrap(), "203.0.113.3".parse().unwrap()));
    assert!(!four.advertise(addr(FOUR[0]).ip(), "2001:db8::1".parse().unwrap()));
    let reply = ask(&request(&[(CHANGE_REQUEST, &[0, 0, 0, 4])]), FOUR[0], &with(extras));
    assert_eq!(reply.origin, addr(FOUR[2]), "the reply leaves from the local address");
    assert_eq!(reply.bytes, success("203.0.113.2:3478", "203.0.113.2:3479", &[]));
}

#[test]
fn endpoints_that_differ_in_less_than_address_and_port_are_none() {
    for alternate in ["192.0.2.1:3479", "192.0.2.2:3478", "[2001:db8::2]:3479"] {
        assert_eq!(Discovery::new(addr(FOUR[0]), addr(alternate)), None, "{alternate}");
    }
}

/// RFC 5780 §6.1: 420 where the server has no other address and port; §6: no OTHER-ADDRESS either.
#[test]
fn an_endpoint_beside_the_four_knows_nothing_of_rfc_5780() {
    let plain = message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE)]);
    for server in ["192.0.2.1:3480", "192.0.2.3:3478", "203.0.113.1:3479"] {
        assert_eq!(ask(&request(&[]), server, &with(discovery())).bytes, plain);
        for (kind, value) in
            [(CHANGE_REQUEST, &[0, 0, 0, 2][..]), (PADDING, &[0; 8]), (RESPONSE_PORT, &[1, 2, 0, 0])]
        {
            let reply = ask(&request(&[(kind, value)]), server, &with(discovery()));
            assert_eq!((reply.outcome, reply.origin, reply.port), (UnknownAttribute, addr(server), None));
        }
    }
}

/// RFC 5780 §7.5: to the source's own address, whatever the port. Clients differ on the length.
#[test]
fn response_port_moves_the_reply_to_another_port() {
    let policy = with(discovery());
    for value in [&[0x12, 0x34][..], &[0x12, 0x34, 0xab, 0xcd]] {
        let reply = ask(&request(&[(RESPONSE_PORT, value)]), FOUR[0], &policy);
        assert_eq!((reply.outcome, reply.port, reply.origin), (Answered, Some(0x1234), addr(FOUR[0])));
        assert_eq!(reply.bytes, success(FOUR[0], FOUR[3], &[]), "the mapped address is the source's");
    }
    let both: [Attribute; 3] =
        [(RESPONSE_PORT, &[0x12, 0x34]), (CHANGE_REQUEST, &[0, 0, 0, 6]), (RESPONSE_PORT, &[9, 9])];
    let reply = ask(&request(&both), FOUR[0], &policy);
    assert_eq!((reply.port, reply.origin), (Some(0x1234), addr(FOUR[3])), "the first one counts");
    for value in [&[][..], &[1], &[0; 3], &[0; 8]] {
        assert_eq!(ask(&request(&[(RESPONSE_PORT, value)]), FOUR[0], &policy).outcome, BadAttribute);
    }
}

fn error(code: [u8; 4], reason: &str) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, &[&code[..], reason.as_bytes()].concat())])
}

#[test]
fn wishes_that_exclude_each_other_are_a_bad_request() {
    let port: Attribute = (RESPONSE_PORT, &[0x12, 0x34]);
    let (padding, short): (Attribute, Attribute) = ((PADDING, &[7; 8]), (PADDING, &[]));
    let rows = [
        ("RFC 5780 §6.1: padding and port", vec![port, padding], error([0, 0, 4, 0], "Bad Request")),
        ("§6.1, in the other order", vec![padding, port], error([0, 0, 4, 0], "Bad Request")),
        ("no room for the phrase", vec![port, short], error([0, 0, 4, 0], "")),
        ("nobody listens at port 0", vec![(RESPONSE_PORT, &[0, 0][..])], error([0, 0, 4, 0], "")),
    ];
    for (rule, attributes, expected) in rows {
        let request = request(&attributes);
        let reply = ask(&request, FOUR[0], &with(discovery()));
        assert_eq!((reply.outcome, reply.bytes), (BadRequest, expected.clone()), "{rule}");
        assert_eq!((reply.origin, reply.port), (addr(FOUR[0]), None), "{rule}");
        let printed = ask(&fingerprinted(request.clone()), FOUR[0], &with(discovery()));
        assert_eq!(printed.bytes, fingerprinted(expected), "{rule}");
        assert!(printed.bytes.len() <= request.len() + 8, "{rule}");
    }
}

#[test]
fn an_unknown_attribute_outweighs_the_rest() {
    let attributes: [Attribute; 3] =
        [(RESPONSE_PORT, &[0, 0]), (0x7ff0, &[]), (CHANGE_REQUEST, &[0, 0, 0, 6])];
    let reply = ask(&request(&attributes), FOUR[0], &with(discovery()));
    assert_eq!((reply.outcome, reply.origin, reply.port), (UnknownAttribute, addr(FOUR[0]), None));
    let listed = [(ERROR_CODE, &[0, 0, 4, 20][..]), (UNKNOWN_ATTRIBUTES, &[0x7f, 0xf0])];
    assert_eq!(reply.bytes, message(BINDING_ERROR, &listed));
    // To RFC 3489 both are unknown, and PADDING and RESPONSE-PORT are no attributes of its clients.
    let reply = ask(&classic(BINDING_REQUEST, &[(PADDING, &[0; 40])]), FOUR[0], &with(discovery()));
    assert_eq!(reply.outcome, UnknownAttribute);
    // After MESSAGE-INTEGRITY nothing asks for anything (RFC 8489 §14.5).
    let late: [Attribute; 2] = [(MESSAGE_INTEGRITY, &[0; 20]), (CHANGE_REQUEST, &[0, 0, 0, 6])];
    assert_eq!(ask(&request(&late), FOUR[0], &with(discovery())).origin, addr(FOUR[0]));
}

/// RFC 5780 §6.1 with this server's limit: PADDING makes no reply longer than its request.
#[test]
fn padding_is_answered_by_as_much_as_the_request_is_long() {
    for (asked, answered) in [(0, 0), (4, 0), (44, 0), (48, 0), (52, 4), (100, 52), (1500, 1452)] {
        let padded = request(&[(PADDING, &vec![0xee; asked])]);
        let expected = success(FOUR[0], FOUR[3], &[(PADDING, &vec![0; answered])]);
        let reply = ask(&padded, FOUR[0], &with(discovery()));
        assert_eq!((reply.outcome, reply.bytes), (Answered, expected.clone()), "{asked}");
        assert!(expected.len() <= padded.len().max(72), "{asked}");
        let printed = ask(&fingerprinted(padded), FOUR[0], &with(discovery()));
        assert_eq!(printed.bytes, fingerprinted(expected), "{asked}");
    }
    let odd = ask(&request(&[(PADDING, &[0; 1001])]), FOUR[0], &with(discovery()));
    assert_eq!(odd.bytes.len(), 20 + 4 + 1004);
}

/// A stream has no other source, port or fragments; the addresses are told all the same.
#[test]
fn over_a_stream_replies_stay_on_it() {
    let policy = with(discovery());
    assert_eq!(ask_stream(&request(&[]), FOUR[0], &policy).bytes, success(FOUR[0], FOUR[3], &[]));
    for (kind, value) in
        [(CHANGE_REQUEST, &[0, 0, 0, 2][..]), (PADDING, &[0; 8]), (RESPONSE_PORT, &[1, 2, 0, 0])]
    {
        let reply = ask_stream(&request(&[(kind, value)]), FOUR[0], &policy);
        assert_eq!((reply.outcome, reply.origin, reply.port), (UnknownAttribute, addr(FOUR[0]), None));
    }
}

#[test]
fn software_follows_the_addresses_of_a_success() {
    let named = Extras { software: Software::new("xstun"), ..Extras::default() };
    let software: Attribute = (SOFTWARE, b"xstun");
    let expected = message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE), software]);
    assert_eq!(ask(&request(&[]), FOUR[0], &with(named.clone())).bytes, expected);
    assert_eq!(
        ask(&fingerprinted(request(&[])), FOUR[0], &with(named.clone())).bytes,
        fingerprinted(expected)
    );
    let both = Extras { software: named.software, ..discovery() };
    assert_eq!(ask(&request(&[]), FOUR[0], &with(both)).bytes, success(FOUR[0], FOUR[3], &[software]));
    // RFC 3489 clients never heard of it, and an error must not outgrow its request.
    let mapped = value(SOURCE);
    let plain = classic(BINDING_SUCCESS, &[(MAPPED_ADDRESS, &mapped)]);
    assert_eq!(ask(&classic(BINDING_REQUEST, &[]), FOUR[0], &with(named.clone())).bytes, plain);
    assert_eq!(ask(&request(&[(0x7ff0, &[])]), FOUR[0], &with(named)).bytes.len(), 36);
}

#[test]
fn software_is_text_of_bounded_length() {
    for wrong in ["", "a\nb", "\u{7f}", &"s".repeat(33), &"ü".repeat(17)] {
        assert_eq!(Software::new(wrong), None, "{wrong:?}");
    }
    assert!(Software::new(&"ü".repeat(16)).is_some());
}

#[test]
fn transaction_ids_of_zeros_get_silence_where_the_operator_wants_it() {
    let policy = with(Extras { drop_zero_transaction: true, ..Extras::default() });
    let cookie = [0x21, 0x12, 0xa4, 0x42];
    let zero = with_transaction(BINDING_REQUEST, &[&cookie[..], &[0; 12]].concat(), &[]);
    let last = with_transaction(BINDING_REQUEST, &[&cookie[..], &[0; 11], &[1]].concat(), &[]);
    assert_eq!(ask(&zero, FOUR[0], &policy).outcome, ZeroTransaction);
    assert_eq!(
        ask(&with_transaction(BINDING_REQUEST, &[0; 16], &[]), FOUR[0], &policy).outcome,
        ZeroTransaction
    );
    assert_eq!(ask(&last, FOUR[0], &policy).outcome, Answered);
    assert_eq!(ask(&zero, FOUR[0], &Policy::default()).outcome, Answered);
    assert_eq!(ask(&zero, FOUR[0], &with(discovery())).outcome, Answered);
    // What is no request keeps its own reason.
    assert_eq!(ask(&zero[..19], FOUR[0], &policy).outcome, NotStun);
}

/// RFC 8489 §14.8: only who has proven a user is sent elsewhere, and nobody can where there are none.
#[test]
fn without_credentials_nobody_is_sent_elsewhere() {
    let v4 = Some("203.0.113.9:3478".parse().unwrap());
    let v6 = Some("[2001:db8:9::9]:3478".parse().unwrap());
    let policy = with(Extras { alternate_server: AlternateServer { v4, v6 }, ..Extras::default() });
    let long: Attribute = (SOFTWARE, &[b'x'; 96]);
    let named: [Attribute; 3] = [(USERNAME, b"anna"), long, (MESSAGE_INTEGRITY, &[0; 20])];
    for attributes in [&[][..], &[long], &named] {
        for request in [request(attributes), fingerprinted(request(attributes))] {
            for source in [SOURCE, SOURCE_V6] {
                assert_eq!(ask_from(source, &request, FOUR[0], &policy).outcome, Answered, "{attributes:?}");
            }
            assert_eq!(ask_stream(&request, FOUR[0], &policy).outcome, Answered, "{attributes:?}");
        }
        let classic = classic(BINDING_REQUEST, attributes);
        assert_eq!(ask(&classic, FOUR[0], &policy).outcome, AnsweredClassic, "{attributes:?}");
    }
}

#[test]
fn a_buffer_without_room_ends_in_a_name_and_stays_as_it_was() {
    for length in (20..REPLY_ROOM).step_by(if cfg!(miri) { 7 } else { 1 }) {
        let mut buffer = vec![0; length];
        buffer[..20].copy_from_slice(&request(&[]));
        let before = buffer.clone();
        let (source, server) = (addr(SOURCE), addr(FOUR[0]));
        let answer = respond(&mut buffer, 20, Exchange::datagram(&source, || server), &with(discovery()));
        assert_eq!((answer.outcome, buffer), (NoRoom, before));
    }
}
