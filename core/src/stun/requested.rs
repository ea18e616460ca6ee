//! What a request asks for beyond its own address.

use super::{
    discovery::Change,
    walk::{CHANGE_FLAGS, Unknown, walk},
    wire::{
        Dialect,
        attribute::{CHANGE_REQUEST, PADDING, RESPONSE_PORT},
    },
};
use crate::outcome::Outcome;

/// "Change IP" (RFC 5780 §7.2); the other flag is "change port".
const CHANGE_ADDRESS: u32 = 0x4;

/// The attributes that [`walk`] reports, each where it occurs first.
#[derive(Default)]
pub(super) struct Requested {
    /// CHANGE-REQUEST.
    pub(super) change: Change,
    /// RESPONSE-PORT.
    pub(super) port: Option<u16>,
    /// PADDING.
    pub(super) padding: bool,
    /// What is neither known nor one of these.
    pub(super) unknown: Unknown,
}

impl Requested {
    /// Those of a request with these `attributes`, which were walked over before. Where RFC 5780 is not
    /// `served` to it, its attributes count as unknown.
    ///
    /// # Errors
    /// A RESPONSE-PORT of a length that it never has.
    pub(super) fn of(attributes: &[u8], dialect: Dialect, served: bool) -> Result<Self, Outcome> {
        let mut requested = Requested::default();
        let mut result = Ok(());
        // A fault would have silenced the reply before this.
        let _ = walk(attributes, dialect, |kind, value| match (kind, dialect) {
            (CHANGE_REQUEST, _) if served => requested.change = change(value),
            // RFC 3489 knows neither of these.
            (PADDING, Dialect::Cookie) if served => requested.padding = true,
            (RESPONSE_PORT, Dialect::Cookie) if served => match *value {
                // RFC 5780 §7.5 leaves open whether its two bytes of padding count; clients differ.
                [p0, p1] | [p0, p1, _, _] => {
                    requested.port.get_or_insert(u16::from_be_bytes([p0, p1]));
                }
                _ => result = Err(Outcome::BadAttribute),
            },
            _ => requested.unknown.add(kind),
        });
        result.map(|()| requested)
    }

    /// Whether it asks for any of what RFC 5780 gives.
    pub(super) fn discovery(&self) -> bool {
        self.change.any() || self.port.is_some() || self.padding
    }
}

/// The flags of a CHANGE-REQUEST, which the walk found to have four bytes.
fn change(value: &[u8]) -> Change {
    let flags = value.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)) & CHANGE_FLAGS;
    Change { address: flags & CHANGE_ADDRESS != 0, port: flags & !CHANGE_ADDRESS != 0 }
}
