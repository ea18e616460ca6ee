//! FINGERPRINT (RFC 8489 §14.7): computed, appended, verified.

use super::attributes::{self, kind};
use super::{HEADER, set_length};

/// Bytes of the attribute with its header.
const LENGTH: usize = 8;

/// Whether FINGERPRINT is the last attribute of the message and has the right value. `None` if the
/// message has none.
pub(in crate::client) fn has_valid_fingerprint(message: &[u8]) -> Option<bool> {
    let value = attributes::find(message, kind::FINGERPRINT)?.value;
    let (covered, last) = message.split_at(message.len() - LENGTH);
    Some(
        value == &last[4..]
            && last[..4] == [0x80, 0x28, 0, 4]
            && value == fingerprint_of(covered).to_be_bytes(),
    )
}

/// Appends FINGERPRINT, and writes the final length into the header.
pub(in crate::client) fn push_fingerprint(message: &mut Vec<u8>) {
    let following = message.len() + LENGTH - HEADER;
    set_length(message, following);
    let value = fingerprint_of(message);
    attributes::push(message, kind::FINGERPRINT, &value.to_be_bytes());
}

/// Returns FINGERPRINT's value for the message up to it, whose length field already counts it.
pub(in crate::client) fn fingerprint_of(covered: &[u8]) -> u32 {
    crc32(covered) ^ 0x5354_554e
}

/// `CRC_TABLES[n][byte]`: what `byte` contributes to the CRC after `n` more bytes.
static CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut step = 0;
        while step < 64 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            step += 1;
            if step % 8 == 0 {
                tables[step / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
};

/// CRC-32 of ITU V.42. Takes eight bytes at a time, because it runs for each reply under load.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(!0u32, |crc, eight| {
        let mixed = u64::from_le_bytes(*eight) ^ u64::from(crc);
        let bytes = mixed.to_le_bytes();
        CRC_TABLES
            .iter()
            .zip(bytes.iter().rev())
            .fold(0, |crc, (table, byte)| crc ^ table[usize::from(*byte)])
    });
    !rest.iter().fold(crc, |crc, byte| crc >> 8 ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)])
}
