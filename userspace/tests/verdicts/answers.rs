//! The program's replies are those of the core, byte for byte; every other frame is left as it was.

use super::kernel::Kernel;
use super::{XDP_PASS, XDP_REDIRECT, XDP_TX};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use xstun_core::answer::answer;
use xstun_core::classify::{Verdict, classify};
use xstun_core::plain_frame::Declined;
use xstun_core::served::Served;
use xstun_core::stun::{Extras, Permission, Policy, REPLY_ROOM};
use xstun_ebpf::{PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR};
use xstun_testkit::conformance::rows;
use xstun_testkit::frames::{
    self, CLIENT_IPV4, CLIENT_IPV6, IPV4, IPV6, MAC, PORT, REQUEST, Tag, ipv4_header, ipv6_header, padded,
    udp,
};
use xstun_testkit::messages::{BINDING_REQUEST, classic, fingerprinted, message};
use xstun_testkit::plain::answer_in_kernel;
use xstun_testkit::random::Random;
use xstun_testkit::strategies::{self, changes, mutated_request};

/// The permissions that a policy can give, and such a policy.
fn permissions() -> [(Permission, Policy); 4] {
    [(true, true), (true, false), (false, true), (false, false)].map(|(classic, zero)| {
        let extras = (!zero).then(|| Extras { drop_zero_transaction: true, ..Extras::default() });
        (Permission::answer(classic, zero), Policy { classic, extras })
    })
}

/// A loaded program with a socket, and what its endpoints are permitted.
struct Answering {
    kernel: Kernel,
    permission: Permission,
    policy: Policy,
    served: Served,
    answered: u64,
}

impl Answering {
    fn load() -> Self {
        let (permission, policy) = permissions()[0].clone();
        Answering {
            kernel: Kernel::load(permission),
            permission,
            policy,
            served: frames::served(),
            answered: 0,
        }
    }

    fn permit(&mut self, permission: Permission, policy: Policy) {
        self.kernel.permit(permission);
        (self.permission, self.policy) = (permission, policy);
    }

    /// Asserts that both programs answer `frame` exactly where the core's way for the kernel answers, with the bytes
    /// that the worker would send, and leave it alone otherwise.
    fn check(&mut self, frame: &[u8]) {
        if frame.len() < 14 {
            return;
        }
        let expected = answer_in_kernel(frame, true, &self.served, self.permission);
        if let Ok(expected) = &expected {
            let mut buffer = frame.to_vec();
            buffer.resize(frame.len() + 128 + REPLY_ROOM, 0);
            let worker = answer(&mut buffer, frame.len(), &self.served, &self.policy);
            assert_eq!(*expected, (worker.outcome, buffer[..worker.length].to_vec()), "{frame:02x?}");
            self.answered += 1;
        }
        for name in [PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR] {
            let run = self.kernel.run(name, frame, None).expect("a test run");
            match &expected {
                Ok((outcome, reply)) => {
                    assert_eq!(run.frame, *reply, "{name}: {frame:02x?}");
                    assert_eq!(
                        (run.action, run.verdict),
                        (XDP_TX, Verdict::Answered),
                        "{name}: {frame:02x?}"
                    );
                    assert_eq!(run.outcome, Some(*outcome), "{name}: {frame:02x?}");
                }
                Err(Declined::NotPlain) => {
                    let (action, verdict) = match classify(frame, &self.served) {
                        Ok(_) => (XDP_REDIRECT, Verdict::Redirect),
                        Err(verdict) => (XDP_PASS, verdict),
                    };
                    assert_eq!((run.action, run.verdict), (action, verdict), "{name}: {frame:02x?}");
                    assert_eq!((run.frame, run.outcome), (frame.to_vec(), None), "{name}");
                }
                Err(Declined::NoRoom) => unreachable!("the model has room"),
            }
        }
    }

    /// Checks `payload` in a frame of each shape.
    fn check_payload(&mut self, payload: &[u8]) {
        for ip in [ipv4_header(), ipv6_header()] {
            for tag in [Tag::None, Tag::One(7)] {
                self.check(&udp(ip.clone(), tag, payload));
            }
        }
    }
}

