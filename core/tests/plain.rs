//! The plain service over arrays, put together as the XDP program does, against an independent
//! implementation and against `respond`.

use proptest::prelude::*;
use std::net::SocketAddr;
use xstun_core::outcome::Outcome::{self, *};
use xstun_core::stun::plain::{
    FINGERPRINTED_REPLY_IPV4, FINGERPRINTED_REPLY_IPV6, ROOM, SOFTWARE_REQUEST, check_lone_fingerprint,
    check_software_and_fingerprint, check_type, has_cookie, write,
};
use xstun_core::stun::{Dialect, Exchange, Policy, REPLY_ROOM, TransactionCrc, respond};
use xstun_testkit::messages::{BINDING_REQUEST, COOKIE, fingerprinted, with_transaction};
use xstun_testkit::reference;
use xstun_testkit::strategies::{self, mutated_request, source};

const SOFTWARE: u16 = 0x8022;

/// Checks of a request by array lengths alone; `None` if it is not plain.
fn check(message: &[u8]) -> Option<Result<(Dialect, Option<TransactionCrc>), Outcome>> {
    let (header, attributes) = message.split_first_chunk()?;
    if let Err(outcome) = check_type(header, attributes.len()) {
        return Some(Err(outcome));
    }
    let fingerprint = match *attributes {
        [] if has_cookie(header) => return Some(Ok((Dialect::Cookie, None))),
        [] => return Some(Ok((Dialect::Classic, None))),
        _ if !has_cookie(header) => return None,
        [0x80, 0x28, 0, 4, ref value @ ..] => {
            check_lone_fingerprint(header, u32::from_be_bytes(value.try_into().ok()?))
        }
        _ => check_software_and_fingerprint(header, attributes.try_into().ok()?)?,
    };
    Some(fingerprint.map(|fingerprint| (Dialect::Cookie, Some(fingerprint))))
}

/// The outcome of a request and its reply, empty for silence; `None` if it is not plain.
fn plain(message: &[u8], source: SocketAddr) -> Option<(Outcome, Vec<u8>)> {
    let (dialect, fingerprint) = match check(message)? {
        Ok(checked) => checked,
        Err(outcome) => return Some((outcome, Vec::new())),
    };
    let mut room = [0xa5; ROOM];
    room[..message.len()].copy_from_slice(message);
    let length = write(&mut room, dialect, &source, fingerprint);
    let outcome = if dialect == Dialect::Classic { AnsweredClassic } else { Answered };
    Some((outcome, room[..length].to_vec()))
}

fn general(message: &[u8], source: SocketAddr) -> (Outcome, Vec<u8>) {
    let mut buffer = [message, &[0xa5; REPLY_ROOM]].concat();
    let server = || "192.0.2.1:3478".parse().unwrap();
    let answer = respond(&mut buffer, message.len(), Exchange::datagram(&source, server), &Policy::default());
    (answer.outcome, buffer[..answer.length].to_vec())
}

fn transaction(id: [u8; 12]) -> [u8; 16] {
    let mut transaction = [0; 16];
    transaction[..4].copy_from_slice(&COOKIE);
    transaction[4..].copy_from_slice(&id);
    transaction
}

fn with_software(id: [u8; 12], text: &[u8]) -> Vec<u8> {
    fingerprinted(with_transaction(BINDING_REQUEST, &transaction(id), &[(SOFTWARE, text)]))
}

fn lone(id: [u8; 12]) -> Vec<u8> {
    fingerprinted(with_transaction(BINDING_REQUEST, &transaction(id), &[]))
}

/// One with every pair of bits: each bit of ID, text, port and address counts, and in its own way.
#[test]
fn each_bit_of_a_message_reaches_the_fingerprint() {
    let sources: [SocketAddr; 2] =
        ["198.51.100.7:40000", "[2001:db8:1::7]:40000"].map(|source| source.parse().unwrap());
    let bits = |length: usize| (0..length * 8).map(|bit| (bit / 8, 1u8 << (bit % 8)));
    for source in sources {
        for (byte, bit) in bits(12) {
            let mut id = [0; 12];
            id[byte] = bit;
            for request in [lone(id), with_software(id, b"tailnode")] {
                assert_eq!(plain(&request, source), Some(reference::respond(&request, source, true)));
            }
        }
        for request in [lone([7; 12]), with_software([7; 12], b"libjuice")] {
            for (byte, bit) in bits(request.len()).filter(|(byte, _)| *byte >= 8) {
                let mut changed = request.clone();
                changed[byte] ^= bit;
                let expected = reference::respond(&changed, source, true);
                assert_eq!(expected, general(&changed, source), "{changed:02x?}");
                if let Some(plain) = plain(&changed, source) {
                    assert_eq!(plain, expected, "{changed:02x?}");
                }
            }
        }
    }
}

#[test]
fn only_a_software_of_eight_bytes_is_plain() {
    let source = "198.51.100.7:40000".parse().unwrap();
    for length in 0..=12 {
        let request = with_software([7; 12], &b"libjuice 1.2"[..length]);
        assert_eq!(plain(&request, source).is_some(), length == 8, "{length}");
        assert_eq!(general(&request, source), reference::respond(&request, source, true), "{length}");
    }
}

proptest! {
    #![proptest_config(strategies::cases(2000))]

    #[test]
    fn the_reply_has_the_fingerprint_of_its_bytes(
        id in any::<[u8; 12]>(),
        text in any::<[u8; 8]>(),
        source in source(),
    ) {
        for request in [lone(id), with_software(id, &text)] {
            let expected = reference::respond(&request, source, true);
            prop_assert_eq!(expected.0, Answered);
            let length = if source.ip().to_canonical().is_ipv4() { FINGERPRINTED_REPLY_IPV4 } else { FINGERPRINTED_REPLY_IPV6 };
            prop_assert_eq!(expected.1.len(), length);
            prop_assert_eq!(plain(&request, source), Some(expected.clone()));
            prop_assert_eq!(general(&request, source), expected);
        }
    }

    #[test]
    fn a_changed_request_ends_as_on_the_general_path(
        id in any::<[u8; 12]>(),
        text in any::<[u8; 8]>(),
        changes in strategies::changes(),
        other in mutated_request(),
        source in source(),
    ) {
        for request in [changes.clone().apply(lone(id)), changes.apply(with_software(id, &text)), other] {
            let expected = reference::respond(&request, source, true);
            prop_assert_eq!(general(&request, source), expected.clone());
            if request.len() <= SOFTWARE_REQUEST && let Some(plain) = plain(&request, source) {
                prop_assert_eq!(plain, expected);
            }
        }
    }
}
