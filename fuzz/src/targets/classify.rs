//! The classifier that the XDP program runs. Input: the frame.

use std::cell::Cell;
use std::sync::LazyLock;
use xstun_core::classify::{MAX_FRAME, ReadFrame, Verdict, classify};
use xstun_core::served::Served;
use xstun_testkit::frames::served;
use xstun_testkit::judge;

static SERVED: LazyLock<Served> = LazyLock::new(served);

/// A frame that records how far it was read.
struct RecordingFrame<'a> {
    frame: &'a [u8],
    end: Cell<usize>,
}

impl ReadFrame for RecordingFrame<'_> {
    fn holds(&self, end: usize) -> bool {
        self.frame.holds(end)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.end.set(self.end.get().max(offset + N));
        self.frame.bytes(offset)
    }
}

/// Checks the verdict on `frame`.
pub fn run(frame: &[u8]) {
    let recorded = RecordingFrame { frame, end: Cell::new(0) };
    let verdict = classify(&recorded, &*SERVED);
    let ours = judge::ours(frame);
    match verdict {
        Ok((datagram, ())) => {
            let ours = ours.expect("the other parser accepts the datagram too");
            let (udp, length) = (datagram.shape.udp(), usize::from(datagram.udp_length));
            assert_eq!(&frame[udp + 8..udp + length], ours.payload());
            // Only the headers are read.
            assert!(recorded.end.get() <= udp + 8);
            let mut other = frame.to_vec();
            other[udp + 8..].fill(0xee);
            assert_eq!(classify(other.as_slice(), &*SERVED), Ok((datagram, ())));
        }
        Err(verdict) => {
            assert!(ours.is_none(), "{verdict:?}");
            let program_verdicts = [
                Verdict::Redirect,
                Verdict::Answered,
                Verdict::RedirectNoRoom,
                Verdict::NoSocket,
                Verdict::MultiBuffer,
            ];
            assert!(!program_verdicts.contains(&verdict), "{verdict:?}");
            assert!(verdict != Verdict::TooLong || frame.len() > MAX_FRAME);
        }
    }
}
