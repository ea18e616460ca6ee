//! Tests of `respond` with the conformance table, and of the table itself.

use std::collections::HashSet;
use std::net::SocketAddr;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, Policy, REPLY_ROOM, respond};
use xstun_testkit::conformance::{
    ExpectedReply, FINGERPRINT, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, RequestEndpoints, Row, Setting,
    endpoints, policy, rows, stream_rows,
};
use xstun_testkit::reference;

fn sources() -> [SocketAddr; 4] {
    ["198.51.100.7:40000", "[2001:db8:1::7]:40000", "[::ffff:198.51.100.7]:40000", "203.0.113.255:1"]
        .map(|source| source.parse().unwrap())
}

#[test]
fn the_core_keeps_every_rule() {
    keeps_every_rule(|policy| policy);
}

/// With any extra enabled, every request takes the extended path.
#[test]
fn the_extended_path_keeps_every_rule() {
    keeps_every_rule(|policy| Policy { extras: Some(policy.extras.unwrap_or_default()), ..policy });
}

fn keeps_every_rule(adapt: impl Fn(Policy) -> Policy) {
    for row in rows() {
        for (policy, endpoints) in
            sources().map(endpoints).into_iter().flat_map(|endpoints| at_each_endpoint(&row, endpoints))
        {
            let policy = adapt(policy);
            // The smallest buffer that the core accepts, with the bytes of an earlier message.
            let mut buffer = vec![0xff; row.request.len().max(REPLY_ROOM)];
            buffer[..row.request.len()].copy_from_slice(&row.request);
            let before = buffer.clone();
            let exchange = Exchange::datagram(&endpoints.source, || endpoints.server);
            let answer = respond(&mut buffer, row.request.len(), exchange, &policy);
            let reply = buffer[..answer.length].to_vec();
            assert_eq!((answer.outcome, reply), (row.outcome, row.reply(&endpoints)), "{}", row.name());
            assert_eq!(
                policy.origin(&endpoints.server, answer.change),
                row.origin(&endpoints),
                "{}",
                row.name()
            );
            assert_eq!(answer.port.map(Into::into), row.diverted.to, "{}", row.name());
            if answer.length == 0 {
                assert_eq!(buffer, before, "without a reply the buffer is unchanged: {}", row.name());
            }
        }
    }
}

/// The setting's policy, with the endpoints of a request to each endpoint that serves under it.
fn at_each_endpoint(
    row: &Row,
    primary: RequestEndpoints,
) -> impl Iterator<Item = (Policy, RequestEndpoints)> {
    let setting = row.setting;
    setting.at_each_endpoint(primary).into_iter().map(move |endpoints| (policy(setting, &primary), endpoints))
}

/// A reply on a stream is never diverted.
#[test]
fn streams_keep_every_rule() {
    for row in Setting::ALL.into_iter().flat_map(stream_rows) {
        for (policy, endpoints) in
            sources().map(endpoints).into_iter().flat_map(|endpoints| at_each_endpoint(&row, endpoints))
        {
            let mut buffer = vec![0xff; row.request.len().max(REPLY_ROOM)];
            buffer[..row.request.len()].copy_from_slice(&row.request);
            let exchange = Exchange::stream(&endpoints.source, || endpoints.server);
            let answer = respond(&mut buffer, row.request.len(), exchange, &policy);
            let reply = buffer[..answer.length].to_vec();
            assert_eq!((answer.outcome, reply), (row.outcome, row.reply(&endpoints)), "{}", row.name());
            assert!(!answer.is_diverted(), "{}", row.name());
        }
    }
}

/// Other tests and the fuzz targets rely on the reference, so it is tested with the table too.
#[test]
fn the_reference_keeps_every_rule() {
    for row in rows() {
        for endpoints in sources().map(endpoints) {
            let policy = policy(row.setting, &endpoints);
            if policy.extras.is_none() {
                let expected = (row.outcome, row.reply(&endpoints));
                let actual = reference::respond(&row.request, endpoints.source, policy.classic);
                assert_eq!(actual, expected, "{}", row.name());
            }
        }
    }
}

