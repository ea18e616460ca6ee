//! What requests look like: the shapes that real clients send, and the mix of them that was asked
//! for.

use super::super::message::{COOKIE, HEADER, fingerprint_of};

/// What classic requests have in place of the magic cookie: anything else.
const CLASSIC_MARK: [u8; 4] = *b"xstn";

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const CHANGE_REQUEST: u16 = 0x0003;
const PRIORITY: u16 = 0x0024;
const SOFTWARE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Bare,
    Fingerprint,
    SoftwareFingerprint,
    Software,
    ChangeRequest,
    Classic,
    ClassicChangeRequest,
    Ice,
}

impl Shape {
    pub(super) const ALL: [Shape; 8] = [
        Shape::Bare,
        Shape::Fingerprint,
        Shape::SoftwareFingerprint,
        Shape::Software,
        Shape::ChangeRequest,
        Shape::Classic,
        Shape::ClassicChangeRequest,
        Shape::Ice,
    ];

    /// Name as `--shape` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Bare => "bare",
            Shape::Fingerprint => "fingerprint",
            Shape::SoftwareFingerprint => "software-fingerprint",
            Shape::Software => "software",
            Shape::ChangeRequest => "change-request",
            Shape::Classic => "classic",
            Shape::ClassicChangeRequest => "classic-change-request",
            Shape::Ice => "ice",
        }
    }

    fn is_classic(self) -> bool {
        matches!(self, Shape::Classic | Shape::ClassicChangeRequest)
    }

    /// Attributes in their order. The values have the lengths that the clients named in `--help` use.
    fn attributes(self) -> &'static [(u16, &'static [u8])] {
        const SENT_BY: (u16, &[u8]) = (SOFTWARE, b"load gen");
        const LONGER: (u16, &[u8]) = (SOFTWARE, b"xstun load");
        const NO_CHANGE: (u16, &[u8]) = (CHANGE_REQUEST, &[0; 4]);
        const LAST: (u16, &[u8]) = (FINGERPRINT, &[0; 4]);
        match self {
            Shape::Bare | Shape::Classic => &[],
            Shape::Fingerprint => &[LAST],
            Shape::SoftwareFingerprint => &[SENT_BY, LAST],
            Shape::Software => &[LONGER],
            Shape::ChangeRequest | Shape::ClassicChangeRequest => &[NO_CHANGE],
            // No server knows the password of this user name, so no server can tell that the integrity
            // is none; one that is open to all has to pass over it (RFC 8489 §9).
            Shape::Ice => &[
                (USERNAME, b"load:peer"),
                (PRIORITY, &[0x6e, 0x7f, 0x1e, 0xff]),
                (MESSAGE_INTEGRITY, b"nobody has the key! "),
                LAST,
            ],
        }
    }
}

/// A request whose transaction ID is still open.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The bytes, with a transaction ID of zeros and FINGERPRINT's value zero.
    pub(super) bytes: Vec<u8>,
    fingerprint: Option<Box<Fingerprint>>,
}

/// FINGERPRINT as a function of the transaction ID. A CRC is linear: the value is that for the ID of
/// zeros, changed by what each byte of the ID changes.
#[derive(Clone, Debug)]
struct Fingerprint {
    of_zeros: u32,
    change: [[u32; 256]; 12],
}

