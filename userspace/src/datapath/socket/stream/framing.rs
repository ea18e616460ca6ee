//! Messages cut out of a stream: STUN needs no framing but its own length field (RFC 8489 §6.2.2).

use crate::outcome::Outcome;
use crate::stun::REPLY_ROOM;

/// Longest message that is read, with its header: as long as the longest datagram that is.
pub const LONGEST: usize = crate::datapath::socket::PAYLOAD;

/// Length of a message's header, which its length field does not count (RFC 8489 §5).
const HEADER: usize = 20;

/// What stands at the beginning of the bytes received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Too little to tell, or to be a whole message.
    Unfinished,
    /// A message of this length.
    Message(usize),
    /// No STUN message, or one that is too long: where the next would begin cannot be known.
    Nothing(Outcome),
}

/// Reads the header as far as it is there. What cannot become a message is told at the first byte
/// that says so.
fn start(bytes: &[u8]) -> Start {
    let [first, rest @ ..] = bytes else { return Start::Unfinished };
    if first & 0xc0 != 0 {
        return Start::Nothing(Outcome::NotStun);
    }
    let [_, high, low, ..] = *rest else { return Start::Unfinished };
    let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
    if !length.is_multiple_of(4) || length > LONGEST {
        return Start::Nothing(Outcome::BadLength);
    }
    if bytes.len() < length { Start::Unfinished } else { Start::Message(length) }
}

/// What a connection has received and not yet answered: one message at most that is not whole, and
/// those that came with its beginning. Never more than [`LONGEST`] bytes.
pub(super) struct Inbox {
    bytes: [u8; LONGEST],
    begin: usize,
    end: usize,
}

impl Inbox {
    pub(super) const fn new() -> Self {
        Inbox { bytes: [0; LONGEST], begin: 0, end: 0 }
    }

    /// Takes the next whole message out and copies it into `desk`; gives its length. `None` if more
    /// must be received first.
    ///
    /// # Errors
    /// What stands next is no message: the connection is of no further use.
    pub(super) fn take(&mut self, desk: &mut Desk) -> Option<Result<usize, Outcome>> {
        let received = &self.bytes[self.begin..self.end];
        match start(received) {
            Start::Unfinished => None,
            Start::Nothing(outcome) => Some(Err(outcome)),
            Start::Message(length) => {
                desk[..length].copy_from_slice(&received[..length]);
                self.begin += length;
                Some(Ok(length))
            }
        }
    }

    /// Where to receive more; never empty once [`Inbox::take`] gave `None`, since no message is
    /// longer than the whole.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        &mut self.bytes[self.end..]
    }

    /// Notes that `count` bytes were received into [`Inbox::room`].
    pub(super) fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(LONGEST);
    }
}

/// Where one message is answered: a reply is written over its request and can be longer, so it must
/// not stand where the next request does.
pub(super) type Desk = [u8; LONGEST + REPLY_ROOM];

#[cfg(test)]
mod tests {
    use super::{Desk, Inbox, LONGEST, REPLY_ROOM, Start, start};
    use crate::outcome::Outcome;
    use proptest::prelude::*;

    fn message(body: usize) -> Vec<u8> {
        let mut message = vec![0, 1, (body >> 8) as u8, body as u8, 0x21, 0x12, 0xa4, 0x42];
        message.extend((0..12 + body).map(|index| index as u8));
        message
    }

    /// Feeds `bytes` in reads of at most these sizes, in turn, and gives what was cut out of them.
    fn cut(bytes: &[u8], reads: &[usize]) -> Vec<Result<Vec<u8>, Outcome>> {
        let (mut inbox, mut desk): (_, Desk) = (Inbox::new(), [0; LONGEST + REPLY_ROOM]);
        let (mut rest, mut found) = (bytes, Vec::new());
        let mut sizes = reads.iter().copied().cycle();
        while !rest.is_empty() {
            let room = inbox.room();
            assert!(!room.is_empty(), "there is always room for more");
            let count = sizes.next().unwrap().clamp(1, room.len()).min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            inbox.received(count);
            rest = &rest[count..];
            while let Some(next) = inbox.take(&mut desk) {
                let refused = next.is_err();
                found.push(next.map(|length| desk[..length].to_vec()));
                if refused {
                    return found;
                }
            }
        }
        found
    }

    #[test]
    fn every_split_of_two_messages_gives_the_same_two() {
        let (first, second) = (message(8), message(0));
        let both = [first.clone(), second.clone()].concat();
        for split in 1..both.len() {
            let expected = [Ok(first.clone()), Ok(second.clone())];
            assert_eq!(cut(&both, &[split, both.len()]), expected, "split at {split}");
        }
        assert_eq!(cut(&both, &[1]), [Ok(first), Ok(second)]);
    }

    #[test]
    fn the_longest_message_fits_behind_a_short_one_and_a_longer_does_not() {
        let (short, long) = (message(0), message(LONGEST - 20));
        let both = [short.clone(), long.clone()].concat();
        assert_eq!(cut(&both, &[LONGEST]), [Ok(short), Ok(long)]);
        let longer = message(LONGEST - 16);
        assert_eq!(cut(&longer, &[LONGEST]), [Err(Outcome::BadLength)]);
    }

    #[test]
    fn what_cannot_become_a_message_is_known_at_once() {
        assert_eq!(start(&[]), Start::Unfinished);
        assert_eq!(start(b"G"), Start::Nothing(Outcome::NotStun));
        assert_eq!(start(&[0x80]), Start::Nothing(Outcome::NotStun));
        assert_eq!(start(&[0x3f, 0, 0]), Start::Unfinished);
        assert_eq!(start(&[0, 1, 0, 2]), Start::Nothing(Outcome::BadLength));
        assert_eq!(start(&[0, 1, 0xff, 0xfc]), Start::Nothing(Outcome::BadLength));
        assert_eq!(start(&[0, 1, 0, 0]), Start::Unfinished);
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_and_in_order_however_they_are_split(
            bodies in prop::collection::vec(0usize..=(LONGEST - 20) / 4, 1..8),
            reads in prop::collection::vec(1usize..4096, 1..16),
        ) {
            let messages: Vec<_> = bodies.iter().map(|words| message(words * 4)).collect();
            let found = cut(&messages.concat(), &reads);
            prop_assert_eq!(found, messages.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_bytes_are_cut_alike_however_they_are_split(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            reads in prop::collection::vec(1usize..64, 1..16),
        ) {
            prop_assert_eq!(cut(&bytes, &reads), cut(&bytes, &[usize::MAX]));
        }
    }
}
