//! The table in Ethernet frames.

use etherparse::EtherType;
use xstun_core::answer::answer;
use xstun_core::served::Served;
use xstun_core::stun::REPLY_ROOM;
use xstun_testkit::conformance::{Asked, Row, asked, policy, rows};
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

/// All endpoints that [`asked`] knows.
fn served(asked: &Asked) -> Served {
    let four =
        [asked.server, asked.other].map(|at| [asked.server, asked.other].map(|port| (at.ip(), port.port())));
    Served::new(MAC, four.into_iter().flatten(), [])
}

fn check(row: &Row, frame: &[u8]) {
    let ours = judge::addressed(frame).expect("a datagram for the server");
    let asked = asked(ours.source);
    assert_eq!(asked.server, ours.destination, "the frames are of the same laboratory");
    let mut chunk = frame.to_vec();
    chunk.resize(frame.len() + REPLY_ROOM, 0xa5);
    let before = chunk.clone();
    let end = answer(&mut chunk, frame.len(), &served(&asked), &policy(row.setting, &asked));
    assert_eq!(end.outcome, row.outcome, "{}", row.name());
    let reply = row.reply(&asked);
    if reply.is_empty() {
        assert_eq!((end.length, &chunk), (0, &before), "silence leaves the frame as it was: {}", row.name());
    } else {
        let owed = ours.reply_from(row.origin(&asked), row.port(&asked), &reply);
        assert_eq!(chunk[..end.length], owed, "{}", row.name());
    }
}
