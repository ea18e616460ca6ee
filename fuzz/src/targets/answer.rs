//! The whole answer to a frame. Input: a byte of flags (see [`crate::frame`]; 128 drops classic requests),
//! the frame.

use crate::{chunk, frame};
use std::sync::LazyLock;
use xstun_core::answer::answer;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::{Permission, Policy};
use xstun_testkit::frames::{CLIENT_MAC, served};
use xstun_testkit::judge;
use xstun_testkit::plain::answer_in_kernel;

const NO_CLASSIC: u8 = 128;
static SERVED: LazyLock<Served> = LazyLock::new(served);

/// Checks the result for `input`.
pub fn run(input: &[u8]) {
    let Some((&flags, request)) = input.split_first() else { return };
    let mut request = request.to_vec();
    frame(&mut request, flags);
    let classic = flags & NO_CLASSIC == 0;
    let policy = Policy { classic, ..Policy::default() };
    let mut buffer = chunk(&request);
    let result = answer(&mut buffer, request.len(), &SERVED, &policy);
    let reply = &buffer[..result.length];
    match judge::answer(&request, classic) {
        // The expected reply, with checksums, addresses and lengths, is built by another implementation.
        Some((outcome, expected)) => assert_eq!((result.outcome, reply), (outcome, &expected[..])),
        None => assert!(matches!(result.outcome, Outcome::BadFrame | Outcome::NotServed), "{result:?}"),
    }
    check_answer_in_kernel(&request, classic, result.outcome, reply);
    let unfinished = judge::ours(&request).is_some_and(|ours| ours.is_unfinished() && ours.fault().is_none());
    assert_eq!(result.unfinished_checksum, unfinished, "{result:?}");
    if result.length == 0 {
        assert_eq!(buffer, chunk(&request), "without a reply the frame is unchanged");
        return;
    }
    check_reply_is_not_answered(&buffer[..result.length], &policy);
}

/// Checks that the XDP program's way to a reply gives `reply`, or nothing.
fn check_answer_in_kernel(request: &[u8], classic: bool, outcome: Outcome, reply: &[u8]) {
    let permission = Permission::answer(classic, true);
    if let Ok(found) = answer_in_kernel(request, true, &SERVED, permission) {
        assert_eq!(found, (outcome, reply.to_vec()), "kernel and worker answer alike");
    }
}

/// Checks that a host which serves the client's endpoint does not answer the reply.
fn check_reply_is_not_answered(reply: &[u8], policy: &Policy) {
    let parsed = etherparse::SlicedPacket::from_ethernet(reply).unwrap();
    let Some(etherparse::TransportSlice::Udp(udp)) = &parsed.transport else { panic!("no UDP in the reply") };
    let client = match parsed.net.as_ref().unwrap() {
        etherparse::NetSlice::Ipv4(ip) => ip.header().destination_addr().into(),
        etherparse::NetSlice::Ipv6(ip) => ip.header().destination_addr().into(),
        etherparse::NetSlice::Arp(_) => panic!("ARP in the reply"),
    };
    let mac = reply[..6].try_into().unwrap_or(CLIENT_MAC);
    let client_side = Served::new(mac, [(client, udp.destination_port())], []);
    let mut buffer = chunk(reply);
    let result = answer(&mut buffer, reply.len(), &client_side, policy);
    assert_eq!((result.outcome, result.length), (Outcome::Response, 0), "a reply is never answered");
}
