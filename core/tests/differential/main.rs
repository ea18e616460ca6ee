//! The core against two other implementations of STUN: where they agree, and each place where they do not.

mod codec;
mod types;
mod types_credentials;

use std::net::SocketAddr;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, Policy, REPLY_ROOM, respond};

const SOURCE: &str = "198.51.100.7:40000";

fn server() -> SocketAddr {
    "192.0.2.1:3478".parse().unwrap()
}

fn ask_by(policy: &Policy, request: &[u8], source: SocketAddr) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0; REPLY_ROOM]].concat();
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), policy);
    (answer.outcome, buffer[..answer.length].to_vec())
}

fn ask(request: &[u8], source: SocketAddr) -> (Outcome, Vec<u8>) {
    ask_by(&Policy::default(), request, source)
}

fn outcome(request: &[u8]) -> Outcome {
    ask(request, SOURCE.parse().unwrap()).0
}

/// Who a reply says asked.
fn canonical(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

/// Types, values and what follows of the attributes of a well-formed message.
fn attributes(message: &[u8]) -> Vec<(u16, &[u8], bool)> {
    let mut rest = &message[20..];
    let mut attributes = Vec::new();
    while let [t0, t1, l0, l1, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        rest = &behind[length.next_multiple_of(4)..];
        attributes.push((u16::from_be_bytes([*t0, *t1]), &behind[..length], rest.is_empty()));
    }
    attributes
}
