//! A request as the reply needs it: checked, and summed up in a few words.

use super::{
    Policy,
    attributes::{self, FINGERPRINT_LENGTH},
    crc::Crc,
};
use crate::outcome::Outcome;

/// Length of the header of every message (RFC 8489 §5).
pub(super) const HEADER: usize = 20;
/// Marks a message as later than RFC 3489 (RFC 8489 §5).
pub(super) const MAGIC_COOKIE: u32 = 0x2112_a442;
/// What the CRC-32 in a FINGERPRINT is combined with (RFC 8489 §14.7).
pub(super) const FINGERPRINT_XOR: u32 = 0x5354_554e;

const BINDING_REQUEST: u16 = 0x0001;
/// The bits of the message type that are the class, and their value in an indication (RFC 8489 §5).
const CLASS: u16 = 0x0110;
const CLASS_INDICATION: u16 = 0x0010;

/// Which RFC the client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// RFC 5389 and 8489, with magic cookie.
    Cookie,
    /// RFC 3489: 128 bits of transaction ID, no XOR-MAPPED-ADDRESS, no FINGERPRINT.
    Classic,
}

/// A Binding request that gets a reply.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Length of the message with its header.
    pub(super) length: usize,
    /// Length that a bounded reply may have: the message's, less what is appended to the reply later.
    pub(super) room: usize,
    pub(super) dialect: Dialect,
    /// Whether it has attributes that ask for more than the plain service (see [`attributes::walk`]).
    pub(super) is_unusual: bool,
    /// Where the request has a FINGERPRINT: the CRC over its header.
    pub(super) fingerprint: Option<Crc>,
}

impl Request {
    /// Checks the message as RFC 8489 §6.3 says.
    ///
    /// # Errors
    /// The reason for silence.
    #[inline(always)]
    pub(super) fn parse(message: &[u8], policy: &Policy) -> Result<Request, Outcome> {
        let Some((header, body)) = message.split_first_chunk::<HEADER>() else {
            return Err(Outcome::NotStun);
        };
        let &[t0, t1, l0, l1, c0, c1, c2, c3, ..] = header;
        let message_type = u16::from_be_bytes([t0, t1]);
        let right_length = body.len() % 4 == 0 && usize::from(u16::from_be_bytes([l0, l1])) == body.len();
        if message_type != BINDING_REQUEST || !right_length {
            return Err(not_a_request(message_type, right_length));
        }
        let dialect = if u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE {
            Dialect::Cookie
        } else if policy.classic {
            Dialect::Classic
        } else {
            return Err(Outcome::NoCookie);
        };
        let (is_unusual, fingerprint) = match *body {
            [] => (false, None),
            // A FINGERPRINT alone, as most who send one do, needs no walk.
            [0x80, 0x28, 0, 4, v0, v1, v2, v3] if dialect == Dialect::Cookie => {
                (false, Some(verify(header, &[], u32::from_be_bytes([v0, v1, v2, v3]))?))
            }
            _ => check_attributes(header, body, dialect)?,
        };
        Ok(Request { length: message.len(), room: message.len(), dialect, is_unusual, fingerprint })
    }

    /// Bytes that a reply needs for the FINGERPRINT that is owed to this request.
    pub(super) fn fingerprint_length(&self) -> usize {
        if self.fingerprint.is_some() { FINGERPRINT_LENGTH } else { 0 }
    }
}

/// Whether there are attributes that ask for more than the plain service, and the CRC over the header where there is a FINGERPRINT.
///
/// Apart from [`Request::parse`], so that a bare request does not pay for the registers that this needs.
#[inline(never)]
fn check_attributes(
    header: &[u8; HEADER],
    body: &[u8],
    dialect: Dialect,
) -> Result<(bool, Option<Crc>), Outcome> {
    let mut is_unusual = false;
    let fingerprint = match attributes::walk(body, dialect, |_, _| is_unusual = true)? {
        Some(value) => {
            let before = body.split_last_chunk::<FINGERPRINT_LENGTH>().map_or(body, |(before, _)| before);
            Some(verify(header, before, value)?)
        }
        None => None,
    };
    Ok((is_unusual, fingerprint))
}

/// Why a message of this type, whose length may be right, gets nothing.
#[cold]
fn not_a_request(message_type: u16, right_length: bool) -> Outcome {
    if message_type & 0xc000 != 0 {
        return Outcome::NotStun;
    }
    if !right_length {
        return Outcome::BadLength;
    }
    if message_type & !CLASS != BINDING_REQUEST {
        return Outcome::OtherMethod;
    }
    // No request is left by here.
    if message_type & CLASS == CLASS_INDICATION { Outcome::Indication } else { Outcome::Response }
}

/// Checks the `value` of a FINGERPRINT over `header` and the attributes before it, and gives the CRC over
/// `header` (RFC 8489 §14.7).
#[inline(always)]
fn verify(header: &[u8; HEADER], before: &[u8], value: u32) -> Result<Crc, Outcome> {
    let crc = Crc::new().update(header);
    if crc.update(before).finish() ^ FINGERPRINT_XOR == value {
        Ok(crc)
    } else {
        Err(Outcome::BadFingerprint)
    }
}
