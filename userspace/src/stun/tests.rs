//! The rules, row by row, each with the section that makes it one.

mod extras;
#[path = "../../tests/common/messages.rs"]
pub(super) mod messages;

use super::{Exchange, Policy, REPLY_ROOM, respond};
use crate::outcome::Outcome::{self, *};
use messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, COOKIE, ID, classic, fingerprinted, message,
    with_right_length, with_transaction,
};
use std::net::SocketAddr;

const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const RESPONSE_PORT: u16 = 0x0027;
const SOFTWARE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;

fn source() -> SocketAddr {
    "198.51.100.7:40000".parse().unwrap()
}

fn server() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

fn source_v6() -> SocketAddr {
    "[2001:db8:1::7]:40000".parse().unwrap()
}

/// What became of `request`, and the reply, in a buffer as long as it must be and full of ones.
fn ask_as(request: &[u8], source: SocketAddr, policy: &Policy) -> (Outcome, Vec<u8>) {
    let mut buffer = vec![0xff; request.len().max(REPLY_ROOM)];
    buffer[..request.len()].copy_from_slice(request);
    let before = buffer.clone();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), policy);
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    if answer.length == 0 {
        assert_eq!(buffer, before, "silence leaves the buffer as it was");
    }
    (answer.outcome, buffer[..answer.length].to_vec())
}

fn ask(request: &[u8]) -> (Outcome, Vec<u8>) {
    ask_as(request, source(), &Policy::default())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The value that RFC 8489 §14.2 gives for [`source`].
const XOR_VALUE: [u8; 8] = [0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
/// The value that RFC 3489 §11.2.1 gives for [`source`].
const PLAIN_VALUE: [u8; 8] = [0, 1, 0x9c, 0x40, 198, 51, 100, 7];

fn success() -> Vec<u8> {
    message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &XOR_VALUE)])
}

fn classic_success() -> Vec<u8> {
    classic(BINDING_SUCCESS, &[(MAPPED_ADDRESS, &PLAIN_VALUE)])
}

fn request(attributes: &[Attribute]) -> Vec<u8> {
    message(BINDING_REQUEST, attributes)
}

fn types(types: &[u16]) -> Vec<u8> {
    types.iter().flat_map(|kind| kind.to_be_bytes()).collect()
}

/// A 420 without reason phrase.
fn unknown(list: &[u16]) -> Vec<u8> {
    message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, &types(list))])
}

