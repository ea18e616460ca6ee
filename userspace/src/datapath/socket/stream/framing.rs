//! Splits a stream into messages: STUN needs no framing but its own length field (RFC 8489 §6.2.2).

use xstun_core::outcome::Outcome;
use xstun_core::stun::REPLY_ROOM;

/// Longest message that is read, with its header, in bytes: the same as for datagrams.
pub(super) const LONGEST: usize = crate::datapath::socket::PAYLOAD;

/// Length of a message's header, which the length field does not count (RFC 8489 §5).
const HEADER: usize = 20;

/// What the received bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// An incomplete message.
    Incomplete,
    /// A message of this length.
    Message(usize),
    /// No STUN message, or one that is too long: where the next one begins is unknown.
    Invalid(Outcome),
}

/// Reads the header as far as it was received. Reports what cannot become a message at the first byte that
/// shows it.
fn start(bytes: &[u8]) -> Start {
    let [first, rest @ ..] = bytes else { return Start::Incomplete };
    if first & 0xc0 != 0 {
        return Start::Invalid(Outcome::NotStun);
    }
    let [_, high, low, ..] = *rest else { return Start::Incomplete };
    let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
    if !length.is_multiple_of(4) || length > LONGEST {
        return Start::Invalid(Outcome::BadLength);
    }
    if bytes.len() < length { Start::Incomplete } else { Start::Message(length) }
}

/// What a connection has received and not answered yet, up to [`LONGEST`] bytes: complete messages, and at most
/// one incomplete one behind them.
pub(super) struct ReceiveBuffer {
    bytes: [u8; LONGEST],
    begin: usize,
    end: usize,
}

impl ReceiveBuffer {
    pub(super) const fn new() -> Self {
        ReceiveBuffer { bytes: [0; LONGEST], begin: 0, end: 0 }
    }

    /// Moves the next complete message to `message` and returns its length. `None` if more must be received
    /// first.
    ///
    /// # Errors
    /// The next bytes are no message: nothing more can be read from the connection.
    pub(super) fn take(&mut self, message: &mut MessageBuffer) -> Option<Result<usize, Outcome>> {
        let received = &self.bytes[self.begin..self.end];
        match start(received) {
            Start::Incomplete => None,
            Start::Invalid(outcome) => Some(Err(outcome)),
            Start::Message(length) => {
                message[..length].copy_from_slice(&received[..length]);
                self.begin += length;
                Some(Ok(length))
            }
        }
    }

    /// The space to receive into. Never empty after [`ReceiveBuffer::take`] returned `None`, since no message is
    /// longer than the buffer.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        &mut self.bytes[self.end..]
    }

    /// Notes that `count` bytes were received into [`ReceiveBuffer::room`].
    pub(super) fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(LONGEST);
    }
}

/// One message. Its reply is written over it and can be longer, so the next message must not follow it here.
pub(super) type MessageBuffer = [u8; LONGEST + REPLY_ROOM];

#[cfg(test)]
mod tests {
    use super::{LONGEST, MessageBuffer, REPLY_ROOM, ReceiveBuffer, Start, start};
    use proptest::prelude::*;
    use xstun_core::outcome::Outcome;

    fn message(body: usize) -> Vec<u8> {
        let mut message = vec![0, 1, (body >> 8) as u8, body as u8, 0x21, 0x12, 0xa4, 0x42];
        message.extend((0..12 + body).map(|index| index as u8));
        message
    }

    /// Receives `bytes` in reads of at most these sizes, one after the other, and returns the messages.
    fn messages_in(bytes: &[u8], reads: &[usize]) -> Vec<Result<Vec<u8>, Outcome>> {
        let (mut buffer, mut single): (_, MessageBuffer) = (ReceiveBuffer::new(), [0; LONGEST + REPLY_ROOM]);
        let (mut rest, mut found) = (bytes, Vec::new());
        let mut sizes = reads.iter().copied().cycle();
        while !rest.is_empty() {
            let room = buffer.room();
            assert!(!room.is_empty(), "there is always room for more");
            let count = sizes.next().unwrap().clamp(1, room.len()).min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            buffer.fill(count);
            rest = &rest[count..];
            while let Some(next) = buffer.take(&mut single) {
                let refused = next.is_err();
                found.push(next.map(|length| single[..length].to_vec()));
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
            assert_eq!(messages_in(&both, &[split, both.len()]), expected, "split at {split}");
        }
        assert_eq!(messages_in(&both, &[1]), [Ok(first), Ok(second)]);
    }

    #[test]
    fn the_longest_message_fits_behind_a_short_one_and_a_longer_does_not() {
        let (short, long) = (message(0), message(LONGEST - 20));
        let both = [short.clone(), long.clone()].concat();
        assert_eq!(messages_in(&both, &[LONGEST]), [Ok(short), Ok(long)]);
        let longer = message(LONGEST - 16);
        assert_eq!(messages_in(&longer, &[LONGEST]), [Err(Outcome::BadLength)]);
    }

    #[test]
    fn what_cannot_become_a_message_is_known_at_once() {
        assert_eq!(start(&[]), Start::Incomplete);
        assert_eq!(start(b"G"), Start::Invalid(Outcome::NotStun));
        assert_eq!(start(&[0x80]), Start::Invalid(Outcome::NotStun));
        assert_eq!(start(&[0x3f, 0, 0]), Start::Incomplete);
        assert_eq!(start(&[0, 1, 0, 2]), Start::Invalid(Outcome::BadLength));
        assert_eq!(start(&[0, 1, 0xff, 0xfc]), Start::Invalid(Outcome::BadLength));
        assert_eq!(start(&[0, 1, 0, 0]), Start::Incomplete);
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_and_in_order_however_they_are_split(
            bodies in prop::collection::vec(0usize..=(LONGEST - 20) / 4, 1..8),
            reads in prop::collection::vec(1usize..4096, 1..16),
        ) {
            let messages: Vec<_> = bodies.iter().map(|words| message(words * 4)).collect();
            let found = messages_in(&messages.concat(), &reads);
            prop_assert_eq!(found, messages.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_bytes_are_split_alike_however_they_are_split(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            reads in prop::collection::vec(1usize..64, 1..16),
        ) {
            prop_assert_eq!(messages_in(&bytes, &reads), messages_in(&bytes, &[usize::MAX]));
        }
    }
}
