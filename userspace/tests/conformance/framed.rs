//! The table in Ethernet frames.

use crate::frames::{Tag, ipv4_header, ipv6_header, padded, served, udp};
use crate::judge;
use crate::policy;
use crate::table::rows;
use etherparse::EtherType;
use xstun::answer::answer;
use xstun::stun::REPLY_ROOM;

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

fn check(row: &crate::table::Row, frame: &[u8]) {
    let mut chunk = frame.to_vec();
    chunk.resize(frame.len() + REPLY_ROOM, 0xa5);
    let before = chunk.clone();
    let end = answer(&mut chunk, frame.len(), &served(), &policy(row.setting));
    assert_eq!(end.outcome, row.outcome, "{}", row.name());
    let ours = judge::ours(frame).expect("a datagram for the server");
    let reply = row.reply(ours.source);
    if reply.is_empty() {
        assert_eq!((end.length, &chunk), (0, &before), "silence leaves the frame as it was: {}", row.name());
    } else {
        assert_eq!(chunk[..end.length], ours.reply(&reply), "{}", row.name());
    }
}
