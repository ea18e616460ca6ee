//! The core over any message from any source. Input: a byte of flags (see [`crate::message`]; 128
//! drops classic requests), a source, the message.

use crate::{SOURCE, chunk, message, source};
use std::net::SocketAddr;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, Extras, Policy, REPLY_ROOM, respond};
use xstun_testkit::reference;

const NO_CLASSIC: u8 = 128;

/// Checks the result for `input`.
pub fn run(input: &[u8]) {
    let Some((&flags, input)) = input.split_first() else { return };
    let Some((address, request)) = input.split_first_chunk::<SOURCE>() else { return };
    let mut request = request.to_vec();
    message(&mut request, flags);
    let classic = flags & NO_CLASSIC == 0;
    // The fast path, and the extended path that every request takes if an option is enabled.
    for extras in [None, Some(Extras::default())] {
        check(&request, source(address), &Policy { classic, extras });
    }
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 3478))
}

fn check(request: &[u8], source: SocketAddr, policy: &Policy) {
    let mut buffer = chunk(request);
    let answer = respond(&mut buffer, request.len(), Exchange::datagram(&source, server), policy);
    let (reply, _) = buffer.split_at(answer.length);
    assert_eq!((answer.outcome, reply.to_vec()), reference::respond(request, source, policy.classic));
    assert!(!answer.is_diverted());
    if answer.length == 0 {
        assert_eq!(buffer, chunk(request), "without a reply the buffer is unchanged");
        return;
    }
    // Independent of the reference: the reply is bounded, and of the same transaction.
    assert!(answer.length <= request.len().max(52) && answer.length <= REPLY_ROOM);
    assert_eq!(reply[4..20], request[4..20]);
    // The bytes after the request are not part of it, and are unchanged.
    let end = request.len().max(REPLY_ROOM);
    assert_eq!(buffer[end..], chunk(request)[end..]);
    let mut again = chunk(&buffer[..answer.length]);
    let answer = respond(&mut again, answer.length, Exchange::datagram(&source, server), policy);
    assert_eq!((answer.outcome, answer.length), (Outcome::Response, 0), "a reply is never answered");
}
