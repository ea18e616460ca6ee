//! Which messages are answered, which are not, and which close the connection.

use super::super::framing::LONGEST;
use super::{
    CloseReason, ask_over, config, connect, expect_end, message, read_message, request, start, start_on,
    stats, success, wait_for, wait_until,
};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use xstun_core::outcome::Outcome;
use xstun_testkit::wait::uninterrupted;

#[test]
fn every_request_of_a_connection_gets_its_own_address() {
    for ip in ["127.0.0.1", "::1"] {
        let service = start_on(ip, &config());
        let (one, other) = (connect(&service), connect(&service));
        for number in 0..3 {
            ask_over(&one, number);
            ask_over(&other, number);
        }
        // A reply is counted after it was sent.
        let stats = stats(&service);
        wait_until("six are answered", || stats.messages.outcome(Outcome::Answered) == 6);
    }
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let service = start(&config());
    let stream = connect(&service);
    let local = stream.local_addr().unwrap();
    let all: Vec<u8> = (0..=255).flat_map(request).collect();
    // Another thread reads, since the server does not read more than it can answer.
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&all).unwrap());
        for number in 0..=255 {
            assert_eq!(read_message(&mut &stream), success(number, local));
        }
    });
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let service = start(&config());
    let stream = connect(&service);
    stream.set_nodelay(true).unwrap();
    for byte in request(1) {
        (&stream).write_all(&[byte]).unwrap();
    }
    assert_eq!(read_message(&mut &stream), success(1, stream.local_addr().unwrap()));
}

#[test]
fn a_message_that_needs_no_reply_leaves_the_connection_open() {
    let service = start(&config());
    let stream = connect(&service);
    // An indication, a response, a TURN Allocate request.
    for kind in [0x0011, 0x0101, 0x0003] {
        (&stream).write_all(&message(kind, 1, &[])).unwrap();
    }
    ask_over(&stream, 2);
    let stats = stats(&service);
    for outcome in [Outcome::Indication, Outcome::Response, Outcome::OtherMethod] {
        assert_eq!(stats.messages.outcome(outcome), 1, "{outcome:?}");
    }
}

#[test]
fn an_invalid_message_closes_the_connection_after_the_earlier_replies() {
    let overrun = message(1, 1, &[0x80, 0x22, 0, 8, b'x', b'x', b'x', b'x']);
    let fingerprint = message(1, 1, &[0x80, 0x28, 0, 4, 1, 2, 3, 4]);
    let odd = [&[0, 1, 0, 3][..], &request(1)[4..]].concat();
    let long = [&[0, 1, 0xff, 0xfc][..], &request(1)[4..]].concat();
    let much = vec![b'x'; 100_000];
    for (what, outcome) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Outcome::NotStun),
        (&much, Outcome::NotStun),
        (&[0x16, 3, 1, 2, 0], Outcome::BadLength),
        (&odd, Outcome::BadLength),
        (&long, Outcome::BadLength),
        (&overrun, Outcome::BadAttribute),
        (&fingerprint, Outcome::BadFingerprint),
    ] {
        let service = start(&config());
        let stats = stats(&service);
        let stream = connect(&service);
        (&stream).write_all(&request(1)).unwrap();
        // The server may have closed the connection before the rest.
        let _ = (&stream).write_all(what);
        assert_eq!(read_message(&mut &stream), success(1, stream.local_addr().unwrap()), "{outcome:?}");
        expect_end(&stream);
        drop(stream);
        wait_for(&stats, CloseReason::Malformed, 1);
        assert_eq!(stats.messages.outcome(outcome), 1, "{outcome:?}");
        assert_eq!(stats.messages.received.get(), 2);
    }
}

#[test]
fn an_attribute_that_must_be_understood_is_answered_with_420() {
    let service = start(&config());
    let stream = connect(&service);
    (&stream).write_all(&message(1, 9, &[0x7f, 0xff, 0, 0])).unwrap();
    let reply = read_message(&mut &stream);
    assert_eq!(reply[..2], [0x01, 0x11]);
    assert_eq!(reply[4..20], request(9)[4..]);
    assert_eq!(reply[20..28], [0, 9, 0, 4, 0, 0, 4, 20]);
    ask_over(&stream, 1);
}

#[test]
fn the_longest_message_is_answered_and_does_not_disturb_the_next() {
    let service = start(&config());
    let stream = connect(&service);
    let value = LONGEST - 24;
    let mut software = vec![0x80, 0x22, (value >> 8) as u8, value as u8];
    software.resize(4 + value, b'x');
    let longest = message(1, 1, &software);
    assert_eq!(longest.len(), LONGEST);
    (&stream).write_all(&[longest, request(2)].concat()).unwrap();
    let local = stream.local_addr().unwrap();
    assert_eq!(read_message(&mut &stream), success(1, local));
    assert_eq!(read_message(&mut &stream), success(2, local));
}

#[test]
fn a_client_that_has_shut_down_its_sending_side_still_gets_its_reply() {
    let service = start(&config());
    let stats = stats(&service);
    let stream = connect(&service);
    (&stream).write_all(&request(1)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_message(&mut &stream), success(1, stream.local_addr().unwrap()));
    expect_end(&stream);
    wait_for(&stats, CloseReason::ByPeer, 1);
}

#[test]
fn a_truncated_message_is_no_message() {
    let service = start(&config());
    let stats = stats(&service);
    let stream = connect(&service);
    (&stream).write_all(&request(1)[..19]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut nothing = [0; 1];
    assert_eq!(uninterrupted(|| (&stream).read(&mut nothing)).unwrap(), 0);
    wait_for(&stats, CloseReason::ByPeer, 1);
    assert_eq!(stats.messages.received.get(), 0);
}

/// A stream cannot reply from another endpoint: CHANGE-REQUEST with a flag is an unknown attribute there.
#[test]
fn a_change_of_the_source_is_refused_with_420() {
    let service = start(&config());
    let stream = connect(&service);
    (&stream).write_all(&message(1, 9, &[0, 3, 0, 4, 0, 0, 0, 6])).unwrap();
    let reply = read_message(&mut &stream);
    assert_eq!((&reply[..2], &reply[20..28]), (&[0x01, 0x11][..], &[0, 9, 0, 4, 0, 0, 4, 20][..]));
    (&stream).write_all(&message(1, 9, &[0, 3, 0, 4, 0, 0, 0, 0])).unwrap();
    assert_eq!(read_message(&mut &stream), success(9, stream.local_addr().unwrap()));
}
