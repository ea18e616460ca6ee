//! A request, checked and reduced to what the reply depends on.

use super::{
    fingerprint::{FINGERPRINT_LENGTH, TransactionCrc, verify},
    plain,
    walk::walk,
    wire::{Dialect, HEADER},
};
use crate::outcome::Outcome;

/// A Binding request that gets a reply.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Length of the message with its header.
    pub(super) length: usize,
    /// Longest that a bounded reply may be: the message's length, less what is appended to the reply later.
    pub(super) room: usize,
    pub(super) dialect: Dialect,
    /// Whether it has attributes that ask for more than the plain service (see [`walk`]).
    pub(super) is_extended: bool,
    /// Where the request has a FINGERPRINT: what the reply's is made from.
    pub(super) fingerprint: Option<TransactionCrc>,
}

impl Request {
    /// Checks the message as RFC 8489 §6.3 says. Requests without magic cookie pass only if `classic` is set.
    ///
    /// # Errors
    /// The reason for silence.
    #[inline(always)]
    pub(super) fn parse(message: &[u8], classic: bool) -> Result<Request, Outcome> {
        let Some((header, attributes)) = message.split_first_chunk::<HEADER>() else {
            return Err(Outcome::NotStun);
        };
        plain::check_type(header, attributes.len())?;
        let dialect = if plain::has_cookie(header) {
            Dialect::Cookie
        } else if classic {
            Dialect::Classic
        } else {
            return Err(Outcome::NoCookie);
        };
        let (is_extended, fingerprint) = match *attributes {
            [] => (false, None),
            // Most clients that send attributes send a FINGERPRINT alone: no walk is needed.
            [0x80, 0x28, 0, 4, v0, v1, v2, v3] if dialect == Dialect::Cookie => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                (false, Some(plain::check_lone_fingerprint(header, value)?))
            }
            _ => check_attributes(header, attributes, dialect)?,
        };
        Ok(Request { length: message.len(), room: message.len(), dialect, is_extended, fingerprint })
    }

    /// Bytes that the reply needs for the FINGERPRINT that this request asks for.
    pub(super) fn fingerprint_length(&self) -> usize {
        if self.fingerprint.is_some() { FINGERPRINT_LENGTH } else { 0 }
    }
}

/// Whether there are attributes that ask for more than the plain service, and what the FINGERPRINT of the
/// reply is made from where there is one.
///
/// Apart from [`Request::parse`], so that a bare request does not pay for the registers that this needs.
#[inline(never)]
fn check_attributes(
    header: &[u8; HEADER],
    attributes: &[u8],
    dialect: Dialect,
) -> Result<(bool, Option<TransactionCrc>), Outcome> {
    let mut is_extended = false;
    let fingerprint = match walk(attributes, dialect, |_, _| is_extended = true)? {
        Some(value) => {
            let before =
                attributes.split_last_chunk::<FINGERPRINT_LENGTH>().map_or(attributes, |(before, _)| before);
            Some(verify(header, before, value)?)
        }
        None => None,
    };
    Ok((is_extended, fingerprint))
}
