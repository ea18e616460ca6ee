//! The way in through the headers, and out again with a reply of any length. Input: a byte of flags (see
//! [`xstun_fuzz::frame`]), a byte for the reply's length, the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use xstun::frame::{check, turn_around};
use xstun::outcome::Outcome;
use xstun::served::Served;
use xstun_fuzz::frames::served;
use xstun_fuzz::{chunk, frame, judge};

static SERVED: LazyLock<Served> = LazyLock::new(served);

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, length], bytes)) = input.split_first_chunk::<2>() else { return };
    let mut bytes = bytes.to_vec();
    frame(&mut bytes, flags);
    let ours = judge::ours(&bytes);
    let request = match (check(&bytes, &SERVED), &ours) {
        (Err(outcome), None) => {
            assert!(matches!(outcome, Outcome::BadFrame | Outcome::NotServed), "{outcome:?}");
            return;
        }
        (Err(outcome), Some(ours)) => return assert_eq!(Some(outcome), ours.fault()),
        (Ok(request), Some(ours)) => {
            assert_eq!(ours.fault(), None);
            assert_eq!(request.source, ours.source);
            assert_eq!(&bytes[request.payload..request.payload + request.length], ours.payload());
            assert_eq!(request.unfinished_checksum, ours.is_unfinished());
            request
        }
        (Ok(request), None) => panic!("{request:?} is none to another parser"),
    };
    let length = usize::from(length);
    let mut buffer = chunk(&bytes);
    let payload = buffer[request.payload..request.payload + length].to_vec();
    let end = turn_around(&mut buffer, &request, length).expect("there is room");
    assert_eq!(buffer[..end], ours.expect("checked above").reply(&payload));
    assert_eq!(buffer[end..], chunk(&bytes)[end..], "what lies behind the reply stays");
    let mut tight = bytes[..request.payload].to_vec();
    if length > 0 {
        assert_eq!(turn_around(&mut tight, &request, length), None, "no room");
    }
});
