use super::{Trial, answers, own, request, to_be_seen};
use crate::status::{Interface, RUNGS, Status, Stream, Worker};
use std::net::SocketAddr;

/// An interface with two queues on this rung.
fn interface(rung: &str) -> Interface {
    Interface {
        name: "eth0".into(),
        queues: [(rung.to_owned(), 2)].into(),
        attached: Some(true),
        delivering: Some(true),
        ..Interface::default()
    }
}

fn worker(queue: u32, ticking: bool) -> Worker {
    Worker { interface: Some("eth0".into()), queue: Some(queue), ticking, ..Worker::default() }
}

fn status(interface: Interface, workers: Vec<Worker>) -> Status {
    Status { interfaces: vec![interface], workers, ..Status::default() }
}

#[test]
fn each_failing_that_can_be_seen_is_named() {
    let sound = || interface(RUNGS[1]);
    let turning = || vec![worker(0, true), worker(1, true)];
    assert!(to_be_seen(&status(sound(), turning())).is_empty());
    let mute = Worker { core: 4, ..Worker::default() };
    for (interface, workers, word) in [
        (sound(), vec![worker(0, true), mute], "sockets: the worker on core 4"),
        (Interface { attached: Some(false), ..sound() }, turning(), "eth0: the XDP program is not attached"),
        (Interface { delivering: Some(false), ..sound() }, turning(), "eth0: frames"),
        (sound(), vec![worker(0, true), worker(1, false)], "eth0: the worker of queue 1"),
    ] {
        let failings = to_be_seen(&status(interface, workers));
        assert_eq!(failings.len(), 1, "{failings:?}");
        assert!(failings[0].starts_with(word), "{failings:?}");
    }
}

#[test]
fn what_the_sockets_took_over_is_theirs_to_answer_for() {
    let interface = Interface { attached: Some(false), delivering: Some(false), ..interface(RUNGS[3]) };
    assert!(to_be_seen(&status(interface, vec![worker(0, false)])).is_empty());
    let ended = Worker { ended: true, ..worker(0, false) };
    assert!(to_be_seen(&status(self::interface(RUNGS[1]), vec![ended, worker(1, true)])).is_empty());
}

#[test]
fn a_wildcard_is_asked_at_the_loopback() {
    for (listened, asked) in [
        ("0.0.0.0:3478", "127.0.0.1:3478"),
        ("[::]:3478", "[::1]:3478"),
        ("192.0.2.1:3479", "192.0.2.1:3479"),
        ("[fe80::1%2]:3478", "[fe80::1%2]:3478"),
    ] {
        assert_eq!(own(listened.parse().unwrap()), asked.parse::<SocketAddr>().unwrap());
    }
}

#[test]
fn only_an_answer_to_the_question_is_one() {
    let request = request().unwrap();
    let mut reply = request;
    assert!(!answers(&reply, &request), "an echo is no answer");
    reply[..2].copy_from_slice(&[0x01, 0x01]);
    assert!(answers(&reply, &request));
    reply[1] = 0x11;
    assert!(answers(&reply, &request), "401 is an answer");
    reply[19] ^= 1;
    assert!(!answers(&reply, &request));
    assert!(!answers(&reply[..19], &request));
}

/// Nobody listens at any of them, and each is named.
#[tokio::test]
async fn every_address_that_does_not_answer_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stream = |path: &str| Stream { path: path.into(), listen: vec![free], ..Stream::default() };
    let status =
        Status { sockets: vec![free], streams: vec![stream("tcp"), stream("tls")], ..Status::default() };
    let failings = Trial::default().check(&status).await;
    assert_eq!(failings.len(), 3, "{failings:?}");
    for (failing, transport) in failings.iter().zip(["TCP", "TLS", "UDP"]) {
        assert!(failing.starts_with(&format!("{transport} {free}: ")), "{failings:?}");
    }
}
