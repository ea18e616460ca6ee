//! Features beyond the plain service, in combinations and at endpoints that the conformance table does not
//! have.

use crate::outcome::Outcome::{self, *};
use crate::stun::credentials::{Credentials, ShortTerm};
use crate::stun::{
    AlternateServer, Answer, Discovery, Exchange, Extras, Permission, Policy, REPLY_ROOM, Software, respond,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::vec::Vec;
use xstun_testkit::messages::{
    Attribute, BINDING_REQUEST, BINDING_SUCCESS, classic, fingerprinted, message, with_transaction,
};

const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;
const SOFTWARE: u16 = 0x8022;
const RESPONSE_ORIGIN: u16 = 0x802b;
const OTHER_ADDRESS: u16 = 0x802c;

const SOURCE: &str = "198.51.100.7:40000";
const SOURCE_V6: &str = "[2001:db8:1::7]:40000";
const XOR_VALUE: [u8; 8] = [0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];

/// The endpoints of discovery: primary, other port, other address, other address and port.
const FOUR: [&str; 4] = ["192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"];

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The value of MAPPED-ADDRESS and other attributes with an address.
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

/// A buffer with `request` at its start, as short as allowed.
fn buffer_with(request: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xff; request.len().max(REPLY_ROOM)];
    buffer[..request.len()].copy_from_slice(request);
    buffer
}

fn ask_from(source: &str, request: &[u8], server: &str, policy: &Policy) -> Reply {
    let (mut buffer, server) = (buffer_with(request), addr(server));
    let before = buffer.clone();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&addr(source), || server), policy);
    if answer.length == 0 {
        assert_eq!(buffer, before, "silence leaves the buffer unchanged");
    }
    reply(policy, server, &buffer, answer)
}

fn ask(request: &[u8], server: &str, policy: &Policy) -> Reply {
    ask_from(SOURCE, request, server, policy)
}

