//! The XDP program's way to a reply gives what the worker's gives, or nothing.

use proptest::prelude::*;
use std::net::IpAddr;
use xstun_core::answer::answer;
use xstun_core::outcome::Outcome;
use xstun_core::plain_frame::Declined;
use xstun_core::served::Served;
use xstun_core::stun::{Extras, Permission, Policy, REPLY_ROOM};
use xstun_testkit::frames::{
    CLIENT_IPV4, CLIENT_IPV6, IPV4, IPV6, MAC, PORT, REQUEST, Tag, ipv4_header, ipv6_header, padded, served,
    udp,
};
use xstun_testkit::messages::{BINDING_REQUEST, classic, fingerprinted, message, with_transaction};
use xstun_testkit::plain::answer_in_kernel;
use xstun_testkit::strategies::{self, changes, mutated_request};

const SOFTWARE: u16 = 0x8022;
const ALL: Permission = Permission::answer(true, true);

/// The worker's outcome and reply.
fn worker(frame: &[u8], served: &Served, policy: &Policy) -> (Outcome, Vec<u8>) {
    let mut buffer = with_room(frame);
    let answer = answer(&mut buffer, frame.len(), served, policy);
    (answer.outcome, buffer[..answer.length].to_vec())
}

/// The frame in a buffer that has room for every reply.
fn with_room(frame: &[u8]) -> Vec<u8> {
    padded(frame.to_vec(), frame.len() + 70 + REPLY_ROOM)
}

/// Each plain request in a frame of each shape.
fn plain_frames() -> Vec<Vec<u8>> {
    let plain = [
        REQUEST.to_vec(),
        fingerprinted(REQUEST.to_vec()),
        fingerprinted(message(BINDING_REQUEST, &[(SOFTWARE, b"tailnode")])),
        classic(BINDING_REQUEST, &[]),
    ];
    let mut frames = Vec::new();
    for payload in &plain {
        for ip in [ipv4_header(), ipv6_header()] {
            for tag in [Tag::None, Tag::One(7)] {
                frames.push(udp(ip.clone(), tag, payload));
            }
        }
    }
    frames
}

#[test]
fn each_plain_request_gets_the_workers_reply() {
    for frame in plain_frames() {
        let expected = worker(&frame, &served(), &Policy::default());
        assert!(expected.0.is_reply(), "{frame:02x?}");
        for frame in [frame.clone(), padded(frame.clone(), frame.len() + 6)] {
            assert_eq!(answer_in_kernel(&frame, true, &served(), ALL), Ok(expected.clone()), "{frame:02x?}");
            assert_eq!(answer_in_kernel(&frame, false, &served(), ALL), Err(Declined::NoRoom));
            let redirect = answer_in_kernel(&frame, true, &served(), Permission::REDIRECT);
            assert_eq!(redirect, Err(Declined::NotPlain));
        }
    }
}

/// Every bit of a plain frame matters, or the reply shows that it does not.
#[test]
fn a_changed_bit_gives_the_workers_reply_or_none() {
    for frame in plain_frames() {
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(found) = answer_in_kernel(&changed, true, &served(), ALL) {
                assert_eq!(
                    found,
                    worker(&changed, &served(), &Policy::default()),
                    "bit {bit} of {frame:02x?}"
                );
            }
        }
    }
}

#[test]
fn a_permission_excludes_classic_requests_and_zero_transactions() {
    let zero =
        with_transaction(BINDING_REQUEST, &[0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]);
    let classic = classic(BINDING_REQUEST, &[]);
    let rows = [
        (&zero, Permission::answer(true, true), true),
        (&zero, Permission::answer(true, false), false),
        (&classic, Permission::answer(true, false), true),
        (&classic, Permission::answer(false, true), false),
        (&REQUEST.to_vec(), Permission::answer(false, false), true),
    ];
    for (payload, permission, is_answered) in rows {
        for ip in [ipv4_header(), ipv6_header()] {
            let frame = udp(ip, Tag::None, payload);
            let found = answer_in_kernel(&frame, true, &served(), permission);
            assert_eq!(found.is_ok(), is_answered, "{permission:?}: {payload:02x?}");
        }
    }
}

