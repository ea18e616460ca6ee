//! Checks of the headers, and the rewrite with a reply of any length. Input: a byte of flags (see
//! [`crate::frame`]), a byte for the reply's length, the frame.

use crate::{chunk, frame};
use std::sync::LazyLock;
use xstun_core::frame::{check, destination, locate, rewrite, rewrite_diverted};
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_testkit::frames::served;
use xstun_testkit::judge;

static SERVED: LazyLock<Served> = LazyLock::new(served);

/// Checks the result for `input`.
pub fn run(input: &[u8]) {
    let Some((&[flags, length], bytes)) = input.split_first_chunk::<2>() else { return };
    let mut bytes = bytes.to_vec();
    frame(&mut bytes, flags);
    let ours = judge::ours(&bytes);
    let datagram = match (locate(&bytes, &*SERVED), &ours) {
        (Err(Outcome::BadFrame | Outcome::NotServed), None) => return,
        (Ok(datagram), Some(_)) => datagram,
        (found, _) => panic!("{found:?}: the other parser differs"),
    };
    let ours = ours.expect("matched above");
    let request = match check(&bytes, datagram, &*SERVED) {
        Err(outcome) => return assert_eq!(Some(outcome), ours.fault()),
        Ok(request) => request,
    };
    assert_eq!((ours.fault(), request.source), (None, ours.source));
    assert_eq!(request.unfinished_checksum, ours.is_unfinished());
    assert_eq!(destination(&bytes, datagram.shape), Some(ours.destination));
    let payload = datagram.shape.udp() + 8;
    assert_eq!(&bytes[payload..datagram.shape.udp() + usize::from(datagram.udp_length)], ours.payload());

    let length = usize::from(length);
    let mut buffer = chunk(&bytes);
    let expected = ours.reply(&buffer[payload..payload + length]);
    let mut diverted = buffer.clone();
    let end = rewrite(&mut buffer, datagram.shape, &request, length).expect("the buffer has room");
    assert_eq!(buffer[..end], expected);
    assert_eq!(buffer[end..], chunk(&bytes)[end..], "the bytes after the reply are unchanged");
    assert_eq!(rewrite_diverted(&mut diverted, datagram.shape, length), Some(end));
    assert_eq!(diverted, buffer, "recomputed checksums equal the kept ones");
    if length > 0 {
        let mut tight = bytes[..payload].to_vec();
        assert_eq!(rewrite(&mut tight, datagram.shape, &request, length), None, "the buffer has no room");
    }
}
