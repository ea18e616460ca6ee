//! FINGERPRINT (RFC 8489 §14.7): the attribute, checked and made.

use super::{
    crc::Crc,
    wire::{HEADER, attribute, type_and_length},
};
use crate::outcome::Outcome;

/// Length of the attribute, its header included.
pub const FINGERPRINT_LENGTH: usize = 8;
/// What the CRC-32 is combined with, so that it differs from that of other protocols in the same packet.
const XOR: u32 = 0x5354_554e;

/// Checks the `value` of a FINGERPRINT against the message's `header` and the attributes `before` it. Returns
/// the CRC over `header`.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub(super) fn verify(header: &[u8; HEADER], before: &[u8], value: u32) -> Result<Crc, Outcome> {
    let crc = Crc::new().update(header);
    if crc.update(before).finish() ^ XOR == value { Ok(crc) } else { Err(Outcome::BadFingerprint) }
}

/// The attribute for a message whose bytes before it have this CRC.
#[inline(always)]
pub(super) fn fingerprint(crc: Crc) -> [u8; FINGERPRINT_LENGTH] {
    let [t0, t1, l0, l1] = type_and_length(attribute::FINGERPRINT, FINGERPRINT_LENGTH - 4);
    let [v0, v1, v2, v3] = (crc.finish() ^ XOR).to_be_bytes();
    [t0, t1, l0, l1, v0, v1, v2, v3]
}
