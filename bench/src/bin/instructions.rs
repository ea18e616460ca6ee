//! Calls each piece of the fast path twice for each shape of request, for callgrind to count the
//! second call. Prints what it calls, a line a call; `cargo xtask bench --instructions` runs it.
//!
//! A call that is counted is one of a function whose name begins with `counted_`: callgrind starts
//! and stops there, and writes out its count at each return.

use std::hint::black_box;
use std::net::SocketAddr;
use xstun_bench::shapes::{BenchRequest, all, destination, served};
use xstun_core::answer::{FrameAnswer, answer};
use xstun_core::classify::{Datagram, Shape, Verdict, classify};
use xstun_core::frame::checksum::Sum;
use xstun_core::frame::{FrameRequest, check, locate, rewrite};
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::{Answer, Exchange, Policy, respond};

#[inline(never)]
fn counted_answer(buffer: &mut [u8], length: usize, served: &Served, policy: &Policy) -> FrameAnswer {
    answer(buffer, length, served, policy)
}

#[inline(never)]
fn counted_classify(frame: &[u8], served: &Served) -> Result<Datagram, Verdict> {
    classify(frame, served).map(|(datagram, ())| datagram)
}

#[inline(never)]
fn counted_parse(frame: &[u8], served: &Served) -> Result<(Datagram, FrameRequest), Outcome> {
    let datagram = locate(frame, served)?;
    Ok((datagram, check(frame, datagram, served)?))
}

#[inline(never)]
fn counted_respond(message: &mut [u8], length: usize, source: &SocketAddr, policy: &Policy) -> Answer {
    respond(message, length, Exchange::datagram(source, destination), policy)
}

#[inline(never)]
fn counted_rewrite(buffer: &mut [u8], shape: Shape, request: &FrameRequest, length: usize) -> Option<usize> {
    rewrite(buffer, shape, request, length)
}

#[inline(never)]
fn counted_checksum(bytes: &[u8]) -> u16 {
    Sum::default().bytes(bytes).checksum()
}

fn main() {
    let served = served();
    let policy = Policy::default();
    for shape in all() {
        // Whatever is worked out once and kept, is at the first call.
        for call in ["first", "second"] {
            let announce = |piece: &str| println!("{call}\t{piece}\t{}", shape.name);
            count(&shape, &served, &policy, announce);
        }
    }
}

fn count(shape: &BenchRequest, served: &Served, policy: &Policy, announce: impl Fn(&str)) {
    let frame = black_box(&shape.frame[..]);
    let length = frame.len();

    announce("answer");
    let mut buffer = shape.buffer();
    let answered = black_box(counted_answer(black_box(&mut buffer), length, served, policy));

    announce("classify");
    let _ = black_box(counted_classify(frame, served));

    announce("parse (frame::locate, frame::check)");
    let Ok((datagram, request)) = black_box(counted_parse(frame, served)) else { return };

    announce("stun::respond");
    let mut message = shape.message_buffer();
    let source = black_box(&shape.source);
    black_box(counted_respond(black_box(&mut message), shape.message_length(), source, policy));

    if answered.length > 0 {
        announce("reply (frame::rewrite)");
        let mut buffer = shape.buffer();
        let length = answered.length - shape.message;
        black_box(counted_rewrite(black_box(&mut buffer), datagram.shape, &request, length));
    }

    announce("checksum of the message");
    black_box(counted_checksum(&frame[shape.message..]));
}
