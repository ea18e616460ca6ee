use super::rates::Rates;
use super::text::{brief, grouped, time};
use super::{View, draw, json};
use crate::status::{Counts, Interface, Process, Status, StepDown, Stream, Worker};
use std::net::SocketAddr;

pub(super) const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9478);

/// A server after `seconds`, during each of which its queue answered `answered` requests.
pub(super) fn status(seconds: u64, answered: u64) -> Status {
    let counts = |count: u64| Counts {
        received: count,
        batches: count / 2,
        wakeups: count / 4,
        replies: count,
        outcomes: [("answered".to_owned(), count), ("not_stun".to_owned(), 3), ("no_room".to_owned(), 0)]
            .into(),
        ..Counts::default()
    };
    let queue = Worker {
        path: "af-xdp".into(),
        interface: Some("eth0".into()),
        queue: Some(3),
        core: 1,
        ticking: true,
        ended: false,
        counts: counts(seconds * answered),
        kernel: [("rx_dropped".to_owned(), 2 * seconds), ("rx_invalid".to_owned(), seconds)].into(),
        frames: [("free".to_owned(), 2047), ("fill".to_owned(), 2049)].into(),
    };
    let socket = Worker { path: "sockets".into(), core: 2, counts: counts(7), ..Worker::default() };
    Status {
        version: "1.2.3".into(),
        state: "serving".into(),
        uptime: 90_000.0 + seconds as f64,
        interfaces: vec![Interface {
            name: "eth0".into(),
            queues: [("native-copy".to_owned(), 1), ("sockets".to_owned(), 0)].into(),
            verdicts: [("redirect".to_owned(), seconds * answered), ("not_udp".to_owned(), 50 * seconds)]
                .into(),
            attached: Some(true),
            delivering: Some(true),
            step_downs: 1,
            ..Interface::default()
        }],
        workers: vec![queue, socket],
        streams: vec![Stream { path: "tcp".into(), open: 5, ticking: true, ..Stream::default() }],
        step_downs: vec![StepDown {
            at: 1.0,
            interface: "eth0".into(),
            from: "zero-copy".into(),
            reason: "no table knows the driver".into(),
        }],
        process: Process {
            cpu_seconds: seconds as f64 / 2.0,
            resident_bytes: 38 << 20,
            ..Process::default()
        },
        ..Status::default()
    }
}

#[test]
fn rates_are_differences_by_the_servers_own_clock() {
    let rates = Rates::between(&status(10, 1000), &status(14, 1000)).unwrap();
    assert_eq!((rates.seconds, rates.cores), (4.0, 0.5));
    let queue = &rates.places[0];
    assert_eq!((queue.received, queue.replies, queue.batch), (1000.0, 1000.0, Some(2.0)));
    assert_eq!((queue.wakeups, queue.dropped), (250.0, 2.0));
    assert_eq!((rates.places[1].received, rates.places[1].batch), (0.0, None));
    assert_eq!((rates.received, rates.replies, rates.lost), (1000.0, 1000.0, 2.0));
    assert_eq!((rates.outcomes["answered"], rates.outcomes["not_stun"]), (1000.0, 0.0));
    assert_eq!(rates.verdicts["eth0"]["not_udp"], 50.0);
}

#[test]
fn a_server_started_anew_has_no_rates_and_a_new_worker_counts_from_nothing() {
    let mut anew = status(14, 1000);
    anew.process.start_time = 5.0;
    assert_eq!(Rates::between(&status(10, 1000), &anew), None);
    assert_eq!(Rates::between(&status(10, 1000), &status(10, 1000)), None, "the same look twice");
    let mut before = status(10, 1000);
    before.workers.remove(0);
    let rates = Rates::between(&before, &status(14, 1000)).unwrap();
    assert_eq!(rates.places[0].received, 3500.0);
}

#[test]
fn the_picture_tells_workers_outcomes_interfaces_and_step_downs() {
    let view = View::new(SERVER, Some(&status(10, 12_345)), status(14, 12_345));
    let text = draw::plain(&view);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let holds = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(lines.contains(&words), "{words:?} is not in:\n{text}");
    };
    holds("xstun 1.2.3 serving up 1 d 1 h http://127.0.0.1:9478 1 standing still");
    holds("replies 12.3k/s received 12.3k/s lost 2/s connections 5 cores 0.50 memory 38 MiB files 0 of 0");
    holds("af-xdp eth0 q3 1 12.3k 12.3k 2.0 3.09k 2 2047 2049 0 0");
    holds("sockets stands still 2 0 0 - 0");
    holds("tcp 5 open 0 0");
    holds("eth0 1 native-copy attached 12.3k 50 1");
    holds("answered 12.3k 172,837");
    holds("not_stun 0 6");
    holds("1 d 1 h ago eth0 zero-copy no table knows the driver");
    assert!(!text.contains("no_room"), "what never happened is not shown:\n{text}");
}

#[test]
fn the_json_has_what_the_server_told_and_the_rates() {
    let view = View::new(SERVER, Some(&status(10, 1000)), status(14, 1000));
    let told: serde_json::Value = serde_json::from_str(&json(&view).unwrap()).unwrap();
    assert_eq!(told["server"], "127.0.0.1:9478");
    assert_eq!(told["status"]["workers"][0]["frames"]["fill"], 2049);
    assert_eq!(told["rates"]["outcomes"]["answered"], 1000.0);
    assert_eq!(told["rates"]["places"][0]["queue"], 3);
}

#[test]
fn numbers_are_told_with_three_figures() {
    for (number, text) in [
        (0.0, "0"),
        (0.25, "0.2"),
        (7.0, "7"),
        (99.94, "99.9"),
        (123.4, "123"),
        (999.4, "999"),
        (999.7, "1.00k"),
        (12_345.0, "12.3k"),
        (999_800.0, "1.00M"),
        (14_880_952.0, "14.9M"),
        (2e9, "2.00G"),
    ] {
        assert_eq!(brief(number), text, "{number}");
    }
    assert_eq!(
        (grouped(0), grouped(999), grouped(1_234_567)),
        ("0".into(), "999".into(), "1,234,567".into())
    );
    assert_eq!([5.9, 65.0, 3660.0, 90_000.0].map(time), ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
}
