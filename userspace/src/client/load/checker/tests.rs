use super::super::board::Board;
use super::super::id::{Key, Stamp};
use super::super::plan::{Flow, Plan};
use super::super::shape::Mix;
use super::Checker;
use crate::client::message::fingerprint_of;
use std::sync::Arc;
use std::time::Instant;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Two flows from 10.0.0.1, ports 1000 and 1001, and two workers that each sent 8 requests.
fn plan(shape: &str) -> Arc<Plan> {
    let flow = |port| {
        let source = ([10, 0, 0, 1], port).into();
        Flow { source, mapped: Some(source) }
    };
    let board = Board::new(2);
    board.begin();
    (0..2).for_each(|worker| board.lane(worker).left(8, 8));
    Arc::new(Plan {
        server: ([10, 0, 0, 2], 3478).into(),
        flows: vec![flow(1000), flow(1001)],
        mix: Mix::parse(shape).unwrap(),
        key: Key::random().unwrap(),
        board,
        origin: Instant::now(),
    })
}

/// The right reply to a request with magic cookie that left on `flow`.
fn reply(plan: &Plan, worker: u8, number: u32, flow: u32) -> Vec<u8> {
    let id = plan.key.seal(Stamp { worker, number, due: 1_000 }, flow);
    let mut reply = [&[1, 1, 0, 12], &COOKIE[..], &id, &[0, 0x20, 0, 8, 0, 1]].concat();
    reply.extend(((1000 + flow as u16) ^ 0x2112).to_be_bytes());
    reply.extend((0x0a00_0001u32 ^ 0x2112_a442).to_be_bytes());
    reply
}

fn with_fingerprint(mut reply: Vec<u8>) -> Vec<u8> {
    reply[3] += 8;
    let value = fingerprint_of(&reply);
    reply.extend([0x80, 0x28, 0, 4]);
    reply.extend(value.to_be_bytes());
    reply
}

#[test]
fn any_worker_can_tell_a_right_reply_and_it_counts_once() {
    let plan = plan("bare");
    let mut checkers = [Checker::new(Arc::clone(&plan)), Checker::new(Arc::clone(&plan))];
    for (worker, number, flow) in [(0, 0, 0), (1, 0, 1), (0, 7, 1), (1, 7, 0)] {
        let bytes = reply(&plan, worker, number, flow);
        assert_eq!(checkers[1].check(&bytes, flow as usize, 5_000), Some(number));
        assert_eq!(checkers[0].check(&bytes, flow as usize, 5_000), None, "the second time");
    }
    let tallies = checkers.each_mut().map(Checker::take);
    assert_eq!((tallies[1].received, tallies[1].wrong), (4, 0));
    assert_eq!((tallies[0].received, tallies[0].wrong), (0, 4));
    // Due at 1,000 ns, or up to a tick of 32 ns before.
    let latency = tallies[1].latency.max();
    assert!((3_990..4_100).contains(&latency), "{latency}");
    let tally = checkers[1].take();
    assert_eq!((tally.received, tally.latency.len()), (0, 0), "a new step begins with nothing");
}

#[test]
fn a_reply_that_lies_is_wrong_and_the_request_stays_unanswered() {
    let plan = plan("bare");
    let right = reply(&plan, 0, 3, 0);
    let mut wrong: Vec<Vec<u8>> = (0..right.len())
        // The value's first byte is reserved, and receivers pass over it.
        .filter(|place| *place != 24)
        .map(|place| {
            let mut wrong = right.clone();
            wrong[place] ^= 0x01;
            wrong
        })
        .collect();
    wrong.push(right[..20].to_vec());
    wrong.push([&right[..], &[0; 4]].concat());
    wrong.push(Vec::new());
    let mut forged = with_fingerprint(right.clone());
    *forged.last_mut().unwrap() ^= 1;
    wrong.push(forged);
    let mut checker = Checker::new(plan);
    for bytes in &wrong {
        assert_eq!(checker.check(bytes, 0, 5_000), None, "{bytes:02x?}");
    }
    assert_eq!(checker.check(&right, 1, 5_000), None, "on another port than it was asked from");
    assert_eq!(checker.check(&right, 0, 5_000), Some(3));
    let tally = checker.take();
    assert_eq!((tally.received, tally.wrong), (1, wrong.len() as u64 + 1));
}

#[test]
fn a_fingerprint_is_wanted_where_one_was_sent_and_else_only_has_to_be_right() {
    for (shape, with, without) in [("fingerprint", true, false), ("bare", true, true)] {
        let plan = plan(shape);
        let mut checker = Checker::new(Arc::clone(&plan));
        let plain = reply(&plan, 0, 1, 0);
        assert_eq!(checker.check(&plain, 0, 5_000).is_some(), without, "{shape}");
        let longer = with_fingerprint(reply(&plan, 0, 2, 0));
        assert_eq!(checker.check(&longer, 0, 5_000).is_some(), with, "{shape}");
    }
}

#[test]
fn a_classic_request_gets_a_classic_reply() {
    let plan = plan("classic");
    let mut checker = Checker::new(Arc::clone(&plan));
    assert_eq!(checker.check(&reply(&plan, 0, 1, 0), 0, 5_000), None);
    let id = plan.key.seal(Stamp { worker: 0, number: 1, due: 1_000 }, 0);
    let cookie = plan.mix.requests[0].cookie();
    let classic =
        [&[1, 1, 0, 12], &cookie[..], &id, &[0, 1, 0, 8, 0, 1], &1000u16.to_be_bytes(), &[10, 0, 0, 1]]
            .concat();
    assert_eq!(checker.check(&classic, 0, 5_000), Some(1));
}