/// A 420 with its reason phrase.
fn unknown_with_reason(list: &[u16]) -> Vec<u8> {
    let code = [&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat();
    message(BINDING_ERROR, &[(ERROR_CODE, &code), (UNKNOWN_ATTRIBUTES, &types(list))])
}

fn check(rows: Vec<(&str, Vec<u8>, Outcome, Vec<u8>)>) {
    for (rule, request, outcome, reply) in rows {
        assert_eq!(ask(&request), (outcome, reply), "{rule}");
    }
}

/// Every kind of client that asks STUN servers, with the bytes that it sends and those that it gets.
#[test]
fn every_known_client_gets_its_reply() {
    let v4 = "0101000c 2112a442 b7e7a701bc34d686fa87dfae 00200008 0001bd52 e721c045";
    let v4_fingerprint =
        "01010014 2112a442 b7e7a701bc34d686fa87dfae 00200008 0001bd52 e721c045 80280004 78bea84a";
    let v6 =
        "01010018 2112a442 b7e7a701bc34d686fa87dfae 00200014 0002bd52 0113a9fa b7e6a701 bc34d686 fa87dfa9";
    let v6_fingerprint = "01010020 2112a442 b7e7a701bc34d686fa87dfae 00200014 0002bd52 0113a9fa b7e6a701 bc34d686 \
                          fa87dfa9 80280004 8ff0f571";
    let old = "0101000c deadbeef b7e7a701bc34d686fa87dfae 00010008 00019c40 c6336407";
    let old_v6 =
        "01010018 deadbeef b7e7a701bc34d686fa87dfae 00010014 00029c40 20010db8000100000000000000000007";
    let zero = "0101000c 2112a442 000000000000000000000000 00200008 0001bd52 e721c045";
    let tr111 = classic(
        BINDING_REQUEST,
        &[
            (0xc001, b"dslforum.org/TR-111 "),
            (0xc002, &[]),
            (0x0006, b"00D09E-0123456789\0\0\0"),
            (CHANGE_REQUEST, &[0; 4]),
            (0x0002, &[0, 1, 0x0d, 0x96, 203, 0, 113, 9]),
        ],
    );
    let rows: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("libwebrtc, libnice, pion", hex("00010000 2112a442 b7e7a701bc34d686fa87dfae"), v4, v6),
        (
            "Firefox",
            hex("00010008 2112a442 b7e7a701bc34d686fa87dfae 80280004 fdf6ae02"),
            v4_fingerprint,
            v6_fingerprint,
        ),
        (
            "Tailscale",
            hex("00010014 2112a442 b7e7a701bc34d686fa87dfae 80220008 7461696c6e6f6465 80280004 9e8df0ce"),
            v4_fingerprint,
            v6_fingerprint,
        ),
        (
            "libjuice",
            hex("00010014 2112a442 b7e7a701bc34d686fa87dfae 80220008 6c69626a75696365 80280004 2b6fabbf"),
            v4_fingerprint,
            v6_fingerprint,
        ),
        ("ice4j", request(&[(SOFTWARE, b"ice4j.org")]), v4, v6),
        ("PJSIP", request(&[(SOFTWARE, b"pjnath-2.14.1")]), v4, v6),
        ("stuntman's client", hex("00010008 2112a442 b7e7a701bc34d686fa87dfae 00030004 00000000"), v4, v6),
        ("libnice in its old modes, Debian's stun", classic(BINDING_REQUEST, &[]), old, old_v6),
        (
            "pystun3, node-stun, stunc",
            hex("00010008 deadbeef b7e7a701bc34d686fa87dfae 00030004 00000000"),
            old,
            old_v6,
        ),
        ("a TR-111 device", tr111, old, old_v6),
        ("nmap, Shadowserver", hex("00010000 2112a442 000000000000000000000000"), zero, "-"),
    ];
    for (client, request, over_v4, over_v6) in rows {
        let outcome = if request[4..8] == COOKIE { Answered } else { AnsweredClassic };
        assert_eq!(ask(&request), (outcome, hex(over_v4)), "{client}");
        if over_v6 != "-" {
            let asked = ask_as(&request, source_v6(), &Policy::default());
            assert_eq!(asked, (outcome, hex(over_v6)), "{client} over IPv6");
        }
    }
}

#[test]
fn coturns_client_learns_that_rfc_5780_is_off() {
    let first = request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0, 0]), (CHANGE_REQUEST, &[0, 0, 0, 6])]);
    assert_eq!(first.len(), 36);
    assert_eq!(ask(&first), (UnknownAttribute, unknown(&[RESPONSE_PORT, CHANGE_REQUEST])));
    let padding = [0; 1500];
    let second = request(&[(CHANGE_REQUEST, &[0, 0, 0, 6]), (0x0026, &padding)]);
    assert_eq!(second.len(), 1532);
    assert_eq!(ask(&second), (UnknownAttribute, unknown_with_reason(&[CHANGE_REQUEST, 0x0026])));
}

