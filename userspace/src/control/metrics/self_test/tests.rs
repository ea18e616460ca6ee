use super::{SelfTest, answers, request, target, visible_failures};
use crate::status::{InterfaceStatus, LadderRung, ServerStatus, TransportStatus, WorkerStatus};
use std::net::SocketAddr;

/// An interface with two queues on this rung.
fn interface(rung: LadderRung) -> InterfaceStatus {
    InterfaceStatus {
        name: "eth0".into(),
        queues: [(rung.name().to_owned(), 2)].into(),
        attached: Some(true),
        delivering: Some(true),
        ..InterfaceStatus::default()
    }
}

fn worker(queue: u32, ticking: bool) -> WorkerStatus {
    WorkerStatus { interface: Some("eth0".into()), queue: Some(queue), ticking, ..WorkerStatus::default() }
}

fn status(interface: InterfaceStatus, workers: Vec<WorkerStatus>) -> ServerStatus {
    ServerStatus { interfaces: vec![interface], workers, ..ServerStatus::default() }
}

#[test]
fn each_visible_failure_is_named() {
    let healthy = || interface(LadderRung::NativeCopy);
    let ticking = || vec![worker(0, true), worker(1, true)];
    assert!(visible_failures(&status(healthy(), ticking())).is_empty());
    let hanging = WorkerStatus { core: 4, ..WorkerStatus::default() };
    for (interface, workers, word) in [
        (healthy(), vec![worker(0, true), hanging], "sockets: the worker on core 4"),
        (
            InterfaceStatus { attached: Some(false), ..healthy() },
            ticking(),
            "eth0: the XDP program is not attached",
        ),
        (InterfaceStatus { delivering: Some(false), ..healthy() }, ticking(), "eth0: frames"),
        (healthy(), vec![worker(0, true), worker(1, false)], "eth0: the worker of queue 1"),
    ] {
        let failures = visible_failures(&status(interface, workers));
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(failures[0].starts_with(word), "{failures:?}");
    }
}

#[test]
fn queues_that_the_sockets_took_over_are_no_failure() {
    let interface =
        InterfaceStatus { attached: Some(false), delivering: Some(false), ..interface(LadderRung::Sockets) };
    assert!(visible_failures(&status(interface, vec![worker(0, false)])).is_empty());
    let ended = WorkerStatus { ended: true, ..worker(0, false) };
    assert!(
        visible_failures(&status(self::interface(LadderRung::NativeCopy), vec![ended, worker(1, true)]))
            .is_empty()
    );
}

#[test]
fn a_wildcard_is_tested_at_the_loopback_address() {
    for (listened, expected) in [
        ("0.0.0.0:3478", "127.0.0.1:3478"),
        ("[::]:3478", "[::1]:3478"),
        ("192.0.2.1:3479", "192.0.2.1:3479"),
        ("[fe80::1%2]:3478", "[fe80::1%2]:3478"),
    ] {
        assert_eq!(target(listened.parse().unwrap()), expected.parse::<SocketAddr>().unwrap());
    }
}

#[test]
fn only_a_reply_to_the_request_counts() {
    let request = request().unwrap();
    let mut reply = request;
    assert!(!answers(&reply, &request), "an echo is not a reply");
    reply[..2].copy_from_slice(&[0x01, 0x01]);
    assert!(answers(&reply, &request));
    reply[1] = 0x11;
    assert!(answers(&reply, &request), "401 is a reply");
    reply[19] ^= 1;
    assert!(!answers(&reply, &request));
    assert!(!answers(&reply[..19], &request));
}

/// Nothing listens at any of them.
#[tokio::test]
async fn every_address_that_does_not_answer_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stream =
        |path: &str| TransportStatus { path: path.into(), listen: vec![free], ..TransportStatus::default() };
    let status = ServerStatus {
        sockets: vec![free],
        streams: vec![stream("tcp"), stream("tls")],
        ..ServerStatus::default()
    };
    let failures = SelfTest::default().run(&status).await;
    assert_eq!(failures.len(), 3, "{failures:?}");
    for (failure, transport) in failures.iter().zip(["TCP", "TLS", "UDP"]) {
        assert!(failure.starts_with(&format!("{transport} {free}: ")), "{failures:?}");
    }
}
