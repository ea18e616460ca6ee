//! The requests of the plain service, as the XDP program recognises them: by their length and a few constant
//! bytes, without a walk over attributes.

use super::{
    fingerprint::TransactionCrc,
    permission::Permission,
    plain::{
        SOFTWARE_ATTRIBUTES, check_lone_fingerprint, check_software_and_fingerprint, check_type, has_cookie,
    },
    wire::{Dialect, HEADER},
};
use crate::outcome::Outcome;

/// A request that the plain service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest {
    /// Which RFC the client speaks.
    pub(crate) dialect: Dialect,
    /// Where the request has a FINGERPRINT: what that of the reply is made from.
    pub(crate) fingerprint: Option<TransactionCrc>,
}

impl PlainRequest {
    /// Checks `message`, whose length is a constant at each call. `None` if it is not plain, or gets no reply,
    /// or is not included in `permission`.
    #[inline(always)]
    pub(crate) fn parse(message: &[u8], permission: Permission) -> Option<Self> {
        let (header, attributes) = message.split_first_chunk::<HEADER>()?;
        check_type(header, attributes.len()).ok()?;
        if !permission.includes_zero_transaction() && is_zero(header) {
            return None;
        }
        if !has_cookie(header) {
            let plain = attributes.is_empty() && permission.includes_classic();
            return plain.then_some(PlainRequest { dialect: Dialect::Classic, fingerprint: None });
        }
        let fingerprint = match *attributes {
            [] => None,
            [0x80, 0x28, 0, 4, v0, v1, v2, v3] => {
                Some(check_lone_fingerprint(header, u32::from_be_bytes([v0, v1, v2, v3])).ok()?)
            }
            _ => {
                let attributes = attributes.first_chunk::<SOFTWARE_ATTRIBUTES>()?;
                Some(check_software_and_fingerprint(header, attributes)?.ok()?)
            }
        };
        Some(PlainRequest { dialect: Dialect::Cookie, fingerprint })
    }

    /// Outcome of the request once it is answered.
    #[inline(always)]
    pub(crate) const fn outcome(&self) -> Outcome {
        match self.dialect {
            Dialect::Cookie => Outcome::Answered,
            Dialect::Classic => Outcome::AnsweredClassic,
        }
    }
}

/// Whether the transaction ID, with the cookie or what stands in its place left out, is all zero.
#[inline(always)]
fn is_zero(header: &[u8; HEADER]) -> bool {
    header[8..] == [0; 12]
}
