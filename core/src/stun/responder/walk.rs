//! The attributes of a request: syntax, and which of them matter.

use super::wire::{
    Dialect,
    attribute::{
        CHANGE_REQUEST, CHANGED_ADDRESS, ERROR_CODE, FINGERPRINT, MAPPED_ADDRESS, MESSAGE_INTEGRITY,
        MESSAGE_INTEGRITY_SHA256, NONCE, PASSWORD_ALGORITHM, REALM, SOURCE_ADDRESS, UNKNOWN_ATTRIBUTES,
        USERHASH, USERNAME, XOR_MAPPED_ADDRESS,
    },
};
use crate::outcome::Outcome;

/// Most types that one UNKNOWN-ATTRIBUTES lists.
pub(super) const MAX_UNKNOWN: usize = 12;

/// Types from here on are comprehension-optional (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;
/// "Change IP" and "change port" (RFC 5780 §7.2).
pub(super) const CHANGE_FLAGS: u32 = 0x6;

/// Comprehension-required types that count as known (RFC 8489 §6.3.1): all that IANA's registry assigns or
/// lists with a former meaning. Those without a meaning in a Binding request are ignored there.
///
/// PADDING and RESPONSE-PORT are not among them: a client that sends them asks for what RFC 5780 promises,
/// and must learn that it is not available.
const KNOWN: [u16; 33] = [
    MAPPED_ADDRESS,
    0x0002, // RESPONSE-ADDRESS of RFC 3489. Honoured, it would send replies to a third party.
    CHANGE_REQUEST,
    SOURCE_ADDRESS,
    CHANGED_ADDRESS,
    USERNAME,
    0x0007, // PASSWORD of RFC 3489
    MESSAGE_INTEGRITY,
    ERROR_CODE,
    UNKNOWN_ATTRIBUTES,
    0x000b, // REFLECTED-FROM of RFC 3489
    0x000c, // CHANNEL-NUMBER
    0x000d, // LIFETIME
    0x0010, // BANDWIDTH of TURN's drafts
    0x0012, // XOR-PEER-ADDRESS
    0x0013, // DATA
    REALM,
    NONCE,
    0x0016, // XOR-RELAYED-ADDRESS
    0x0017, // REQUESTED-ADDRESS-FAMILY
    0x0018, // EVEN-PORT
    0x0019, // REQUESTED-TRANSPORT
    0x001a, // DONT-FRAGMENT
    0x001b, // ACCESS-TOKEN
    MESSAGE_INTEGRITY_SHA256,
    PASSWORD_ALGORITHM,
    USERHASH,
    XOR_MAPPED_ADDRESS,
    0x0021, // TIMER-VAL of TURN's drafts
    0x0022, // RESERVATION-TOKEN
    0x0024, // PRIORITY
    0x0025, // USE-CANDIDATE
    0x002a, // CONNECTION-ID
];

/// [`KNOWN`] as bits: all types are below 64.
const KNOWN_BITS: u64 = {
    let mut bits = 0;
    let mut index = 0;
    while index < KNOWN.len() {
        bits |= 1u64 << KNOWN[index];
        index += 1;
    }
    bits
};

/// Unknown comprehension-required types without duplicates, in the order of the request; the first
/// [`MAX_UNKNOWN`].
#[derive(Default)]
pub(super) struct Unknown {
    types: [u16; MAX_UNKNOWN],
    count: usize,
}

impl Unknown {
    pub(super) fn types(&self) -> &[u16] {
        self.types.get(..self.count).unwrap_or(&self.types)
    }

    pub(super) fn add(&mut self, unknown: u16) {
        if !self.types().contains(&unknown)
            && let Some(slot) = self.types.get_mut(self.count)
        {
            *slot = unknown;
            self.count += 1;
        }
    }
}

/// Walks over every attribute of the message, so that a fault anywhere silences the reply. Calls `extended`
/// with type and value of each comprehension-required attribute that asks for more than the plain service: a
/// CHANGE-REQUEST with a flag, and every unknown type. Returns the value of the FINGERPRINT, if there is one.
///
/// Of repeated CHANGE-REQUESTs the first counts (RFC 8489 §14). After MESSAGE-INTEGRITY or
/// MESSAGE-INTEGRITY-SHA256 only a FINGERPRINT still has meaning (RFC 8489 §9, §14.5, §14.6). A classic
/// request has no FINGERPRINT: to RFC 3489 its type is an optional one like others.
///
/// # Errors
/// The first fault in the order of the message.
#[inline(always)]
pub(super) fn walk(
    attributes: &[u8],
    dialect: Dialect,
    mut extended: impl FnMut(u16, &[u8]),
) -> Result<Option<u32>, Outcome> {
    let mut print = None;
    let mut rest = attributes;
    let mut after_integrity = false;
    let mut changes = false;
    while let Some((&[t0, t1, l0, l1], behind)) = rest.split_first_chunk::<4>() {
        let kind = u16::from_be_bytes([t0, t1]);
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        // Every attribute is padded to a multiple of four; the content of the padding is ignored.
        let Some((value, behind)) = behind.split_at_checked(length.next_multiple_of(4)) else {
            return Err(Outcome::BadAttribute);
        };
        rest = behind;
        if kind == FINGERPRINT && dialect == Dialect::Cookie {
            print = Some(fingerprint(value, length, rest)?);
        } else if kind >= OPTIONAL || after_integrity {
            continue;
        } else if kind == CHANGE_REQUEST {
            if !changes && asks_for_change(value, length)? {
                extended(kind, value);
            }
            changes = true;
        } else if kind == MESSAGE_INTEGRITY || kind == MESSAGE_INTEGRITY_SHA256 {
            after_integrity = true;
        } else if !is_known(kind) {
            extended(kind, value.get(..length).unwrap_or(value));
        }
    }
    Ok(print)
}

/// Value of a FINGERPRINT, which must be the last attribute (RFC 8489 §14.7).
#[inline(always)]
fn fingerprint(value: &[u8], length: usize, rest: &[u8]) -> Result<u32, Outcome> {
    match value {
        &[v0, v1, v2, v3] if length == 4 && rest.is_empty() => Ok(u32::from_be_bytes([v0, v1, v2, v3])),
        _ => Err(Outcome::BadFingerprint),
    }
}

/// Whether a CHANGE-REQUEST has a flag set. Old clients send it without flags in a plain test; it then asks
/// for nothing.
#[inline(always)]
fn asks_for_change(value: &[u8], length: usize) -> Result<bool, Outcome> {
    match value {
        &[v0, v1, v2, v3] if length == 4 => Ok(u32::from_be_bytes([v0, v1, v2, v3]) & CHANGE_FLAGS != 0),
        _ => Err(Outcome::BadAttribute),
    }
}

#[inline(always)]
fn is_known(kind: u16) -> bool {
    kind < 64 && KNOWN_BITS >> kind & 1 == 1
}
