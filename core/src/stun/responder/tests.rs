//! Tests of `respond` that take many requests or a buffer of a particular length. The rules of the RFCs are
//! tested row by row in `xstun_testkit::conformance`.

mod extras;

use super::{Exchange, Policy, REPLY_ROOM, respond};
use crate::outcome::Outcome::{self, *};
use std::net::SocketAddr;
use std::vec::Vec;
use xstun_testkit::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, classic, fingerprinted, message,
    with_right_length,
};

const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const SOFTWARE: u16 = 0x8022;

fn source() -> SocketAddr {
    "198.51.100.7:40000".parse().unwrap()
}

fn server() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

/// Returns the outcome of `request` and the reply. The buffer is as short as allowed, and filled with ones.
fn ask_as(request: &[u8], source: SocketAddr, policy: &Policy) -> (Outcome, Vec<u8>) {
    let mut buffer = vec![0xff; request.len().max(REPLY_ROOM)];
    buffer[..request.len()].copy_from_slice(request);
    let before = buffer.clone();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), policy);
    assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
    if answer.length == 0 {
        assert_eq!(buffer, before, "silence leaves the buffer unchanged");
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

/// The value of XOR-MAPPED-ADDRESS for [`source`] (RFC 8489 §14.2).
const XOR_VALUE: [u8; 8] = [0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
/// The value of MAPPED-ADDRESS for [`source`] (RFC 3489 §11.2.1).
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

/// IANA's registry of 2024-12-20: types that are assigned, or reserved because of an earlier meaning.
#[test]
fn exactly_the_types_of_the_registry_are_known() {
    let registry = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x12, 0x13, 0x14,
        0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x24, 0x25, 0x2a,
    ];
    for kind in (0..0x100).step_by(if cfg!(miri) { 7 } else { 1 }).chain([0x3fff, 0x4000, 0x7fff]) {
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
fn any_flipped_bit_invalidates_the_fingerprint() {
    let valid = fingerprinted(request(&[(SOFTWARE, b"client")]));
    // Transaction ID, value and padding of SOFTWARE, and value of FINGERPRINT. A bit flipped elsewhere
    // changes the structure of the message, and so the reason for its outcome.
    for byte in (8..20).chain(24..32).chain(36..40) {
        for bit in (0..8).step_by(if cfg!(miri) { 3 } else { 1 }) {
            let mut flipped = valid.clone();
            flipped[byte] ^= 1 << bit;
            assert_eq!(ask(&flipped), (BadFingerprint, vec![]), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn an_error_reply_names_as_many_types_as_the_request_has_room_for() {
    for count in (1..40u16).step_by(if cfg!(miri) { 6 } else { 1 }) {
        for words in 0..20 {
            for (repeated, has_fingerprint) in [(false, false), (false, true), (true, false), (true, true)] {
                check_unknown_attributes(count, words, repeated, has_fingerprint);
            }
        }
    }
}

/// Checks the 420 to a request with `count` unknown types, each once or `repeated`, and so many `words` in a
/// SOFTWARE.
fn check_unknown_attributes(count: u16, words: usize, repeated: bool, has_fingerprint: bool) {
    let filler = vec![0; words * 4];
    let kinds: Vec<u16> = (0x5000..0x5000 + count).collect();
    let mut attributes: Vec<Attribute> = kinds.iter().map(|kind| (*kind, &[][..])).collect();
    if repeated {
        // The reply names each type once.
        attributes.extend(kinds.iter().map(|kind| (*kind, &[][..])));
    }
    if words > 0 {
        attributes.push((SOFTWARE, &filler));
    }
    let finished = |message: Vec<u8>| if has_fingerprint { fingerprinted(message) } else { message };
    let request = finished(request(&attributes));
    let bound = request.len().max(if has_fingerprint { 44 } else { 36 });
    let reply = |code: &[u8], list: &[u8]| {
        finished(message(BINDING_ERROR, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, list)]))
    };
    // First the longest list that fits, then the reason phrase if it fits too.
    let code = [0, 0, 4, 20];
    let list = (1..=kinds.len().min(12))
        .map(|named| types(&kinds[..named]))
        .rfind(|list| reply(&code, list).len() <= bound)
        .unwrap();
    let with_reason = reply(&[&code[..], b"Unknown Attribute"].concat(), &list);
    let expected = if with_reason.len() <= request.len() { with_reason } else { reply(&code, &list) };
    assert!(expected.len() <= bound);
    assert_eq!(ask(&request), (UnknownAttribute, expected), "{count} types, {words} words of SOFTWARE");
}

#[test]
fn an_ipv4_mapped_source_is_answered_as_ipv4() {
    let mapped: SocketAddr = "[::ffff:198.51.100.7]:40000".parse().unwrap();
    assert_eq!(ask_as(&request(&[]), mapped, &Policy::default()), (Answered, success()));
    let classic_request = classic(BINDING_REQUEST, &[]);
    assert_eq!(ask_as(&classic_request, mapped, &Policy::default()), (AnsweredClassic, classic_success()));
}

/// The request of RFC 5769 §2.1 has FINGERPRINT after MESSAGE-INTEGRITY. §2.2 and §2.3 give the
/// XOR-MAPPED-ADDRESS of its replies.
#[test]
fn the_test_vectors_of_rfc_5769_are_answered() {
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
    // The whole response of §2.2. Its FINGERPRINT is valid, so the outcome is that of a response.
    let response = hex("0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 \
                        00200008 0001a147 e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 \
                        80280004 c07d4c96");
    assert_eq!(ask(&response), (Response, vec![]));
    let without_fingerprint = with_right_length(response[..72].to_vec());
    assert_eq!(
        fingerprinted(without_fingerprint),
        response,
        "the tests compute FINGERPRINT as RFC 5769 does"
    );
}

/// The plain service requires room for its longest reply, everything else [`REPLY_ROOM`].
#[test]
fn a_buffer_without_room_is_left_unchanged() {
    let (v4, v6) = (source(), "[2001:db8::7]:40000".parse().unwrap());
    let unknown = request(&[(0x5000, &[])]);
    let rows = [
        (request(&[]), v4, Answered, 52),
        (request(&[]), v6, Answered, 52),
        (fingerprinted(request(&[])), v4, Answered, 52),
        (fingerprinted(request(&[])), v6, Answered, 52),
        (classic(BINDING_REQUEST, &[]), v4, AnsweredClassic, 52),
        (unknown, v4, UnknownAttribute, REPLY_ROOM),
    ];
    for (request, source, outcome, least) in rows {
        for length in (request.len()..least + 8).step_by(if cfg!(miri) { 4 } else { 1 }) {
            let mut buffer = vec![0; length];
            buffer[..request.len()].copy_from_slice(&request);
            let before = buffer.clone();
            let exchange = Exchange::datagram(&source, server);
            let answer = respond(&mut buffer, request.len(), exchange, &Policy::default());
            if length < least {
                assert_eq!((answer.outcome, answer.length), (NoRoom, 0), "{length} bytes for {outcome:?}");
                assert_eq!(buffer, before);
            } else {
                assert_eq!(answer.outcome, outcome, "{length} bytes");
            }
        }
    }
    let answer = respond(&mut [0; 200], 201, Exchange::datagram(&source(), server), &Policy::default());
    assert_eq!(answer.outcome, NoRoom);
}
