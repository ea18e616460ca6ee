//! Frame in, frame out. Input: a byte of flags (see [`crate::frame`]; 128 switches classic requests
//! off), the frame.

use crate::{chunk, frame};
use std::sync::LazyLock;
use xstun_core::answer::answer;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::Policy;
use xstun_testkit::frames::{CLIENT_MAC, served};
use xstun_testkit::judge;

const NO_CLASSIC: u8 = 128;
static SERVED: LazyLock<Served> = LazyLock::new(served);

/// Judges what is made of `input`.
pub fn run(input: &[u8]) {
    let Some((&flags, request)) = input.split_first() else { return };
    let mut request = request.to_vec();
    frame(&mut request, flags);
    let classic = flags & NO_CLASSIC == 0;
    let policy = Policy { classic, ..Policy::default() };
    let mut buffer = chunk(&request);
    let end = answer(&mut buffer, request.len(), &SERVED, &policy);
    let reply = &buffer[..end.length];
    match judge::answer(&request, classic) {
        // Checksums, addresses, lengths and all else of the reply are another builder's.
        Some((outcome, owed)) => assert_eq!((end.outcome, reply), (outcome, &owed[..])),
        None => assert!(matches!(end.outcome, Outcome::BadFrame | Outcome::NotServed), "{end:?}"),
    }
    let unfinished = judge::ours(&request).is_some_and(|ours| ours.is_unfinished() && ours.fault().is_none());
    assert_eq!(end.unfinished_checksum, unfinished, "{end:?}");
    if end.length == 0 {
        assert_eq!(buffer, chunk(&request), "silence leaves the frame as it was");
        return;
    }
    never_answered_again(&buffer[..end.length], &policy);
}

/// The reply, brought to a host that serves the client's end.
fn never_answered_again(reply: &[u8], policy: &Policy) {
    let parsed = etherparse::SlicedPacket::from_ethernet(reply).unwrap();
    let Some(etherparse::TransportSlice::Udp(udp)) = &parsed.transport else { panic!("no UDP left") };
    let client = match parsed.net.as_ref().unwrap() {
        etherparse::NetSlice::Ipv4(ip) => ip.header().destination_addr().into(),
        etherparse::NetSlice::Ipv6(ip) => ip.header().destination_addr().into(),
        etherparse::NetSlice::Arp(_) => panic!("ARP left"),
    };
    let mac = reply[..6].try_into().unwrap_or(CLIENT_MAC);
    let mirror = Served::new(mac, [(client, udp.destination_port())], []);
    let mut again = chunk(reply);
    let end = answer(&mut again, reply.len(), &mirror, policy);
    assert_eq!((end.outcome, end.length), (Outcome::Response, 0), "a reply is never answered");
}