impl Request {
    /// A Binding request of this shape.
    pub(super) fn new(shape: Shape) -> Self {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend(if shape.is_classic() { CLASSIC_MARK } else { COOKIE });
        bytes.extend([0; 12]);
        for (kind, value) in shape.attributes() {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let length = (bytes.len() - HEADER) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let last = shape.attributes().last();
        let fingerprint = last.filter(|(kind, _)| *kind == FINGERPRINT).map(|_| {
            let covered = bytes.len() - 8;
            Box::new(Fingerprint::new(&mut bytes.clone()[..covered]))
        });
        Request { bytes, fingerprint }
    }

    /// FINGERPRINT's value for this transaction ID, if the shape has one (RFC 8489 §14.7).
    #[inline]
    pub(super) fn fingerprint(&self, id: &[u8; 12]) -> Option<u32> {
        self.fingerprint.as_ref().map(|fingerprint| fingerprint.of(id))
    }

    /// Writes the request with this transaction ID to the start of `buffer`; gives its length.
    #[inline]
    pub(super) fn write(&self, buffer: &mut [u8], id: &[u8; 12]) -> usize {
        let message = &mut buffer[..self.bytes.len()];
        message.copy_from_slice(&self.bytes);
        message[8..HEADER].copy_from_slice(id);
        if let (Some(value), Some(end)) = (self.fingerprint(id), message.last_chunk_mut::<4>()) {
            *end = value.to_be_bytes();
        }
        self.bytes.len()
    }

    /// The magic cookie, or what a classic request has in its place: the reply must carry the same.
    pub(super) fn cookie(&self) -> [u8; 4] {
        [self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]]
    }

    /// Whether it carries FINGERPRINT.
    pub(super) fn has_fingerprint(&self) -> bool {
        self.fingerprint.is_some()
    }
}

impl Fingerprint {
    fn new(covered: &mut [u8]) -> Self {
        let of_zeros = fingerprint_of(covered);
        let mut change = [[0; 256]; 12];
        for (place, changes) in change.iter_mut().enumerate() {
            for (byte, change) in (0..=255).zip(changes) {
                covered[8 + place] = byte;
                *change = fingerprint_of(covered) ^ of_zeros;
            }
            covered[8 + place] = 0;
        }
        Fingerprint { of_zeros, change }
    }

    #[inline]
    fn of(&self, id: &[u8; 12]) -> u32 {
        self.change.iter().zip(id).fold(self.of_zeros, |crc, (change, byte)| crc ^ change[usize::from(*byte)])
    }
}

/// Shapes by weight. Which shape a request has follows from its number, so that whoever gets the
/// reply knows it too.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// The shapes' requests, each once.
    pub(super) requests: Vec<Request>,
    /// Index into `requests`, as often as its weight says.
    turns: Vec<u8>,
}

impl Mix {
    /// Most turns of a mix: the greatest sum of the weights.
    const MOST: u64 = 4096;

    /// Reads `NAME[=WEIGHT],...`. A weight is 1 if it is not given.
    ///
    /// # Errors
    /// What is wrong with `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut shapes: Vec<(Shape, u64)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let shape = Shape::ALL.into_iter().find(|shape| shape.name() == name).ok_or_else(|| {
                let names = Shape::ALL.map(Shape::name).join(", ");
                format!("'{name}' is no shape; there are {names}")
            })?;
            let weight: u64 = weight
                .parse()
                .ok()
                .filter(|weight| (1..=Self::MOST).contains(weight))
                .ok_or_else(|| format!("the weight of '{part}' is no number from 1 to {}", Self::MOST))?;
            if shapes.iter().any(|(other, _)| *other == shape) {
                return Err(format!("'{name}' is named twice"));
            }
            shapes.push((shape, weight));
        }
        if shapes.iter().map(|(_, weight)| weight).sum::<u64>() > Self::MOST {
            return Err(format!("the weights add up to more than {}", Self::MOST));
        }
        let turns = (0u8..).zip(&shapes).flat_map(|(index, (_, weight))| (0..*weight).map(move |_| index));
        Ok(Mix {
            requests: shapes.iter().map(|(shape, _)| Request::new(*shape)).collect(),
            turns: turns.collect(),
        })
    }

    /// Which of the requests has this number. Numbers are spread over the turns by a multiplier, since
    /// in their plain order each shape would always fall to the same ports.
    #[inline]
    pub(super) fn at(&self, number: u32) -> usize {
        let spread = number.wrapping_mul(0x9e37_79b1);
        usize::from(self.turns[((u64::from(spread) * self.turns.len() as u64) >> 32) as usize])
    }
}

#[cfg(test)]
mod tests;
