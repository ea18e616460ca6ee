//! The table against the core function, and the table against itself.

use std::collections::HashSet;
use std::net::SocketAddr;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, Policy, REPLY_ROOM, respond};
use xstun_testkit::conformance::{
    Asked, FINGERPRINT, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, Owed, Row, Setting, asked, of_streams,
    policy, rows,
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

/// With any extra switched on, every request takes the extended path.
#[test]
fn the_extended_path_keeps_every_rule() {
    keeps_every_rule(|policy| Policy { extras: Some(policy.extras.unwrap_or_default()), ..policy });
}

fn keeps_every_rule(switched: impl Fn(Policy) -> Policy) {
    for row in rows() {
        for (policy, asked) in
            sources().map(asked).into_iter().flat_map(|asked| at_each_endpoint(&row, asked))
        {
            let policy = switched(policy);
            // The smallest buffer that the core accepts, with the bytes of an earlier message.
            let mut buffer = vec![0xff; row.request.len().max(REPLY_ROOM)];
            buffer[..row.request.len()].copy_from_slice(&row.request);
            let before = buffer.clone();
            let exchange = Exchange::datagram(&asked.source, || asked.server);
            let answer = respond(&mut buffer, row.request.len(), exchange, &policy);
            let reply = buffer[..answer.length].to_vec();
            assert_eq!((answer.outcome, reply), (row.outcome, row.reply(&asked)), "{}", row.name());
            assert_eq!(policy.origin(&asked.server, answer.change), row.origin(&asked), "{}", row.name());
            assert_eq!(answer.port.map(Into::into), row.diverted.to, "{}", row.name());
            if answer.length == 0 {
                assert_eq!(buffer, before, "silence leaves the buffer as it was: {}", row.name());
            }
        }
    }
}

/// The setting's policy, with a request to each of the endpoints that serve under it.
fn at_each_endpoint(row: &Row, primary: Asked) -> impl Iterator<Item = (Policy, Asked)> {
    let setting = row.setting;
    setting.at_each_endpoint(primary).into_iter().map(move |asked| (policy(setting, &primary), asked))
}

/// A reply stays on its stream, whatever the request asks for.
#[test]
fn streams_keep_every_rule() {
    for row in Setting::ALL.into_iter().flat_map(of_streams) {
        for (policy, asked) in
            sources().map(asked).into_iter().flat_map(|asked| at_each_endpoint(&row, asked))
        {
            let mut buffer = vec![0xff; row.request.len().max(REPLY_ROOM)];
            buffer[..row.request.len()].copy_from_slice(&row.request);
            let exchange = Exchange::stream(&asked.source, || asked.server);
            let answer = respond(&mut buffer, row.request.len(), exchange, &policy);
            let reply = buffer[..answer.length].to_vec();
            assert_eq!((answer.outcome, reply), (row.outcome, row.reply(&asked)), "{}", row.name());
            assert!(!answer.is_diverted(), "{}", row.name());
        }
    }
}

/// Other tests and the fuzzers rely on the reference, so it must keep the rules too.
#[test]
fn the_reference_keeps_every_rule() {
    for row in rows() {
        for asked in sources().map(asked) {
            let policy = policy(row.setting, &asked);
            if policy.extras.is_none() {
                let owed = (row.outcome, row.reply(&asked));
                let told = reference::respond(&row.request, asked.source, policy.classic);
                assert_eq!(told, owed, "{}", row.name());
            }
        }
    }
}

/// An attacker who asks in somebody's name gets no more than the least that a response needs; what an
/// operator adds to it is a bounded number of bytes. Integrity and FINGERPRINT come on top of the least.
#[test]
fn no_reply_is_longer_than_its_request_or_the_smallest_reply() {
    for row in rows() {
        for asked in sources().map(asked) {
            let reply = row.reply(&asked);
            let address = if asked.source.ip().to_canonical().is_ipv4() { 12 } else { 24 };
            let least = match (row.outcome, row.setting) {
                (Outcome::Redirected, _) => 0,
                // ERROR-CODE without reason, and two types of UNKNOWN-ATTRIBUTES.
                (Outcome::UnknownAttribute, _) => 20 + 8 + 8,
                (Outcome::BadRequest | Outcome::Unauthenticated, _) => 20 + 8,
                (_, setting) => 20 + address + setting.adds(address),
            };
            // What PADDING has before its value.
            let header = if is_padded(&row.owed) { 4 } else { 0 };
            let bound = row.request.len().max(least + closing(&reply)) + header;
            assert!(reply.len() <= bound, "{}: {} bytes, not {bound}", row.name(), reply.len());
        }
    }
    let bare = rows().into_iter().find(|row| row.request.len() == 20 && row.outcome == Outcome::Answered);
    let bare = bare.expect("somebody asks plainly");
    let lengths = sources().map(|source| bare.reply(&asked(source)).len());
    assert_eq!(lengths, [32, 44, 32, 32]);
}

fn is_padded(owed: &Owed) -> bool {
    match owed {
        Owed::Fingerprinted(owed) => is_padded(owed),
        owed => *owed == Owed::PaddedDiscovery,
    }
}

/// Bytes of integrity and FINGERPRINT, with which a message ends.
fn closing(message: &[u8]) -> usize {
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

/// RFC 5769 §2.2 and §2.3: what the table itself computes is what the vectors hold.
#[test]
fn the_table_writes_addresses_as_the_vectors_do() {
    let ipv4 = "0001a147e112a643";
    let ipv6 = "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9";
    let sources = [("192.0.2.1:32853", ipv4), ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", ipv6)];
    let row = rows().into_iter().find(|row| row.outcome == Outcome::Answered).expect("a plain row");
    for (source, value) in sources {
        let reply = row.reply(&asked(source.parse().unwrap()));
        let written: String = reply[24..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, value);
    }
}

#[test]
fn the_table_has_every_outcome_that_a_message_can_have() {
    let met: HashSet<Outcome> = rows().iter().map(|row| row.outcome).collect();
    // Those of frames and of transmission follow. A stale nonce is never twice the same.
    let of_the_core = Outcome::ALL.into_iter().take(Outcome::BadFrame.index());
    assert_eq!(met, of_the_core.filter(|outcome| *outcome != Outcome::StaleNonce).collect());
    assert!(Setting::ALL.iter().all(|setting| rows().iter().any(|row| row.setting == *setting)));
}

/// A row that sends what another sends proves nothing more.
#[test]
fn no_two_rows_send_the_same_request_under_one_setting() {
    let rows = rows();
    for (index, row) in rows.iter().enumerate() {
        let same = |other: &&Row| other.request == row.request && other.setting == row.setting;
        let other = rows[index + 1..].iter().find(same).map(Row::name);
        assert_eq!(other, None, "{}", row.name());
    }
}
