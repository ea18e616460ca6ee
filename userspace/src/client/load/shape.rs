//! The shapes of requests that real clients send, and the mix of them that `--shape` names.

use crate::client::message::attributes::{self, kind};
use crate::client::message::{COOKIE, HEADER, fingerprint_of, set_length};
use xstun_core::enumeration;

/// What classic requests have in place of the magic cookie. Any other value would do.
const CLASSIC_COOKIE: [u8; 4] = *b"xstn";

enumeration! {
    /// One kind of request, with the attributes in its name.
    pub(super) enum RequestShape {
        Bare = ("bare"),
        Fingerprint = ("fingerprint"),
        SoftwareFingerprint = ("software-fingerprint"),
        Software = ("software"),
        ChangeRequest = ("change-request"),
        Classic = ("classic"),
        ClassicChangeRequest = ("classic-change-request"),
        Ice = ("ice"),
    }
    columns {
        /// Name in `--shape`.
        name: &'static str,
    }
}

impl RequestShape {
    fn is_classic(self) -> bool {
        matches!(self, RequestShape::Classic | RequestShape::ClassicChangeRequest)
    }

    /// Returns the attributes in order. Their values are as long as those of the clients named in `--help`.
    fn attributes(self) -> &'static [(u16, &'static [u8])] {
        const SHORT_SOFTWARE: (u16, &[u8]) = (kind::SOFTWARE, b"load gen");
        const LONG_SOFTWARE: (u16, &[u8]) = (kind::SOFTWARE, b"xstun load");
        const NO_CHANGE: (u16, &[u8]) = (kind::CHANGE_REQUEST, &[0; 4]);
        const FINGERPRINT: (u16, &[u8]) = (kind::FINGERPRINT, &[0; 4]);
        match self {
            RequestShape::Bare | RequestShape::Classic => &[],
            RequestShape::Fingerprint => &[FINGERPRINT],
            RequestShape::SoftwareFingerprint => &[SHORT_SOFTWARE, FINGERPRINT],
            RequestShape::Software => &[LONG_SOFTWARE],
            RequestShape::ChangeRequest | RequestShape::ClassicChangeRequest => &[NO_CHANGE],
            // No server knows a password of this user, so none can verify the integrity. A server without
            // credentials must ignore it (RFC 8489 §9).
            RequestShape::Ice => &[
                (kind::USERNAME, b"load:peer"),
                (kind::PRIORITY, &[0x6e, 0x7f, 0x1e, 0xff]),
                (kind::MESSAGE_INTEGRITY, b"nobody has the key! "),
                FINGERPRINT,
            ],
        }
    }
}

/// A request without its transaction ID.
#[derive(Clone, Debug)]
pub(super) struct RequestTemplate {
    /// The message, with a transaction ID and a FINGERPRINT value of zeros.
    pub(super) bytes: Vec<u8>,
    fingerprint: Option<Box<FingerprintTable>>,
}

/// FINGERPRINT as a function of the transaction ID. A CRC is linear: the value is that for the ID of
/// zeros, XORed with what each byte of the ID contributes.
#[derive(Clone, Debug)]
struct FingerprintTable {
    of_zeros: u32,
    change: [[u32; 256]; 12],
}

impl RequestTemplate {
    /// Returns the Binding request of this shape.
    pub(super) fn new(shape: RequestShape) -> Self {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend(if shape.is_classic() { CLASSIC_COOKIE } else { COOKIE });
        bytes.extend([0; 12]);
        for (kind, value) in shape.attributes() {
            attributes::push(&mut bytes, *kind, value);
        }
        let following = bytes.len() - HEADER;
        set_length(&mut bytes, following);
        let last = shape.attributes().last();
        let fingerprint = last.filter(|(kind, _)| *kind == kind::FINGERPRINT).map(|_| {
            let covered = bytes.len() - 8;
            Box::new(FingerprintTable::new(&mut bytes.clone()[..covered]))
        });
        RequestTemplate { bytes, fingerprint }
    }

