use super::rates::StatusRates;
use super::text::{brief, grouped, time};
use super::{ServerView, draw, json};
use crate::status::{
    InterfaceStatus, KernelAnswersStatus, MessageCounts, ProcessStatus, ServerStatus, StepDownStatus,
    TransportStatus, WorkerStatus,
};
use std::net::SocketAddr;

pub(super) const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9478);

fn counts(count: u64) -> MessageCounts {
    MessageCounts {
        received: count,
        batches: count / 2,
        wakeups: count / 4,
        replies: count,
        outcomes: [("answered".to_owned(), count), ("not_stun".to_owned(), 3), ("no_room".to_owned(), 0)]
            .into(),
        ..MessageCounts::default()
    }
}

/// An interface after `seconds`, in each of which its queue answered `answered` requests.
fn interface(seconds: u64, answered: u64) -> InterfaceStatus {
    InterfaceStatus {
        name: "eth0".into(),
        queues: [("native-copy".to_owned(), 1), ("sockets".to_owned(), 0)].into(),
        verdicts: [
            ("redirect".to_owned(), seconds * answered),
            ("redirect_no_room".to_owned(), seconds),
            ("answered".to_owned(), 200 * seconds),
            ("not_udp".to_owned(), 50 * seconds),
        ]
        .into(),
        kernel_answers: Some(KernelAnswersStatus {
            serving: true,
            reason: "generic mode".into(),
            counts: counts(200 * seconds),
        }),
        attached: Some(true),
        lost: [("transmit_bulk".to_owned(), 3 * seconds), ("redirect_ring_full".to_owned(), 9 * seconds)]
            .into(),
        delivering: Some(true),
        step_downs: 1,
        ..InterfaceStatus::default()
    }
}

/// A server after `seconds`, in each of which its queue answered `answered` requests.
pub(super) fn status(seconds: u64, answered: u64) -> ServerStatus {
    let queue = WorkerStatus {
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
    let socket =
        WorkerStatus { path: "sockets".into(), core: 2, counts: counts(7), ..WorkerStatus::default() };
    ServerStatus {
        version: "1.2.3".into(),
        state: "serving".into(),
        uptime: 90_000.0 + seconds as f64,
        interfaces: vec![interface(seconds, answered)],
        workers: vec![queue, socket],
        streams: vec![TransportStatus {
            path: "tcp".into(),
            open: 5,
            ticking: true,
            ..TransportStatus::default()
        }],
        step_downs: vec![StepDownStatus {
            at: 1.0,
            interface: "eth0".into(),
            from: "zero-copy".into(),
            reason: "no table knows the driver".into(),
        }],
        process: ProcessStatus {
            cpu_seconds: seconds as f64 / 2.0,
            resident_bytes: 38 << 20,
            ..ProcessStatus::default()
        },
        ..ServerStatus::default()
    }
}

#[test]
fn rates_use_the_clock_of_the_server() {
    let rates = StatusRates::between(&status(10, 1000), &status(14, 1000)).unwrap();
    assert_eq!((rates.seconds, rates.cores), (4.0, 0.5));
    let queue = &rates.workers[0];
    assert_eq!((queue.received, queue.replies, queue.batch), (1000.0, 1000.0, Some(2.0)));
    assert_eq!((queue.wakeups, queue.dropped), (250.0, 2.0));
    assert_eq!((rates.workers[1].received, rates.workers[1].batch), (0.0, None));
    let program = &rates.kernel_answers["eth0"];
    assert_eq!((&program.path[..], program.received, program.replies), ("xdp", 200.0, 200.0));
    assert_eq!((rates.received, rates.replies, rates.lost), (1200.0, 1200.0, 2.0 + 3.0));
    assert_eq!((rates.outcomes["answered"], rates.outcomes["not_stun"]), (1200.0, 0.0));
    assert_eq!(rates.verdicts["eth0"]["not_udp"], 50.0);
    assert_eq!(rates.driver_lost["eth0"], 3.0, "the socket counts frames that its full ring refused");
}

#[test]
fn a_restarted_server_has_no_rates_and_a_new_worker_counts_from_zero() {
    let mut restarted = status(14, 1000);
    restarted.process.start_time = 5.0;
    assert_eq!(StatusRates::between(&status(10, 1000), &restarted), None);
    assert_eq!(StatusRates::between(&status(10, 1000), &status(10, 1000)), None, "the same status twice");
    let mut before = status(10, 1000);
    before.workers.remove(0);
    let rates = StatusRates::between(&before, &status(14, 1000)).unwrap();
    assert_eq!(rates.workers[0].received, 3500.0);
}

#[test]
fn the_view_shows_workers_outcomes_interfaces_and_step_downs() {
    let view = ServerView::new(SERVER, Some(&status(10, 12_345)), status(14, 12_345));
    let text = draw::plain(&view);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let assert_line = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(lines.contains(&words), "{words:?} is not in:\n{text}");
    };
    assert_line("xstun 1.2.3 serving up 1 d 1 h http://127.0.0.1:9478 1 hanging");
    assert_line(
        "replies 12.5k/s received 12.5k/s lost 5/s connections 5 cores 0.50 memory 38 MiB files 0 of 0",
    );
    assert_line("af-xdp eth0 q3 1 12.3k 12.3k 2.0 3.09k 2 2047 2049 0 0");
    assert_line("sockets hangs 2 0 0 - 0");
    assert_line("tcp 5 open 0 0");
    assert_line("eth0 1 native-copy attached 12.3k 50 3 1");
    assert_line("eth0 on 200 generic mode");
    assert_line("answered 12.5k 175,637");
    assert_line("not_stun 0 9");
    assert_line("1 d 1 h ago eth0 zero-copy no table knows the driver");
    assert!(!text.contains("no_room"), "an outcome that never happened is not shown:\n{text}");
}

#[test]
fn the_json_has_the_status_and_the_rates() {
    let view = ServerView::new(SERVER, Some(&status(10, 1000)), status(14, 1000));
    let json: serde_json::Value = serde_json::from_str(&json(&view).unwrap()).unwrap();
    assert_eq!(json["server"], "127.0.0.1:9478");
    assert_eq!(json["status"]["workers"][0]["frames"]["fill"], 2049);
    assert_eq!(json["rates"]["outcomes"]["answered"], 1200.0);
    assert_eq!(json["rates"]["kernel_answers"]["eth0"]["replies"], 200.0);
    assert_eq!(json["status"]["interfaces"][0]["kernel_answers"]["counts"]["replies"], 2800);
    assert_eq!(json["rates"]["places"][0]["queue"], 3);
}

#[test]
fn numbers_have_three_digits() {
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