/// Amplification: a spoofed request gets no reply longer than itself or the smallest possible response. The
/// operator's options, integrity and FINGERPRINT add a bounded number of bytes to the smallest one.
#[test]
fn no_reply_is_longer_than_its_request_or_the_smallest_reply() {
    for row in rows() {
        for endpoints in sources().map(endpoints) {
            let reply = row.reply(&endpoints);
            let address = if endpoints.source.ip().to_canonical().is_ipv4() { 12 } else { 24 };
            let least = match (row.outcome, row.setting) {
                (Outcome::Redirected, _) => 0,
                // ERROR-CODE without reason, and two types of UNKNOWN-ATTRIBUTES.
                (Outcome::UnknownAttribute, _) => 20 + 8 + 8,
                (Outcome::BadRequest | Outcome::Unauthenticated, _) => 20 + 8,
                (_, setting) => 20 + address + setting.adds(address),
            };
            // The header of PADDING.
            let header = if is_padded(&row.expected) { 4 } else { 0 };
            let bound = row.request.len().max(least + trailer(&reply)) + header;
            assert!(reply.len() <= bound, "{}: {} bytes, not {bound}", row.name(), reply.len());
        }
    }
    let bare = rows().into_iter().find(|row| row.request.len() == 20 && row.outcome == Outcome::Answered);
    let bare = bare.expect("there is a row with a plain request");
    let lengths = sources().map(|source| bare.reply(&endpoints(source)).len());
    assert_eq!(lengths, [32, 44, 32, 32]);
}

fn is_padded(expected: &ExpectedReply) -> bool {
    match expected {
        ExpectedReply::Fingerprinted(expected) => is_padded(expected),
        expected => *expected == ExpectedReply::PaddedDiscovery,
    }
}

/// Bytes of integrity attributes and FINGERPRINT at a message's end.
fn trailer(message: &[u8]) -> usize {
    let (mut rest, mut bytes) = (message.get(20..).unwrap_or_default(), 0);
    while let [high, low, length_high, length_low, ..] = *rest {
        let length = 4 + usize::from(u16::from_be_bytes([length_high, length_low])).next_multiple_of(4);
        if [MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, FINGERPRINT]
            .contains(&u16::from_be_bytes([high, low]))
        {
            bytes += length;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    bytes
}

/// RFC 5769 §2.2 and §2.3: the table computes the values of the test vectors.
#[test]
fn the_table_encodes_addresses_as_the_test_vectors_do() {
    let ipv4 = "0001a147e112a643";
    let ipv6 = "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9";
    let sources = [("192.0.2.1:32853", ipv4), ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", ipv6)];
    let row = rows().into_iter().find(|row| row.outcome == Outcome::Answered).expect("a plain row");
    for (source, value) in sources {
        let reply = row.reply(&endpoints(source.parse().unwrap()));
        let written: String = reply[24..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, value);
    }
}

#[test]
fn the_table_has_every_outcome_of_a_message() {
    let covered: HashSet<Outcome> = rows().iter().map(|row| row.outcome).collect();
    // The outcomes of frames and of transmission follow. No fixed request has a stale nonce.
    let of_the_core = Outcome::ALL.into_iter().take(Outcome::BadFrame.index());
    assert_eq!(covered, of_the_core.filter(|outcome| *outcome != Outcome::StaleNonce).collect());
    assert!(Setting::ALL.iter().all(|setting| rows().iter().any(|row| row.setting == *setting)));
}

/// A row that repeats another's request tests nothing more.
#[test]
fn no_two_rows_send_the_same_request_under_one_setting() {
    let rows = rows();
    for (index, row) in rows.iter().enumerate() {
        let same = |other: &&Row| other.request == row.request && other.setting == row.setting;
        let other = rows[index + 1..].iter().find(same).map(Row::name);
        assert_eq!(other, None, "{}", row.name());
    }
}