    /// Returns FINGERPRINT's value for this transaction ID, if the shape has one (RFC 8489 §14.7).
    #[inline]
    pub(super) fn fingerprint(&self, id: &[u8; 12]) -> Option<u32> {
        self.fingerprint.as_ref().map(|fingerprint| fingerprint.of(id))
    }

    /// Writes the request with this transaction ID to the start of `buffer`. Returns its length.
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

    /// Returns the magic cookie, or what a classic request has in its place. The reply must repeat it.
    pub(super) fn cookie(&self) -> [u8; 4] {
        [self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]]
    }

    /// Whether the request has FINGERPRINT.
    pub(super) fn has_fingerprint(&self) -> bool {
        self.fingerprint.is_some()
    }
}

impl FingerprintTable {
    fn new(covered: &mut [u8]) -> Self {
        let of_zeros = fingerprint_of(covered);
        let mut change = [[0; 256]; 12];
        for (position, changes) in change.iter_mut().enumerate() {
            for (byte, change) in (0..=255).zip(changes) {
                covered[8 + position] = byte;
                *change = fingerprint_of(covered) ^ of_zeros;
            }
            covered[8 + position] = 0;
        }
        FingerprintTable { of_zeros, change }
    }

    #[inline]
    fn of(&self, id: &[u8; 12]) -> u32 {
        self.change.iter().zip(id).fold(self.of_zeros, |crc, (change, byte)| crc ^ change[usize::from(*byte)])
    }
}

/// Shapes by weight. A request's number determines its shape, so that the worker that receives the reply
/// knows it too.
#[derive(Clone, Debug)]
pub(super) struct ShapeMix {
    /// The request of each shape.
    pub(super) requests: Vec<RequestTemplate>,
    /// Each index into `requests`, as often as its weight says.
    slots: Vec<u8>,
}

impl ShapeMix {
    /// Greatest sum of the weights.
    const MAX_WEIGHT: u64 = 4096;

    /// Parses `NAME[=WEIGHT],...`. The default weight is 1.
    ///
    /// # Errors
    /// What is invalid in `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut shapes: Vec<(RequestShape, u64)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let shape =
                RequestShape::ALL.into_iter().find(|shape| shape.name() == name).ok_or_else(|| {
                    let names = RequestShape::ALL.map(RequestShape::name).join(", ");
                    format!("'{name}' is no shape; the shapes are {names}")
                })?;
            let weight: u64 =
                weight.parse().ok().filter(|weight| (1..=Self::MAX_WEIGHT).contains(weight)).ok_or_else(
                    || format!("the weight of '{part}' must be a number from 1 to {}", Self::MAX_WEIGHT),
                )?;
            if shapes.iter().any(|(other, _)| *other == shape) {
                return Err(format!("'{name}' is given twice"));
            }
            shapes.push((shape, weight));
        }
        if shapes.iter().map(|(_, weight)| weight).sum::<u64>() > Self::MAX_WEIGHT {
            return Err(format!("the sum of the weights exceeds {}", Self::MAX_WEIGHT));
        }
        let slots = (0u8..).zip(&shapes).flat_map(|(index, (_, weight))| (0..*weight).map(move |_| index));
        Ok(ShapeMix {
            requests: shapes.iter().map(|(shape, _)| RequestTemplate::new(*shape)).collect(),
            slots: slots.collect(),
        })
    }

    /// Returns the index of the request with this number. A multiplier spreads the numbers over the slots;
    /// in plain order the same ports would always send the same shape.
    #[inline]
    pub(super) fn at(&self, number: u32) -> usize {
        let spread = number.wrapping_mul(0x9e37_79b1);
        usize::from(self.slots[((u64::from(spread) * self.slots.len() as u64) >> 32) as usize])
    }
}

#[cfg(test)]
mod tests;