/// Where other servers answer what must be met with silence, or are silent or wrong where an answer
/// is owed.
#[test]
fn the_faults_of_other_servers_are_not_made_here() {
    let mut trailing = request(&[]);
    trailing.extend_from_slice(&[0; 4]);
    let wrong = {
        let mut request = fingerprinted(request(&[]));
        request[27] ^= 1;
        request
    };
    let thirteen: Vec<Attribute> = (0x4000..0x400d).map(|kind| (kind, &[][..])).collect();
    check(vec![
        (
            "an attribute overruns the message (RFC 8489 §14)",
            with_right_length([request(&[]), vec![0x80, 0x22, 0, 9, 1, 2, 3, 4]].concat()),
            BadAttribute,
            vec![],
        ),
        (
            "a length that is no multiple of four (RFC 8489 §5)",
            with_right_length([request(&[]), vec![0x80, 0x22, 0]].concat()),
            BadLength,
            vec![],
        ),
        ("bytes behind the message (RFC 8489 §6.3)", trailing, BadLength, vec![]),
        (
            "an unknown required attribute is no success (RFC 8489 §6.3.1)",
            request(&[(0x4000, &[0; 4])]),
            UnknownAttribute,
            unknown(&[0x4000]),
        ),
        ("a wrong FINGERPRINT (RFC 8489 §14.7)", wrong, BadFingerprint, vec![]),
        ("USE-CANDIDATE is known (RFC 8445 §16.1)", request(&[(0x0025, &[])]), Answered, success()),
        (
            "MESSAGE-INTEGRITY-SHA256 is known (RFC 8489 §14.6)",
            request(&[(MESSAGE_INTEGRITY_SHA256, &[0; 32])]),
            Answered,
            success(),
        ),
        (
            "RESPONSE-PORT diverts nothing (RFC 5780 §7.5)",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0, 0])]),
            UnknownAttribute,
            unknown(&[RESPONSE_PORT]),
        ),
        (
            "RESPONSE-ADDRESS diverts nothing (RFC 8489 §11)",
            request(&[(0x0002, &[0, 1, 0, 80, 203, 0, 113, 9])]),
            Answered,
            success(),
        ),
        (
            "another method gets silence, not 400 (RFC 8489 §6.3)",
            message(0x0003, &[(0x0019, &[17, 0, 0, 0])]),
            OtherMethod,
            vec![],
        ),
        (
            "more than twelve unknown required attributes (RFC 8489 §6.3.1)",
            request(&thirteen),
            UnknownAttribute,
            unknown(&[
                0x4000, 0x4001, 0x4002, 0x4003, 0x4004, 0x4005, 0x4006, 0x4007, 0x4008, 0x4009, 0x400a,
                0x400b,
            ]),
        ),
    ]);
}

#[test]
fn what_is_no_binding_request_gets_silence() {
    let typed = |kind| message(kind, &[]);
    let length = |length: u16| {
        let mut request = request(&[]);
        request[2..4].copy_from_slice(&length.to_be_bytes());
        request
    };
    check(vec![
        ("nothing at all (RFC 8489 §5)", vec![], NotStun, vec![]),
        ("a byte short of a header (RFC 8489 §5)", request(&[])[..19].to_vec(), NotStun, vec![]),
        ("the first bit set: RTP (RFC 8489 §5)", typed(0x8001), NotStun, vec![]),
        ("the second bit set: ChannelData (RFC 8489 §5)", typed(0x4001), NotStun, vec![]),
        ("too great a length (RFC 8489 §6.3)", length(4), BadLength, vec![]),
        ("the greatest length (RFC 8489 §6.3)", length(0xfffc), BadLength, vec![]),
        ("a length with its low bits set (RFC 8489 §5)", length(1), BadLength, vec![]),
        ("TURN's Allocate (RFC 8489 §6.3)", typed(0x0003), OtherMethod, vec![]),
        ("Shared Secret of RFC 3489 (RFC 8489 §18.2)", typed(0x0002), OtherMethod, vec![]),
        ("method 0 (RFC 8489 §18.2)", typed(0x0000), OtherMethod, vec![]),
        ("a method with a high bit (RFC 8489 §5)", typed(0x2001), OtherMethod, vec![]),
        ("the method bit above the class bits (RFC 8489 §5)", typed(0x0201), OtherMethod, vec![]),
        ("the method bit between the class bits (RFC 8489 §5)", typed(0x0021), OtherMethod, vec![]),
        ("an indication of another method (RFC 8489 §6.3)", typed(0x0016), OtherMethod, vec![]),
        ("a Binding indication (RFC 8489 §6.3.2)", typed(0x0011), Indication, vec![]),
        ("a success response (RFC 8489 §6.3.3)", success(), Response, vec![]),
        ("an error response (RFC 8489 §6.3.4)", unknown(&[0x4000]), Response, vec![]),
        ("a classic success response (RFC 3489 §8.1)", classic_success(), Response, vec![]),
        ("a classic indication: there is none (RFC 3489 §11.1)", classic(0x0011, &[]), Indication, vec![]),
    ]);
}