/// Each request that may be answered in the kernel.
fn plain_requests() -> [Vec<u8>; 4] {
    [
        REQUEST.to_vec(),
        fingerprinted(REQUEST.to_vec()),
        fingerprinted(message(BINDING_REQUEST, &[(0x8022, b"tailnode")])),
        classic(BINDING_REQUEST, &[]),
    ]
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn every_row_of_the_conformance_table_is_answered_as_by_the_core_or_left_alone() {
    let mut answering = Answering::load();
    let _socket = answering.kernel.add_socket();
    for (permission, policy) in permissions() {
        answering.permit(permission, policy);
        for row in rows() {
            answering.check_payload(&row.request);
        }
    }
    assert!(answering.answered > 0, "the table has plain requests");
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn every_truncation_and_padding_of_a_plain_request_is_answered_as_by_the_core_or_left_alone() {
    let mut answering = Answering::load();
    let _socket = answering.kernel.add_socket();
    for payload in plain_requests() {
        for ip in [ipv4_header(), ipv6_header()] {
            for tag in [Tag::None, Tag::One(7)] {
                let frame = udp(ip.clone(), tag, &payload);
                for length in 14..=frame.len() + 20 {
                    let changed = padded(frame[..length.min(frame.len())].to_vec(), length);
                    answering.check(&changed);
                }
            }
        }
    }
    assert_eq!(answering.answered, 16 * 21, "whole frames, with up to 20 bytes behind them");
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn mutated_frames_are_answered_as_by_the_core_or_left_alone() {
    let mut answering = Answering::load();
    let _socket = answering.kernel.add_socket();
    let mut random = Random(5780);
    for payload in plain_requests() {
        for ip in [ipv4_header(), ipv6_header()] {
            let frame = udp(ip, Tag::None, &payload);
            for _ in 0..500 {
                let mut mutated = frame.clone();
                random.mutate(&mut mutated);
                answering.check(&mutated);
            }
        }
    }
    for case in frames::cases() {
        answering.check(&case.frame);
    }
    assert!(answering.answered > 100, "some mutations leave a plain request");
}

/// Whole frames of each shape, under each permission, with bytes changed anywhere, cut and lengthened.
#[test]
#[ignore = "needs root: loads the XDP program"]
fn changed_frames_of_any_shape_are_answered_as_by_the_core_or_left_alone() {
    let mut runner = TestRunner::new(strategies::cases(1000));
    let mut loaded = Answering::load();
    let _socket = loaded.kernel.add_socket();
    let answering = RefCell::new(loaded);
    let plain = prop::sample::select(plain_requests().to_vec());
    let payloads =
        prop_oneof![mutated_request(), plain.clone(), (plain, changes()).prop_map(|(p, c)| c.apply(p))];
    let shapes = (any::<bool>(), any::<bool>());
    let permissions = prop::sample::select(permissions().to_vec());
    let cases = (payloads, shapes, changes(), permissions);
    runner
        .run(&cases, |(payload, (of_ipv4, tagged), changes, (permission, policy))| {
            let mut answering = answering.borrow_mut();
            answering.permit(permission, policy);
            let ip = if of_ipv4 { ipv4_header() } else { ipv6_header() };
            let frame = udp(ip, if tagged { Tag::One(7) } else { Tag::None }, &payload);
            answering.check(&frame);
            answering.check(&changes.apply(frame));
            Ok(())
        })
        .unwrap();
    assert!(answering.borrow().answered > 100, "some changes leave a plain request");
}

/// Each input as a frame, and as the payload of frames.
#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kept_corpora_are_answered_as_by_the_core_or_left_alone() {
    let corpora = std::env::var_os("XSTUN_CORPORA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")), PathBuf::from);
    let mut answering = Answering::load();
    let _socket = answering.kernel.add_socket();
    let mut inputs = 0;
    for corpus in fs::read_dir(&corpora).unwrap_or_else(|error| panic!("{}: {error}", corpora.display())) {
        for input in fs::read_dir(corpus.unwrap().path()).unwrap() {
            let input = fs::read(input.unwrap().path()).unwrap();
            // A test run takes what fits a page.
            if input.len() > 1500 {
                continue;
            }
            answering.check(&input);
            answering.check_payload(&input);
            inputs += 1;
        }
    }
    assert!(inputs > 1000, "the corpora have {inputs} inputs");
    assert!(answering.answered > 0, "some inputs are plain requests");
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn a_refused_source_goes_to_the_worker() {
    let mut answering = Answering::load();
    let _socket = answering.kernel.add_socket();
    let refused = [IpAddr::V4(CLIENT_IPV4), IpAddr::V6(CLIENT_IPV6)];
    answering.served = Served::new(MAC, [(IpAddr::V4(IPV4), PORT), (IpAddr::V6(IPV6), PORT)], refused);
    answering.kernel.refuse(&answering.served);
    for payload in plain_requests() {
        answering.check_payload(&payload);
    }
    assert_eq!(answering.answered, 0, "no refused source is answered");
}
