//! Tests of the lab itself: it shows the frames on the wire, and leaves nothing behind.

use std::path::Path;
use std::time::Duration;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::packets::{Datagram, Flow};
use xstun_testkit::lab::wire::Wire;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_frame_arrives_as_it_was_sent() {
    let lab = Lab::new(2);
    let link = lab.link();
    let client = Wire::open(&lab.client, &link.client_interface);
    let server = Wire::open(&lab.server, &link.server_interface);
    for flow in [Flow::v4(link, 1), Flow::v6(link, 2), Flow::v4(link, 3).in_vlan(7)] {
        let frame = flow.frame(b"as it was sent");
        client.send(&frame);
        let seen = server.wait_for(Duration::from_secs(20), |seen| *seen == frame[..]);
        let seen = Datagram::read(&seen.expect("the frame arrives")).expect("a datagram");
        assert!(seen.checksums_hold, "{seen:?}");
        assert_eq!((seen.source, seen.destination), (flow.source, flow.destination));
        assert_eq!((seen.vlan, &seen.payload[..]), (flow.vlan, &b"as it was sent"[..]));
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_namespaces_are_gone_after_a_panic() {
    let mut names = Vec::new();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = Lab::new(1);
        names = vec![lab.server.name().to_owned(), lab.client.name().to_owned()];
        // `resume_unwind` prints no message: this panic is not a failure.
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(ended.is_err());
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(!Path::new("/run/netns").join(&name).exists(), "{name} is left behind");
    }
}
