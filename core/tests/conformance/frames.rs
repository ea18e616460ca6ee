//! Tests of `answer` with the conformance table: each request in Ethernet frames over IPv4 and IPv6.

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
                check(&row, &frame);
                check(&row, &padded(frame.clone(), frame.len() + 9));
                if let Tag::One(_) = tag {
                    let mut service_tagged = frame;
                    service_tagged[12..14].copy_from_slice(&EtherType::PROVIDER_BRIDGING.0.to_be_bytes());
                    check(&row, &service_tagged);
                }
            }
        }
    }
}

/// Serves both addresses of the server at both ports: the four endpoints of NAT behaviour discovery.
fn served(endpoints: &RequestEndpoints) -> Served {
    let endpoints = [endpoints.server, endpoints.other];
    let four = endpoints.map(|address| endpoints.map(|port| (address.ip(), port.port())));
    Served::new(MAC, four.into_iter().flatten(), [])
}

fn check(row: &Row, frame: &[u8]) {
    let datagram = judge::addressed(frame).expect("a datagram for the server");
    let endpoints = endpoints(datagram.source);
    assert_eq!(endpoints.server, datagram.destination, "the frame is for the server of these endpoints");
    let mut buffer = frame.to_vec();
    buffer.resize(frame.len() + REPLY_ROOM, 0xa5);
    let before = buffer.clone();
    let answer = answer(&mut buffer, frame.len(), &served(&endpoints), &policy(row.setting, &endpoints));
    let name = row.name();
    assert_eq!(answer.outcome, row.outcome, "{name}");
    let reply = row.reply(&endpoints);
    if reply.is_empty() {
        assert_eq!((answer.length, &buffer), (0, &before), "without a reply the frame is unchanged: {name}");
    } else {
        let expected = datagram.reply_from(row.origin(&endpoints), row.port(&endpoints), &reply);
        assert_eq!(buffer[..answer.length], expected, "{name}");
    }
}
