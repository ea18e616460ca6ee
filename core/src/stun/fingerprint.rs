//! FINGERPRINT (RFC 8489 §14.7): the attribute, checked and made.

use super::{
    crc::{BLOCK, Crc, CrcPart, fours},
    wire::{
        ADDRESS_IPV4, ADDRESS_IPV6, BINDING_REQUEST, BINDING_SUCCESS, FAMILY_IPV4, FAMILY_IPV6, HEADER,
        MAGIC_COOKIE, attribute, family_and_port, type_and_length,
    },
};
use crate::outcome::Outcome;

/// Length of the attribute, its header included.
pub const FINGERPRINT_LENGTH: usize = 8;
/// Length of a SOFTWARE that is one block, its header included.
pub(super) const SOFTWARE_LENGTH: usize = BLOCK;
/// What the CRC-32 is combined with, so that it differs from that of other protocols in the same packet.
const XOR: u32 = 0x5354_554e;

/// A transaction ID's part of the CRC over a message, as it is one block behind the header. What a checked
/// request and its plain reply have in common: they begin with the same ID, and the rest is constant or known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionCrc(CrcPart);

impl TransactionCrc {
    /// The FINGERPRINT of a success response whose one other attribute is XOR-MAPPED-ADDRESS, with this port
    /// and address as the attribute has them.
    #[inline(always)]
    pub(super) fn reply_ipv4(self, port: u16, address: u32) -> [u8; FINGERPRINT_LENGTH] {
        const START: Crc = header(BINDING_SUCCESS, ADDRESS_IPV4 + FINGERPRINT_LENGTH)
            .constant(&type_and_length(attribute::XOR_MAPPED_ADDRESS, ADDRESS_IPV4 - 4))
            .constant(&family_and_port(FAMILY_IPV4, 0))
            .constant(&[0; 4]);
        let address = CrcPart::block([[0; 4], family_and_port(0, port), address.to_be_bytes()]);
        fingerprint(START.plus(self.0).plus(address))
    }

    /// The same for an IPv6 client.
    #[inline(always)]
    pub(super) fn reply_ipv6(self, port: u16, address: [u32; 4]) -> [u8; FINGERPRINT_LENGTH] {
        const START: Crc = header(BINDING_SUCCESS, ADDRESS_IPV6 + FINGERPRINT_LENGTH)
            .constant(&type_and_length(attribute::XOR_MAPPED_ADDRESS, ADDRESS_IPV6 - 4))
            .constant(&family_and_port(FAMILY_IPV6, 0))
            .constant(&[0; 4]);
        let [a0, a1, a2, a3] = address.map(u32::to_be_bytes);
        let first = CrcPart::block([[0; 4], family_and_port(0, port), a0]);
        fingerprint(START.plus(self.0).plus(first).block([a1, a2, a3]))
    }
}

/// Checks the `value` of a FINGERPRINT that directly follows the `header` of a request with cookie.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub(super) fn verify_lone(header: &[u8; HEADER], value: u32) -> Result<TransactionCrc, Outcome> {
    const START: Crc = self::header(BINDING_REQUEST, FINGERPRINT_LENGTH);
    let id = transaction(header);
    compare(START.plus(id), value)?;
    Ok(TransactionCrc(id.behind_block()))
}

/// Checks the `value` of a FINGERPRINT that follows the `header` of a request with cookie and a SOFTWARE of
/// eight bytes.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub(super) fn verify_behind_software(
    header: &[u8; HEADER],
    [first, second]: [[u8; 4]; 2],
    value: u32,
) -> Result<TransactionCrc, Outcome> {
    const START: Crc = self::header(BINDING_REQUEST, SOFTWARE_LENGTH + FINGERPRINT_LENGTH)
        .constant(&type_and_length(attribute::SOFTWARE, SOFTWARE_LENGTH - 4))
        .constant(&[0; SOFTWARE_LENGTH - 4]);
    let id = transaction(header).behind_block();
    compare(START.plus(id).plus(CrcPart::block([[0; 4], first, second])), value)?;
    Ok(TransactionCrc(id))
}

/// Checks the `value` of a FINGERPRINT against the `header` of a request with cookie and the attributes
/// `before` it.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[cfg(feature = "alloc")]
#[inline(always)]
pub(super) fn verify(header: &[u8; HEADER], before: &[u8], value: u32) -> Result<TransactionCrc, Outcome> {
    const START: Crc = start(BINDING_REQUEST, 0);
    let &[_, _, l0, l1, ..] = header;
    let id = transaction(header);
    let length = CrcPart::block([[0; 4], [0, 0, l0, l1], [0; 4]]);
    // As the length stands eight bytes behind the start.
    let crc = START.plus(length).block([[0; 4]; 3]).plus(id);
    compare(crc.update(before), value)?;
    Ok(TransactionCrc(id.behind_block()))
}

/// The attribute for a message whose bytes before it have this CRC.
#[inline(always)]
pub(super) fn fingerprint(crc: Crc) -> [u8; FINGERPRINT_LENGTH] {
    let [t0, t1, l0, l1] = type_and_length(attribute::FINGERPRINT, FINGERPRINT_LENGTH - 4);
    let [v0, v1, v2, v3] = (crc.finish() ^ XOR).to_be_bytes();
    [t0, t1, l0, l1, v0, v1, v2, v3]
}

#[inline(always)]
fn compare(crc: Crc, value: u32) -> Result<(), Outcome> {
    if crc.finish() ^ XOR == value { Ok(()) } else { Err(Outcome::BadFingerprint) }
}

/// The CRC over a header with cookie and a transaction ID of zeros.
const fn header(kind: u16, length: usize) -> Crc {
    start(kind, length).constant(&[0; BLOCK])
}

/// The CRC over message type, length and cookie.
const fn start(kind: u16, length: usize) -> Crc {
    Crc::new().constant(&type_and_length(kind, length)).constant(&MAGIC_COOKIE.to_be_bytes())
}

/// The transaction ID's part of the CRC over a header.
#[inline(always)]
fn transaction(header: &[u8; HEADER]) -> CrcPart {
    let &[_, _, _, _, _, _, _, _, ref id @ ..] = header;
    CrcPart::block(fours(id))
}
