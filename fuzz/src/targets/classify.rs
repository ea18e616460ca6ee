//! The classifier that the XDP program runs. Input: the frame.

use std::cell::Cell;
use std::sync::LazyLock;
use xstun_core::classify::{MAX_FRAME, ReadFrame, Verdict, classify};
use xstun_core::served::Served;
use xstun_testkit::frames::served;
use xstun_testkit::judge;

static SERVED: LazyLock<Served> = LazyLock::new(served);

/// A frame that remembers how far it was read.
struct Watched<'a> {
    frame: &'a [u8],
    end: Cell<usize>,
}

impl ReadFrame for Watched<'_> {
    fn holds(&self, end: usize) -> bool {
        self.frame.holds(end)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.end.set(self.end.get().max(offset + N));
        self.frame.bytes(offset)
    }
}

/// Judges what is made of `frame`.
pub fn run(frame: &[u8]) {
    let watched = Watched { frame, end: Cell::new(0) };
    let verdict = classify(&watched, &*SERVED);
    let ours = judge::ours(frame);
    match verdict {
        Ok(datagram) => {
            let ours = ours.expect("another parser finds the datagram too");
            let (udp, length) = (datagram.shape.udp(), usize::from(datagram.udp_length));
            assert_eq!(&frame[udp + 8..udp + length], ours.payload());
            // The headers decide alone.
            assert!(watched.end.get() <= udp + 8);
            let mut other = frame.to_vec();
            other[udp + 8..].fill(0xee);
            assert_eq!(classify(other.as_slice(), &*SERVED), Ok(datagram));
        }
        Err(verdict) => {
            assert!(ours.is_none(), "{verdict:?}");
            let of_the_program = [Verdict::Redirect, Verdict::NoSocket, Verdict::MultiBuffer];
            assert!(!of_the_program.contains(&verdict), "{verdict:?}");
            assert!(verdict != Verdict::TooLong || frame.len() > MAX_FRAME);
        }
    }
}
