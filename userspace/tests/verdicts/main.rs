//! The XDP program, run in the kernel by BPF_PROG_TEST_RUN, has the same verdict as `classify` on the host, counts
//! each frame once under that verdict, and answers as the core does or leaves the frame's bytes alone.

mod answers;
mod kernel;
mod losses;

use kernel::Kernel;
use xstun_core::classify::{Verdict, classify};
use xstun_core::stun::Permission;
use xstun_ebpf::{PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR, PROGRAM_FRAGS, PROGRAM_LINEAR};
use xstun_testkit::frames;
use xstun_testkit::random::Random;

const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const EINVAL: i32 = 22;

const PROGRAMS: [&str; 4] = [PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR, PROGRAM_FRAGS, PROGRAM_LINEAR];

impl Kernel {
    /// Asserts that every program has the host's verdict on `frame`, with or without a socket on the queue, where
    /// no endpoint may be answered by the program.
    fn assert_agrees(&mut self, what: &str, frame: &[u8], socket: bool) {
        let (action, verdict) = match classify(frame, &frames::served()) {
            Ok(_) if socket => (XDP_REDIRECT, Verdict::Redirect),
            Ok(_) => (XDP_PASS, Verdict::NoSocket),
            Err(verdict) => (XDP_PASS, verdict),
        };
        for name in PROGRAMS {
            let run = self.run(name, frame, None).unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            assert_eq!((run.action, run.verdict), (action, verdict), "{name}, {what}: {frame:02x?}");
            assert_eq!(run.frame, frame, "{name}, {what}: the frame is as it was");
        }
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_each_case() {
    let mut kernel = Kernel::load(Permission::REDIRECT);
    for case in frames::cases() {
        let host = classify(case.frame.as_slice(), &frames::served()).map(|_| ());
        assert_eq!(host, case.verdict, "the host, {}", case.name);
        kernel.assert_agrees(case.name, &case.frame, false);
    }
    let _socket = kernel.add_socket();
    for case in frames::cases() {
        kernel.assert_agrees(case.name, &case.frame, true);
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_each_truncated_frame() {
    let mut kernel = Kernel::load(Permission::REDIRECT);
    let _socket = kernel.add_socket();
    let tagged = |ip| frames::udp(ip, frames::Tag::One(7), &frames::REQUEST);
    for whole in [
        frames::ipv4(&frames::REQUEST),
        frames::ipv6(&frames::REQUEST),
        tagged(frames::ipv4_header()),
        tagged(frames::ipv6_header()),
    ] {
        for length in 14..=whole.len() {
            kernel.assert_agrees(&format!("the first {length} bytes"), &whole[..length], true);
        }
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_mutated_frames() {
    let mut kernel = Kernel::load(Permission::REDIRECT);
    let _socket = kernel.add_socket();
    let cases = frames::cases();
    let mut random = Random(8489);
    for number in 0..3000 {
        let case = &cases[random.below(cases.len())];
        let mut frame = case.frame.clone();
        random.mutate(&mut frame);
        kernel.assert_agrees(&format!("mutation {number} of {}", case.name), &frame, true);
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn a_request_in_several_buffers_goes_to_the_stack() {
    let mut kernel = Kernel::load(Permission::REDIRECT);
    let _socket = kernel.add_socket();
    let mut frame = frames::ipv4(&frames::REQUEST);
    let datagram = frame.len();
    frame.resize(datagram + 200, 0);
    match kernel.run(PROGRAM_ANSWERS_FRAGS, &frame, Some(datagram)) {
        Ok(run) => assert_eq!((run.action, run.verdict), (XDP_PASS, Verdict::MultiBuffer)),
        // Before Linux 6.18 a test run accepts no length of the first buffer, and frames longer than one page
        // are TooLong first.
        Err(error) if error.raw_os_error() == Some(EINVAL) => {
            eprintln!("skipped: this kernel's test run cannot split so short a frame: {error}");
        }
        Err(error) => panic!("{error}"),
    }
    let long = vec![0; 5000];
    let long = frames::patched(long, 0, &frame);
    kernel.assert_agrees("a frame of 5000 bytes", &long, true);
}
