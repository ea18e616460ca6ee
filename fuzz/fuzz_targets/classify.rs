//! The classifier that the XDP program runs. Input: the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::sync::LazyLock;
use xstun::served::Served;
use xstun_ebpf::{Frame, MAX_FRAME, Verdict, classify};
use xstun_fuzz::frames::served;
use xstun_fuzz::judge;

static SERVED: LazyLock<Served> = LazyLock::new(served);

/// A frame that remembers how far it was read.
struct Watched<'a> {
    frame: &'a [u8],
    end: Cell<usize>,
}

impl Frame for Watched<'_> {
    fn holds(&self, end: usize) -> bool {
        self.frame.holds(end)
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.end.set(self.end.get().max(offset + N));
        self.frame.read(offset)
    }
}

fuzz_target!(|frame: &[u8]| {
    let watched = Watched { frame, end: Cell::new(0) };
    let verdict = classify(&watched, &*SERVED);
    let ours = judge::ours(frame);
    match verdict {
        Ok(datagram) => {
            let ours = ours.expect("another parser finds the datagram too");
            assert_eq!(&frame[datagram.udp + 8..datagram.udp + datagram.udp_length], ours.payload());
            assert!(datagram.udp + datagram.udp_length <= frame.len());
            // The headers decide alone.
            assert!(watched.end.get() <= datagram.udp + 8);
            let mut other = frame.to_vec();
            other[datagram.udp + 8..].fill(0xee);
            assert_eq!(classify(other.as_slice(), &*SERVED), Ok(datagram));
        }
        Err(verdict) => {
            assert!(ours.is_none(), "{verdict:?}");
            let of_the_program = [Verdict::Redirect, Verdict::NoSocket, Verdict::MultiBuffer];
            assert!(!of_the_program.contains(&verdict), "{verdict:?}");
            assert_eq!(verdict == Verdict::TooLong && frame.len() <= MAX_FRAME, false);
        }
    }
});