fn ask_stream(request: &[u8], server: &str, policy: &Policy) -> Reply {
    let (mut buffer, server) = (buffer_with(request), addr(server));
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

#[test]
fn all_four_addresses_fit_over_ipv6() {
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
fn replies_have_the_advertised_addresses() {
    let mut extras = discovery();
    let v4 = extras.discovery_v4.as_mut().unwrap();
    assert!(v4.advertise(addr(FOUR[3]).ip(), "203.0.113.2".parse().unwrap()));
    assert!(!v4.advertise("192.0.2.3".parse().unwrap(), "203.0.113.3".parse().unwrap()));
    assert!(!v4.advertise(addr(FOUR[0]).ip(), "2001:db8::1".parse().unwrap()));
    let reply = ask(&request(&[(CHANGE_REQUEST, &[0, 0, 0, 4])]), FOUR[0], &with(extras));
    assert_eq!(reply.origin, addr(FOUR[2]), "the reply leaves from the local address");
    assert_eq!(reply.bytes, success("203.0.113.2:3478", "203.0.113.2:3479", &[]));
}

#[test]
fn discovery_needs_endpoints_that_differ_in_address_and_port() {
    for alternate in ["192.0.2.1:3479", "192.0.2.2:3478", "[2001:db8::2]:3479"] {
        assert_eq!(Discovery::new(addr(FOUR[0]), addr(alternate)), None, "{alternate}");
    }
}

/// RFC 5780 §6.1 requires a 420 from a server without alternate address and port, and §6 that it sends no
/// OTHER-ADDRESS.
#[test]
fn an_endpoint_outside_the_four_does_not_support_rfc_5780() {
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

/// RFC 5780 §6.1, limited to the request's length, for a request as long as an Ethernet frame.
#[test]
fn padding_makes_the_reply_as_long_as_the_request() {
    let reply = ask(&request(&[(PADDING, &[0xee; 1500])]), FOUR[0], &with(discovery()));
    assert_eq!(reply.outcome, Answered);
    assert_eq!(reply.bytes, success(FOUR[0], FOUR[3], &[(PADDING, &[0; 1452])]));
}

#[test]
fn software_comes_after_the_addresses_of_discovery() {
    let software: Attribute = (SOFTWARE, b"xstun");
    let both = Extras { software: Software::new("xstun"), ..discovery() };
    assert_eq!(ask(&request(&[]), FOUR[0], &with(both)).bytes, success(FOUR[0], FOUR[3], &[software]));
}

#[test]
fn software_is_text_of_bounded_length() {
    for wrong in ["", "a\nb", "\u{7f}", &"s".repeat(33), &"ü".repeat(17)] {
        assert_eq!(Software::new(wrong), None, "{wrong:?}");
    }
    assert!(Software::new(&"ü".repeat(16)).is_some());
}

#[test]
fn a_transaction_id_of_zeros_is_dropped_if_the_policy_says_so() {
    let policy = with(Extras { drop_zero_transaction: true, ..Extras::default() });
    let cookie = [0x21, 0x12, 0xa4, 0x42];
    let zero = with_transaction(BINDING_REQUEST, &[&cookie[..], &[0; 12]].concat(), &[]);
    assert_eq!(ask(&zero, FOUR[0], &policy).outcome, ZeroTransaction);
    assert_eq!(ask(&zero, FOUR[0], &Policy::default()).outcome, Answered);
    assert_eq!(ask(&zero, FOUR[0], &with(discovery())).outcome, Answered);
    // What is not a request has its own outcome.
    assert_eq!(ask(&zero[..19], FOUR[0], &policy).outcome, NotStun);
}

/// RFC 8489 §14.8: a server redirects authenticated clients only, so one that requires no credentials
/// redirects none.
#[test]
fn no_client_is_redirected_without_credentials() {
    let v4 = Some("203.0.113.9:3478".parse().unwrap());
    let v6 = Some("[2001:db8:9::9]:3478".parse().unwrap());
    let policy = with(Extras { alternate_server: AlternateServer { v4, v6 }, ..Extras::default() });
    let long: Attribute = (SOFTWARE, &[b'x'; 96]);
    let with_integrity: [Attribute; 3] = [(USERNAME, b"anna"), long, (MESSAGE_INTEGRITY, &[0; 20])];
    for attributes in [&[][..], &[long], &with_integrity] {
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

/// The XDP program, which knows nothing of the policy but the permission of the endpoint, answers only where the
/// policy gives the same reply.
#[test]
fn a_permission_allows_only_replies_that_the_policy_gives() {
    const OTHER: &str = "192.0.2.3:3478";
    let elsewhere = Permission::answer(true, true);
    let short_term = Arc::new(Credentials::ShortTerm(ShortTerm::new([(&b"anna"[..], &b"secret"[..])])));
    let v4 = Some("203.0.113.9:3478".parse().unwrap());
    let rows: [(Extras, Permission, Permission); 6] = [
        (Extras::default(), elsewhere, elsewhere),
        (discovery(), Permission::REDIRECT, elsewhere),
        (
            Extras { software: Software::new("xstun"), ..Extras::default() },
            Permission::REDIRECT,
            Permission::REDIRECT,
        ),
        (
            Extras { credentials: Some(short_term), ..Extras::default() },
            Permission::REDIRECT,
            Permission::REDIRECT,
        ),
        (
            Extras { drop_zero_transaction: true, ..discovery() },
            Permission::REDIRECT,
            Permission::answer(true, false),
        ),
        // It redirects authenticated clients only.
        (
            Extras { alternate_server: AlternateServer { v4, v6: None }, ..Extras::default() },
            elsewhere,
            elsewhere,
        ),
    ];
    for (extras, at_the_four, at_the_other) in rows {
        let policy = with(extras);
        for (endpoints, expected) in [(&FOUR[..], at_the_four), (&[OTHER][..], at_the_other)] {
            for endpoint in endpoints {
                assert_eq!(policy.permission(&addr(endpoint)), expected, "{endpoint}: {policy:?}");
                let strict = Policy { classic: false, ..policy.clone() };
                let common = expected.common(Permission::answer(false, true));
                assert_eq!(strict.permission(&addr(endpoint)), common, "{endpoint}: {strict:?}");
            }
        }
    }
    assert_eq!(Policy::default().permission(&addr(OTHER)), elsewhere);
    let strict = Policy { classic: false, extras: None };
    assert_eq!(strict.permission(&addr(OTHER)), Permission::answer(false, true));
}

/// Where a permission allows answers, the policy's reply is that of the plain service, byte for byte.
#[test]
fn where_a_permission_allows_answers_the_reply_is_the_plain_one() {
    let zero = with_transaction(BINDING_REQUEST, b"\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\0", &[]);
    let classic = classic(BINDING_REQUEST, &[]);
    let requests = [request(&[]), fingerprinted(request(&[])), zero.clone(), classic.clone()];
    let v4 = Some("203.0.113.9:3478".parse().unwrap());
    let more = [
        Extras::default(),
        Extras { drop_zero_transaction: true, ..discovery() },
        Extras { alternate_server: AlternateServer { v4, v6: None }, ..Extras::default() },
    ];
    let endpoint = "192.0.2.3:3478";
    for extras in more {
        for with_classic in [true, false] {
            let policy = Policy { classic: with_classic, extras: Some(extras.clone()) };
            let permission = policy.permission(&addr(endpoint));
            assert!(permission.may_answer(), "{policy:?}");
            for request in &requests {
                let (found, plain) =
                    (ask(request, endpoint, &policy), ask(request, endpoint, &Policy::default()));
                let is_included = (*request != zero || permission.includes_zero_transaction())
                    && (*request != classic || permission.includes_classic());
                assert_eq!(found.outcome.is_reply(), is_included, "{policy:?}");
                if is_included {
                    assert_eq!((found.outcome, found.bytes), (plain.outcome, plain.bytes), "{policy:?}");
                }
            }
        }
    }
}

#[test]
fn a_buffer_without_room_is_left_unchanged() {
    for length in (20..REPLY_ROOM).step_by(if cfg!(miri) { 7 } else { 1 }) {
        let mut buffer = vec![0; length];
        buffer[..20].copy_from_slice(&request(&[]));
        let before = buffer.clone();
        let (source, server) = (addr(SOURCE), addr(FOUR[0]));
        let answer = respond(&mut buffer, 20, Exchange::datagram(&source, || server), &with(discovery()));
        assert_eq!((answer.outcome, buffer), (NoRoom, before));
    }
}