#[test]
fn attributes_are_read_as_the_rfc_says() {
    let flags = |flags: u8| request(&[(CHANGE_REQUEST, &[0, 0, 0, flags])]);
    let mut dirty = request(&[(SOFTWARE, b"a")]);
    dirty[25..28].copy_from_slice(&[1, 2, 3]);
    let raw = |bytes: &[u8]| with_right_length([request(&[]), bytes.to_vec()].concat());
    let integrity: Attribute = (MESSAGE_INTEGRITY, &[0; 20]);
    let sha256: Attribute = (MESSAGE_INTEGRITY_SHA256, &[0; 32]);
    let strange: Attribute = (0x7fff, &[]);
    let reject = |list: &[u16]| unknown(list);
    check(vec![
        ("an empty optional attribute (RFC 8489 §14)", request(&[(0x8000, &[])]), Answered, success()),
        ("the last optional type (RFC 8489 §14)", request(&[(0xffff, b"?")]), Answered, success()),
        ("padding that is not zero (RFC 8489 §14)", dirty, Answered, success()),
        (
            "SOFTWARE that is no UTF-8 (RFC 8489 §14.14)",
            request(&[(SOFTWARE, &[0xff; 3])]),
            Answered,
            success(),
        ),
        (
            "a length without its padding (RFC 8489 §14)",
            raw(&[0x80, 0x22, 0, 5, 1, 2, 3, 4]),
            BadAttribute,
            vec![],
        ),
        ("the greatest length (RFC 8489 §14)", raw(&[0x80, 0x22, 0xff, 0xff]), BadAttribute, vec![]),
        (
            "an overrun behind an unknown attribute (RFC 8489 §6.3.1)",
            raw(&[0x40, 0, 0, 0, 0x80, 0x22, 0, 1]),
            BadAttribute,
            vec![],
        ),
        (
            "an overrun behind MESSAGE-INTEGRITY (RFC 8489 §14)",
            with_right_length([request(&[integrity]), vec![0x80, 0x22, 0, 1]].concat()),
            BadAttribute,
            vec![],
        ),
        ("the last required type (RFC 8489 §14)", request(&[strange]), UnknownAttribute, reject(&[0x7fff])),
        ("type 0 is reserved (RFC 8489 §18.3)", request(&[(0, &[])]), UnknownAttribute, reject(&[0])),
        ("type 64 (RFC 8489 §18.3)", request(&[(64, &[])]), UnknownAttribute, reject(&[64])),
        ("type 65 is not type 1 (RFC 8489 §18.3)", request(&[(65, &[])]), UnknownAttribute, reject(&[65])),
        ("PADDING, with RFC 5780 off", request(&[(0x0026, &[0; 4])]), UnknownAttribute, reject(&[0x26])),
        ("CHANGE-REQUEST without flags (RFC 5780 §7.2)", flags(0), Answered, success()),
        ("CHANGE-REQUEST with other bits only (RFC 5780 §7.2)", flags(0xf9), Answered, success()),
        ("change port (RFC 5780 §7.2)", flags(2), UnknownAttribute, reject(&[3])),
        ("change IP (RFC 5780 §7.2)", flags(4), UnknownAttribute, reject(&[3])),
        ("an empty CHANGE-REQUEST (RFC 5780 §7.2)", request(&[(CHANGE_REQUEST, &[])]), BadAttribute, vec![]),
        (
            "a CHANGE-REQUEST of three bytes (RFC 5780 §7.2)",
            request(&[(CHANGE_REQUEST, &[0; 3])]),
            BadAttribute,
            vec![],
        ),
        (
            "a CHANGE-REQUEST of eight bytes (RFC 5780 §7.2)",
            request(&[(CHANGE_REQUEST, &[0; 8])]),
            BadAttribute,
            vec![],
        ),
        (
            "the first CHANGE-REQUEST counts: it asks for nothing (RFC 8489 §14)",
            request(&[(CHANGE_REQUEST, &[0; 4]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Answered,
            success(),
        ),
        (
            "the first CHANGE-REQUEST counts: it asks (RFC 8489 §14)",
            request(&[(CHANGE_REQUEST, &[0, 0, 0, 6]), (CHANGE_REQUEST, &[0; 4])]),
            UnknownAttribute,
            reject(&[3]),
        ),
        (
            "an unknown attribute behind MESSAGE-INTEGRITY (RFC 8489 §14.5)",
            request(&[integrity, strange]),
            Answered,
            success(),
        ),
        (
            "an unknown attribute behind MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6)",
            request(&[sha256, strange]),
            Answered,
            success(),
        ),
        (
            "an unknown attribute behind both (RFC 8489 §14.6)",
            request(&[integrity, sha256, strange]),
            Answered,
            success(),
        ),
        (
            "CHANGE-REQUEST behind MESSAGE-INTEGRITY (RFC 8489 §14.5)",
            request(&[integrity, (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            Answered,
            success(),
        ),
        (
            "a FINGERPRINT behind MESSAGE-INTEGRITY (RFC 8489 §14.5)",
            fingerprinted(request(&[integrity])),
            Answered,
            fingerprinted(success()),
        ),
        (
            "an unknown attribute before MESSAGE-INTEGRITY (RFC 8489 §6.3.1)",
            request(&[strange, integrity]),
            UnknownAttribute,
            unknown(&[0x7fff]),
        ),
    ]);
}

/// The registry as IANA had it on 2024-12-20: assigned, or reserved with a former meaning.
#[test]
fn every_type_of_the_registry_is_known_and_no_other() {
    let registry = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x12, 0x13, 0x14,
        0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x24, 0x25, 0x2a,
    ];
    for kind in (0..0x100).chain([0x3fff, 0x4000, 0x7fff]) {
        let expected = if registry.contains(&kind) { Answered } else { UnknownAttribute };
        assert_eq!(ask(&request(&[(kind, &[0; 4])])).0, expected, "{kind:#06x}");
        let expected = if registry.contains(&kind) { AnsweredClassic } else { UnknownAttribute };
        assert_eq!(ask(&classic(BINDING_REQUEST, &[(kind, &[0; 4])])).0, expected, "{kind:#06x}");
    }
    for kind in [0x8000, 0x8020, 0x8023, 0xc057, 0xffff] {
        assert_eq!(ask(&request(&[(kind, &[0; 4])])).0, Answered, "{kind:#06x}");
    }
}

#[test]
fn fingerprint_is_checked_and_returned() {
    let mut misplaced = fingerprinted(request(&[]));
    misplaced.extend_from_slice(&[0x80, 0x22, 0, 0]);
    let short = request(&[(FINGERPRINT, &[1, 2, 3])]);
    let long = request(&[(FINGERPRINT, &[0; 8])]);
    let zero = request(&[(FINGERPRINT, &[0; 4])]);
    let twice = fingerprinted(fingerprinted(request(&[])));
    let plain_crc = {
        let mut request = fingerprinted(request(&[]));
        let crc = messages::crc32(&request[..20]);
        request[24..].copy_from_slice(&crc.to_be_bytes());
        request
    };
    let strange = fingerprinted(request(&[(0x4000, &[])]));
    check(vec![
        ("alone (RFC 8489 §14.7)", fingerprinted(request(&[])), Answered, fingerprinted(success())),
        (
            "behind SOFTWARE (RFC 8489 §14.7)",
            fingerprinted(request(&[(SOFTWARE, b"client")])),
            Answered,
            fingerprinted(success()),
        ),
        ("not last (RFC 8489 §14.7)", with_right_length(misplaced), BadFingerprint, vec![]),
        ("three bytes (RFC 8489 §14.7)", short, BadFingerprint, vec![]),
        ("eight bytes (RFC 8489 §14.7)", long, BadFingerprint, vec![]),
        ("zero (RFC 8489 §14.7)", zero, BadFingerprint, vec![]),
        ("twice (RFC 8489 §14.7)", twice, BadFingerprint, vec![]),
        ("a CRC not combined with \"STUN\" (RFC 8489 §14.7)", plain_crc, BadFingerprint, vec![]),
        ("on an error reply (RFC 8489 §14.7)", strange, UnknownAttribute, fingerprinted(unknown(&[0x4000]))),
    ]);
    let whole = fingerprinted(request(&[(SOFTWARE, b"client")]));
    // Transaction ID, SOFTWARE's value with its padding, and the FINGERPRINT's value: elsewhere a flipped
    // bit makes a message that is wrong, or right, for another reason.
    for byte in (8..20).chain(24..32).chain(36..40) {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            assert_eq!(ask(&flipped), (BadFingerprint, vec![]), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn an_error_reply_says_as_much_as_its_request_has_room_for() {
    let code_with_reason = [&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat();
    for count in 1..40u16 {
        for room in 0..20 {
            let filler = vec![0; room * 4];
            let kinds: Vec<u16> = (0x5000..0x5000 + count).collect();
            let mut attributes: Vec<Attribute> = kinds.iter().map(|kind| (*kind, &[][..])).collect();
            // Each a second time, to be named once only.
            attributes.extend(kinds.iter().map(|kind| (*kind, &[][..])));
            if room > 0 {
                attributes.push((SOFTWARE, &filler));
            }
            for print in [false, true] {
                let asked = request(&attributes);
                let asked = if print { fingerprinted(asked) } else { asked };
                let least = if print { 44 } else { 36 };
                let bound = asked.len().max(least);
                let sized = |attributes: &[Attribute]| {
                    let reply = message(BINDING_ERROR, attributes);
                    if print { fingerprinted(reply) } else { reply }
                };
                // The longest list that fits, as the rule says it, and then the reason.
                let best = (1..=kinds.len().min(12))
                    .map(|named| types(&kinds[..named]))
                    .rfind(|list| {
                        sized(&[(ERROR_CODE, &[0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, list)]).len() <= bound
                    })
                    .unwrap();
                let full = sized(&[(ERROR_CODE, &code_with_reason), (UNKNOWN_ATTRIBUTES, &best)]);
                let frugal = sized(&[(ERROR_CODE, &[0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, &best)]);
                let expected = if full.len() <= asked.len() { full } else { frugal };
                assert!(expected.len() <= bound);
                assert_eq!(ask(&asked), (UnknownAttribute, expected), "{count} types, {room} words more");
            }
        }
    }
}

#[test]
fn classic_requests_are_served_as_rfc_3489_says() {
    let asked = |attributes: &[Attribute]| classic(BINDING_REQUEST, attributes);
    let rejected = |code: &[u8], list: &[u16]| {
        classic(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, &types(list))])
    };
    let near_cookie = |byte: usize| {
        let mut transaction = [&COOKIE[..], &ID].concat();
        transaction[byte] ^= 1;
        (
            with_transaction(BINDING_REQUEST, &transaction, &[]),
            with_transaction(BINDING_SUCCESS, &transaction, &[(MAPPED_ADDRESS, &PLAIN_VALUE)]),
        )
    };
    let frugal = [0, 0, 4, 20];
    let reason = [&frugal, &b"Unknown Attribute   "[..]].concat();
    let mut rows = vec![
        ("bare (RFC 8489 §11)", asked(&[]), AnsweredClassic, classic_success()),
        (
            "FINGERPRINT means nothing (RFC 8489 §11)",
            asked(&[(FINGERPRINT, &[0; 4]), (SOFTWARE, b"x")]),
            AnsweredClassic,
            classic_success(),
        ),
        (
            "RESPONSE-ADDRESS diverts nothing (RFC 3489 §11.2.2)",
            asked(&[(0x0002, &[0, 1, 0, 80, 203, 0, 113, 9])]),
            AnsweredClassic,
            classic_success(),
        ),
        (
            "CHANGE-REQUEST without flags (RFC 3489 §11.2.4)",
            asked(&[(CHANGE_REQUEST, &[0; 4])]),
            AnsweredClassic,
            classic_success(),
        ),
        (
            "an odd list repeats its last type (RFC 3489 §11.2.10)",
            asked(&[(CHANGE_REQUEST, &[0, 0, 0, 6])]),
            UnknownAttribute,
            rejected(&frugal, &[3, 3]),
        ),
        (
            "an even list repeats none (RFC 3489 §11.2.10)",
            asked(&[(0x4001, &[]), (0x4000, &[])]),
            UnknownAttribute,
            rejected(&frugal, &[0x4001, 0x4000]),
        ),
        (
            "a reason phrase is filled up with spaces (RFC 3489 §11.2.9)",
            asked(&[(0x4001, &[0; 40])]),
            UnknownAttribute,
            rejected(&reason, &[0x4001, 0x4001]),
        ),
        (
            "an overrun (RFC 3489 §8.1)",
            with_right_length([asked(&[]), vec![0x80, 0x22, 0, 1]].concat()),
            BadAttribute,
            vec![],
        ),
        ("Shared Secret is not served (RFC 8489 §11)", classic(0x0002, &[]), OtherMethod, vec![]),
    ];
    for byte in 0..4 {
        let (request, reply) = near_cookie(byte);
        rows.push(("a cookie that is wrong in one bit (RFC 8489 §5)", request, AnsweredClassic, reply));
    }
    check(rows);
}

#[test]
fn classic_requests_get_silence_where_the_operator_wants_it() {
    let policy = Policy { classic: false, ..Policy::default() };
    let off = |request: &[u8]| ask_as(request, source(), &policy);
    assert_eq!(off(&classic(BINDING_REQUEST, &[])), (NoCookie, vec![]));
    assert_eq!(off(&classic(BINDING_REQUEST, &[(0x4000, &[])])), (NoCookie, vec![]));
    assert_eq!(off(&request(&[])), (Answered, success()));
}

#[test]
fn an_ipv4_mapped_source_is_answered_as_ipv4() {
    let mapped: SocketAddr = "[::ffff:198.51.100.7]:40000".parse().unwrap();
    assert_eq!(ask_as(&request(&[]), mapped, &Policy::default()), (Answered, success()));
    let classic_request = classic(BINDING_REQUEST, &[]);
    assert_eq!(ask_as(&classic_request, mapped, &Policy::default()), (AnsweredClassic, classic_success()));
}

/// RFC 5769 §2.1: the request has FINGERPRINT behind MESSAGE-INTEGRITY; §2.2 and §2.3 give the
/// XOR-MAPPED-ADDRESS that its reply holds.
#[test]
fn the_vectors_of_rfc_5769_are_met() {
    let sample = hex("00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 \
                      00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020 \
                      00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf");
    let v4 = hex("0001a147 e112a643");
    let v6 = hex("0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9");
    let rows = [("192.0.2.1:32853", v4), ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", v6)];
    for (source, value) in rows {
        let reply = fingerprinted(message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &value)]));
        let asked = ask_as(&sample, source.parse().unwrap(), &Policy::default());
        assert_eq!(asked, (Answered, reply), "{source}");
    }
    // §2.2 as a whole: another implementation's reply, whose FINGERPRINT holds here too.
    let response = hex("0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 \
                        00200008 0001a147 e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 \
                        80280004 c07d4c96");
    assert_eq!(ask(&response), (Response, vec![]));
    let unsigned = with_right_length(response[..72].to_vec());
    assert_eq!(fingerprinted(unsigned), response, "the tests' own FINGERPRINT is RFC 5769's");
}

#[test]
fn a_buffer_without_room_ends_in_a_name_and_stays_as_it_was() {
    for length in 20..REPLY_ROOM {
        let mut buffer = vec![0; length];
        buffer[..20].copy_from_slice(&request(&[]));
        let before = buffer.clone();
        assert_eq!(
            respond(&mut buffer, 20, Exchange::datagram(&source(), server), &Policy::default()).outcome,
            NoRoom
        );
        assert_eq!(buffer, before);
    }
    assert_eq!(
        respond(&mut [0; 200], 201, Exchange::datagram(&source(), server), &Policy::default()).outcome,
        NoRoom
    );
}
