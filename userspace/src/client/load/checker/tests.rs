use super::super::id::RequestStamp;
use super::super::plan::{LoadFlow, LoadPlan};
use super::super::shape::ShapeMix;
use super::ReplyChecker;
use crate::client::message::fingerprint_of;
use std::sync::Arc;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Two flows from 10.0.0.1, ports 1000 and 1001, and two workers that each sent 8 requests.
fn plan(shape: &str) -> Arc<LoadPlan> {
    let flow = |port| {
        let source = ([10, 0, 0, 1], port).into();
        LoadFlow { source, mapped: Some(source) }
    };
    let mix = ShapeMix::parse(shape).unwrap();
    let flows = [flow(1000), flow(1001)].into_iter();
    let plan = LoadPlan::new(([10, 0, 0, 2], 3478).into(), flows, mix, 2).unwrap();
    plan.tracker.begin_step();
    (0..2).for_each(|worker| plan.tracker.worker(worker).add_sent(8, 8));
    plan
}

/// Returns the right reply to a request with magic cookie that left on `flow`.
fn reply(plan: &LoadPlan, worker: u8, number: u32, flow: u32) -> Vec<u8> {
    let id = plan.key.encode(RequestStamp { worker, number, due: 1_000 }, flow);
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
fn any_worker_can_check_a_reply_and_it_counts_once() {
    let plan = plan("bare");
    let mut checkers = [ReplyChecker::new(Arc::clone(&plan)), ReplyChecker::new(Arc::clone(&plan))];
    for (worker, number, flow) in [(0, 0, 0), (1, 0, 1), (0, 7, 1), (1, 7, 0)] {
        let bytes = reply(&plan, worker, number, flow);
        assert_eq!(checkers[1].check(&bytes, flow as usize, 5_000), Some(number));
        assert_eq!(checkers[0].check(&bytes, flow as usize, 5_000), None, "the second time");
    }
    let tallies = checkers.each_mut().map(ReplyChecker::take);
    assert_eq!((tallies[1].received, tallies[1].wrong), (4, 0));
    assert_eq!((tallies[0].received, tallies[0].wrong), (0, 4));
    // The due time of 1,000 ns is rounded down to a tick of 32 ns.
    let latency = tallies[1].latency.max();
    assert!((3_990..4_100).contains(&latency), "{latency}");
    let tally = checkers[1].take();
    assert_eq!((tally.received, tally.latency.len()), (0, 0), "a new step begins at 0");
}

#[test]
fn a_changed_reply_is_wrong_and_its_request_stays_unanswered() {
    let plan = plan("bare");
    let right = reply(&plan, 0, 3, 0);
    let mut wrong: Vec<Vec<u8>> = (0..right.len())
        // The first byte of the value is reserved, and receivers ignore it.
        .filter(|position| *position != 24)
        .map(|position| {
            let mut wrong = right.clone();
            wrong[position] ^= 0x01;
            wrong
        })
        .collect();
    wrong.push(right[..20].to_vec());
    wrong.push([&right[..], &[0; 4]].concat());
    wrong.push(Vec::new());
    let mut forged = with_fingerprint(right.clone());
    *forged.last_mut().unwrap() ^= 1;
    wrong.push(forged);
    let mut checker = ReplyChecker::new(plan);
    for bytes in &wrong {
        assert_eq!(checker.check(bytes, 0, 5_000), None, "{bytes:02x?}");
    }
    assert_eq!(checker.check(&right, 1, 5_000), None, "at another port than the request came from");
    assert_eq!(checker.check(&right, 0, 5_000), Some(3));
    let tally = checker.take();
    assert_eq!((tally.received, tally.wrong), (1, wrong.len() as u64 + 1));
}

#[test]
fn a_fingerprint_is_required_if_the_request_has_one() {
    for (shape, with, without) in [("fingerprint", true, false), ("bare", true, true)] {
        let plan = plan(shape);
        let mut checker = ReplyChecker::new(Arc::clone(&plan));
        let plain = reply(&plan, 0, 1, 0);
        assert_eq!(checker.check(&plain, 0, 5_000).is_some(), without, "{shape}");
        let longer = with_fingerprint(reply(&plan, 0, 2, 0));
        assert_eq!(checker.check(&longer, 0, 5_000).is_some(), with, "{shape}");
    }
}

#[test]
fn a_classic_request_gets_a_classic_reply() {
    let plan = plan("classic");
    let mut checker = ReplyChecker::new(Arc::clone(&plan));
    assert_eq!(checker.check(&reply(&plan, 0, 1, 0), 0, 5_000), None);
    let id = plan.key.encode(RequestStamp { worker: 0, number: 1, due: 1_000 }, 0);
    let cookie = plan.mix.requests[0].cookie();
    let classic =
        [&[1, 1, 0, 12], &cookie[..], &id, &[0, 1, 0, 8, 0, 1], &1000u16.to_be_bytes(), &[10, 0, 0, 1]]
            .concat();
    assert_eq!(checker.check(&classic, 0, 5_000), Some(1));
}