/// The refusal is the worker's to count, so the frame goes there.
#[test]
fn a_refused_source_is_not_answered() {
    let clients = [IpAddr::V4(CLIENT_IPV4), IpAddr::V6(CLIENT_IPV6)];
    let refusing = Served::new(MAC, [(IpAddr::V4(IPV4), PORT), (IpAddr::V6(IPV6), PORT)], clients);
    for frame in plain_frames() {
        assert_eq!(answer_in_kernel(&frame, true, &refusing, ALL), Err(Declined::NotPlain));
        assert_eq!(worker(&frame, &refusing, &Policy::default()), (Outcome::BadSource, vec![]));
    }
}

/// What a local sender with transmit checksum offload leaves is the worker's.
#[test]
fn an_unfinished_checksum_is_not_answered() {
    let mut frame = udp(ipv4_header(), Tag::None, &REQUEST);
    set_partial_checksum(&mut frame);
    assert_eq!(worker(&frame, &served(), &Policy::default()).0, Outcome::Answered);
    assert_eq!(answer_in_kernel(&frame, true, &served(), ALL), Err(Declined::NotPlain));
}

/// Sets the checksum of a bare request over IPv4 to the sum of its pseudo header.
fn set_partial_checksum(frame: &mut [u8]) {
    let words = [&CLIENT_IPV4.octets()[..], &IPV4.octets(), &[0, 17, 0, 28]].concat();
    let sum: u32 = words.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = ((sum & 0xffff) + (sum >> 16)) as u16;
    frame[40..42].copy_from_slice(&folded.to_be_bytes());
}

/// A partial checksum can be the right one by chance: then the UDP header and payload sum up to nothing.
#[test]
fn a_partial_checksum_that_is_right_by_chance_is_not_answered() {
    let mut frame = udp(ipv4_header(), Tag::None, &REQUEST);
    // What two bytes of the transaction ID must be so that the checksum is the sum of the pseudo header.
    let found = (0..=u16::MAX).find(|value| {
        frame[60..62].copy_from_slice(&value.to_be_bytes());
        set_partial_checksum(&mut frame);
        let answer = answer(&mut with_room(&frame), frame.len(), &served(), &Policy::default());
        answer.outcome == Outcome::Answered && !answer.unfinished_checksum
    });
    assert!(found.is_some(), "one value in 65,535 does it");
    assert_eq!(answer_in_kernel(&frame, true, &served(), ALL), Err(Declined::NotPlain));
}

proptest! {
    #![proptest_config(strategies::cases(2000))]

    #[test]
    fn whatever_is_answered_is_answered_as_the_worker_would(
        payload in prop_oneof![
            mutated_request(),
            changes().prop_map(|changes| changes.apply(REQUEST.to_vec())),
            changes().prop_map(|changes| changes.apply(fingerprinted(REQUEST.to_vec()))),
        ],
        of_ipv4: bool,
        tagged: bool,
        frame_changes in changes(),
        classic: bool,
        zero_transaction: bool,
    ) {
        let ip = if of_ipv4 { ipv4_header() } else { ipv6_header() };
        let frame = udp(ip, if tagged { Tag::One(7) } else { Tag::None }, &payload);
        let extras = (!zero_transaction)
            .then(|| Extras { drop_zero_transaction: true, ..Extras::default() });
        let policy = Policy { classic, extras };
        let permission = Permission::answer(classic, zero_transaction);
        for frame in [frame.clone(), frame_changes.apply(frame)] {
            if let Ok(found) = answer_in_kernel(&frame, true, &served(), permission) {
                prop_assert_eq!(found, worker(&frame, &served(), &policy));
            }
        }
    }
}
