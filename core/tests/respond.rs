//! Properties of `respond` for any input, checked against an independent implementation.

use bytecodec::DecodeExt;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use stun_codec::{
    Message, MessageClass, MessageDecoder,
    rfc5389::{
        Attribute,
        attributes::{ErrorCode, Fingerprint, UnknownAttributes, XorMappedAddress},
        methods::BINDING,
    },
};
use xstun_core::{
    outcome::Outcome,
    stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, Realm, ShortTerm},
    stun::integrity::Integrity,
    stun::{AlternateServer, Discovery, Exchange, Extras, Policy, REPLY_ROOM, Software, respond},
};
use xstun_testkit::messages::{self, BINDING_ERROR, BINDING_SUCCESS, COOKIE, ENDPOINTS, crc32};
use xstun_testkit::reference;
use xstun_testkit::strategies::{self, mutated_request, request, source};

fn reply_to(request: &[u8], source: SocketAddr) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0xa5; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), &Policy::default());
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    assert!(answer.length <= buffer.len());
    (answer.outcome, buffer[..answer.length].to_vec())
}

fn server() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

fn canonical(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

/// Whether a well-formed request has a FINGERPRINT.
fn has_fingerprint(request: &[u8]) -> bool {
    let Some(body) = request.get(20..) else { return false };
    let mut rest = body;
    while let [t0, t1, l0, l1, after @ ..] = rest {
        if [*t0, *t1] == [0x80, 0x28] {
            return request[4..8] == COOKIE;
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        rest = after.get(length..).unwrap_or_default();
    }
    false
}

fn decode(reply: &[u8]) -> Message<Attribute> {
    MessageDecoder::<Attribute>::new().decode_from_bytes(reply).unwrap().unwrap()
}

/// Checks a reply of the default policy, without the implementation's help.
fn check_reply(request: &[u8], source: SocketAddr, outcome: Outcome, reply: &[u8]) {
    let fingerprint = if has_fingerprint(request) { 8 } else { 0 };
    let length = if canonical(source).is_ipv4() { 32 } else { 44 };
    assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 20, "length field");
    assert_eq!(reply.len() % 4, 0);
    assert_eq!(reply[4..20], request[4..20], "transaction ID");
    match outcome {
        Outcome::Answered => {
            assert_eq!(reply[..2], BINDING_SUCCESS.to_be_bytes());
            assert_eq!(reply.len(), length + fingerprint);
        }
        Outcome::AnsweredClassic => {
            assert_eq!(reply[..2], BINDING_SUCCESS.to_be_bytes());
            assert_eq!(reply.len(), length);
            let port = u16::from_be_bytes([reply[26], reply[27]]);
            let ip = match &reply[28..] {
                [a, b, c, d] => IpAddr::from([*a, *b, *c, *d]),
                long => IpAddr::from(<[u8; 16]>::try_from(long).unwrap()),
            };
            let head = if length == 32 { [0, 1, 0, 8, 0, 1] } else { [0, 1, 0, 20, 0, 2] };
            assert_eq!(reply[20..26], head);
            assert_eq!(SocketAddr::new(ip, port), canonical(source));
        }
        Outcome::UnknownAttribute => {
            assert_eq!(reply[..2], BINDING_ERROR.to_be_bytes());
            assert!(
                reply.len() <= request.len().max(36 + fingerprint),
                "{} for {}",
                reply.len(),
                request.len()
            );
        }
        unanswered => panic!("{unanswered:?} has a reply"),
    }
    if request[4..8] == COOKIE {
        check_decoded(request, source, outcome, reply);
    }
}

/// Checks the reply as decoded by another implementation.
fn check_decoded(request: &[u8], source: SocketAddr, outcome: Outcome, reply: &[u8]) {
    let decoded = decode(reply);
    assert_eq!(decoded.method(), BINDING);
    assert_eq!(decoded.transaction_id().as_bytes()[..], request[8..20]);
    assert_eq!(decoded.unknown_attributes().count(), 0);
    assert_eq!(decoded.get_attribute::<Fingerprint>().is_some(), has_fingerprint(request));
    if outcome == Outcome::Answered {
        assert_eq!(decoded.class(), MessageClass::SuccessResponse);
        assert_eq!(decoded.get_attribute::<XorMappedAddress>().unwrap().address(), canonical(source));
        let count = 1 + usize::from(has_fingerprint(request));
        assert_eq!(decoded.attributes().count(), count, "no attribute but the address and FINGERPRINT");
    } else {
        assert_eq!(decoded.class(), MessageClass::ErrorResponse);
        let code = decoded.get_attribute::<ErrorCode>().unwrap();
        assert_eq!(code.code(), 420);
        assert!(["", "Unknown Attribute"].contains(&code.reason_phrase()));
        let unknowns = decoded.get_attribute::<UnknownAttributes>().unwrap().unknowns();
        assert!((1..=12).contains(&unknowns.len()));
        for kind in unknowns {
            assert!(kind.is_comprehension_required());
            let is_in_request = request[20..].chunks(4).any(|word| word[..2] == kind.as_u16().to_be_bytes());
            assert!(is_in_request, "{kind:?} was not in the request");
        }
    }
}

/// Any combination of the options.
fn extras() -> impl Strategy<Value = Extras> {
    let discover = |enabled: bool, [one, .., other, _]: [&str; 5]| {
        enabled.then(|| Discovery::new(one.parse().unwrap(), other.parse().unwrap()).unwrap())
    };
    let credentials = prop_oneof![2 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    (any::<[bool; 6]>(), "[a-z]{1,32}", credentials).prop_map(
        move |([discovery_v4, discovery_v6, has_software, drop_zero, v4, v6], name, long_term)| Extras {
            discovery_v4: discover(discovery_v4, ENDPOINTS[0]),
            discovery_v6: discover(discovery_v6, ENDPOINTS[1]),
            software: has_software.then(|| Software::new(&name).unwrap()),
            drop_zero_transaction: drop_zero,
            alternate_server: AlternateServer {
                v4: v4.then(|| "203.0.113.9:3478".parse().unwrap()),
                v6: v6.then(|| "[2001:db8::9]:3478".parse().unwrap()),
            },
            credentials: long_term.map(|long_term| Arc::new(users(long_term))),
        },
    )
}

/// The user's name and password.
const USER: (&[u8], &[u8]) = (b"user", b"password");
const REALM: &str = "example.org";

fn users(long_term: bool) -> Credentials {
    if !long_term {
        return Credentials::ShortTerm(ShortTerm::new([USER]));
    }
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    Credentials::LongTerm(LongTerm::new([USER], Realm::new(REALM).unwrap(), nonces))
}

/// Returns `request` with the user's USERNAME, and MESSAGE-INTEGRITY keyed with the short-term password.
fn authenticated(request: &[u8]) -> Vec<u8> {
    let name = [&[0, 6, 0, 4][..], USER.0].concat();
    let [head, rest] = [&request[..20], &request[20..]];
    let mut message = [head, &name, rest].concat();
    let end = message.len();
    message.resize(end + Integrity::Sha1.length(), 0);
    Integrity::Sha1.append(USER.1, &mut message, end).unwrap();
    message
}

/// A request that may have the attributes of RFC 5780, sometimes a long one.
fn discovery_request() -> impl Strategy<Value = Vec<u8>> {
    let attribute = prop_oneof![
        any::<u8>().prop_map(|flags| (0x0003, vec![0, 0, 0, flags])),
        prop_oneof![0..64usize, 1000..1500usize].prop_map(|length| (0x0026, vec![0xee; length])),
        prop_oneof![Just(2), Just(4), 0..9usize].prop_map(|length| (0x0027, vec![0x12; length])),
        Just((0x0027, vec![0, 0])),
        (0..64usize).prop_map(|length| (0x8022, vec![b'x'; length])),
        Just((0x7ff0, vec![])),
    ];
    let parts = (prop::collection::vec(attribute, 0..5), any::<bool>(), any::<bool>());
    parts.prop_map(|(attributes, with_cookie, fingerprint)| {
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        let request = match with_cookie {
            true => messages::message(messages::BINDING_REQUEST, &attributes),
            false => messages::classic(messages::BINDING_REQUEST, &attributes),
        };
        if fingerprint { messages::fingerprinted(request) } else { request }
    })
}

/// Checks what holds for a reply with any options.
fn check_reply_with_options(request: &[u8], source: SocketAddr, outcome: Outcome, reply: &[u8]) {
    assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 20);
    assert_eq!(reply[4..20], request[4..20]);
    if request[4..8] == COOKIE {
        let decoded = decode(reply);
        assert_eq!(decoded.get_attribute::<Fingerprint>().is_some(), has_fingerprint(request));
        if outcome == Outcome::Answered {
            let mapped = decoded.get_attribute::<XorMappedAddress>().unwrap().address();
            assert_eq!(mapped, canonical(source));
        }
    }
}

proptest! {
    #![proptest_config(strategies::cases(500))]

    #[test]
    fn any_bytes_have_an_outcome_and_a_reply_only_if_it_is_one(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        source in source(),
        classic: bool,
        room in 0usize..200,
    ) {
        let mut buffer = [&bytes[..], &vec![0; room]].concat();
        let answer = respond(&mut buffer, bytes.len(), Exchange::datagram(&source, server), &Policy { classic, ..Policy::default() });
        prop_assert_eq!(answer.outcome.is_reply(), answer.length > 0);
    }

    #[test]
    fn the_fast_and_the_extended_path_equal_the_reference(request in mutated_request(), source in source(), classic: bool) {
        let plain = reference::respond(&request, source, classic);
        for extras in [None, Some(Extras::default())] {
            let mut buffer = [&request[..], &[0xa5; REPLY_ROOM]].concat();
            let exchange = Exchange::datagram(&source, server);
            let answer = respond(&mut buffer, request.len(), exchange, &Policy { classic, extras });
            prop_assert!(!answer.is_diverted());
            prop_assert_eq!((answer.outcome, buffer[..answer.length].to_vec()), plain.clone());
        }
    }

    #[test]
    fn a_well_formed_request_gets_a_reply_unless_it_has_a_fault(request in request(), source in source()) {
        let (outcome, reply) = reply_to(&request, source);
        match outcome {
            Outcome::BadAttribute | Outcome::BadFingerprint => prop_assert!(reply.is_empty()),
            outcome => check_reply(&request, source, outcome, &reply),
        }
    }

    #[test]
    fn a_mutated_request_gets_a_correct_reply_or_none(request in mutated_request(), source in source()) {
        let (outcome, reply) = reply_to(&request, source);
        if !reply.is_empty() {
            check_reply(&request, source, outcome, &reply);
        }
    }

    #[test]
    fn a_reply_is_never_answered(request in request(), source in source()) {
        let (_, reply) = reply_to(&request, source);
        if !reply.is_empty() {
            prop_assert_eq!(reply_to(&reply, source), (Outcome::Response, vec![]));
        }
    }

    #[test]
    fn bytes_after_the_request_change_nothing(
        request in mutated_request(),
        source in source(),
        after in prop::collection::vec(any::<u8>(), REPLY_ROOM),
    ) {
        let mut buffer = [&request[..], &after].concat();
        let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), &Policy::default());
        prop_assert_eq!(reply_to(&request, source), (answer.outcome, buffer[..answer.length].to_vec()));
    }

    #[test]
    fn the_fingerprint_of_a_reply_is_correct(request in request(), source in source()) {
        let (outcome, reply) = reply_to(&request, source);
        if outcome.is_reply() && has_fingerprint(&request) {
            let (covered, value) = reply.split_at(reply.len() - 4);
            let crc = crc32(&covered[..covered.len() - 4]) ^ 0x5354_554e;
            prop_assert_eq!(value, &crc.to_be_bytes());
        }
    }

    #[test]
    fn with_any_options_replies_are_bounded_and_sent_from_served_endpoints(
        request in prop_oneof![3 => discovery_request(), 1 => mutated_request()],
        source in source(),
        version in 0..ENDPOINTS.len(),
        endpoint in 0..ENDPOINTS[0].len(),
        extras in extras(),
        authenticates: bool,
    ) {
        let server: SocketAddr = ENDPOINTS[version][endpoint].parse().unwrap();
        // A user can also authenticate a malformed request.
        let request = if authenticates && request.len() >= 20 { authenticated(&request) } else { request };
        let integrity = if extras.credentials.is_some() { Integrity::Sha256.length() } else { 0 };
        let challenge = match extras.credentials.as_deref() {
            Some(Credentials::LongTerm(_)) => 68 + REALM.len().next_multiple_of(4),
            _ => 28,
        };
        let software = if extras.software.is_some() { 36 } else { 0 };
        let policy = Policy { extras: Some(extras), ..Policy::default() };
        let mut buffer = [&request[..], &[0xa5; REPLY_ROOM]].concat();
        let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, || server), &policy);
        prop_assert_eq!(answer.outcome.is_reply(), answer.length > 0);
        prop_assert!(buffer[answer.length.max(request.len())..].iter().all(|byte| *byte == 0xa5));
        let origin = policy.origin(&server, answer.change);
        if policy.discovery(&server).is_none() {
            prop_assert!(!answer.is_diverted());
            prop_assert_eq!(origin, server);
        } else {
            let change = answer.change;
            prop_assert_eq!((origin.ip() != server.ip(), origin.port() != server.port()), (change.address, change.port));
            prop_assert!(ENDPOINTS[version][..4].contains(&origin.to_string().as_str()));
        }
        let fingerprint = if has_fingerprint(&request) { 8 } else { 0 };
        let address = if canonical(source).is_ipv4() { 12 } else { 24 };
        let bound = match answer.outcome {
            Outcome::Answered | Outcome::AnsweredClassic if policy.discovery(&server).is_some() => {
                // RESPONSE-ORIGIN and OTHER-ADDRESS have the server's address family.
                let origin = if server.is_ipv4() { 12 } else { 24 };
                (20 + 2 * address + 2 * origin + software + integrity + fingerprint + 4).max(request.len())
            }
            Outcome::Answered | Outcome::AnsweredClassic => 20 + address + software + integrity + fingerprint,
            Outcome::UnknownAttribute => request.len().max(36 + integrity + fingerprint),
            Outcome::BadRequest => request.len().max(28 + fingerprint),
            Outcome::Unauthenticated | Outcome::StaleNonce => challenge + fingerprint,
            Outcome::Redirected => request.len(),
            _ => 0,
        };
        prop_assert!(answer.length <= bound, "{:?} for {}", answer, request.len());
        if answer.length > 0 {
            check_reply_with_options(&request, source, answer.outcome, &buffer[..answer.length]);
        }
    }
}
