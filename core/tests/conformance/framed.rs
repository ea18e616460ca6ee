//! The table in Ethernet frames.

use etherparse::EtherType;
use xstun_core::answer::answer;
use xstun_core::served::Served;
use xstun_core::stun::REPLY_ROOM;
use xstun_testkit::conformance::{RequestEndpoints, Row, endpoints, policy, rows};
use xstun_testkit::frames::{MAC, Tag, ipv4_header, ipv6_header, padded, udp};
use xstun_testkit::judge;

#[test]
fn frames_keep_every_rule() {
    for row in rows() {
        for ip in [ipv4_header(), ipv6_header()] {
            for tag in [Tag::None, Tag::One(7)] {
                let frame = udp(ip.clone(), tag, &row.request);
                let service = match tag {
                    Tag::One(_) => EtherType::PROVIDER_BRIDGING.0.to_be_bytes(),
                    _ => [frame[12], frame[13]],
                };
                let mut service_tagged = frame.clone();
                service_tagged[12..14].copy_from_slice(&service);
                let longer = padded(frame.clone(), frame.len() + 9);
                for frame in [frame, service_tagged, longer] {
                    check(&row, &frame);
                }
            }
        }
    }
}

/// All endpoints that [`endpoints`] returns.
fn served(endpoints: &RequestEndpoints) -> Served {
    let four = [endpoints.server, endpoints.other]
        .map(|at| [endpoints.server, endpoints.other].map(|port| (at.ip(), port.port())));
    Served::new(MAC, four.into_iter().flatten(), [])
}

fn check(row: &Row, frame: &[u8]) {
    let ours = judge::addressed(frame).expect("a datagram for the server");
    let endpoints = endpoints(ours.source);
    assert_eq!(endpoints.server, ours.destination, "the frame is for the server of these endpoints");
    let mut chunk = frame.to_vec();
    chunk.resize(frame.len() + REPLY_ROOM, 0xa5);
    let before = chunk.clone();
    let end = answer(&mut chunk, frame.len(), &served(&endpoints), &policy(row.setting, &endpoints));
    assert_eq!(end.outcome, row.outcome, "{}", row.name());
    let reply = row.reply(&endpoints);
    if reply.is_empty() {
        assert_eq!(
            (end.length, &chunk),
            (0, &before),
            "without a reply the frame is unchanged: {}",
            row.name()
        );
    } else {
        let expected = ours.reply_from(row.origin(&endpoints), row.port(&endpoints), &reply);
        assert_eq!(chunk[..end.length], expected, "{}", row.name());
    }
}
