//! What a request asks for beyond its own address (RFC 5780), and its unknown attributes.

use super::{
    discovery::Change,
    walk::{CHANGE_FLAGS, Unknown, walk},
    wire::{
        Dialect,
        attribute::{CHANGE_REQUEST, PADDING, RESPONSE_PORT},
    },
};
use crate::outcome::Outcome;

/// The flag "change IP" of CHANGE-REQUEST (RFC 5780 §7.2). The other flag is "change port".
const CHANGE_ADDRESS: u32 = 0x4;

/// The attributes that [`walk`] reports. If a type occurs more than once, the first counts.
#[derive(Default)]
pub(super) struct Requested {
    /// CHANGE-REQUEST.
    pub(super) change: Change,
    /// Value of RESPONSE-PORT.
    pub(super) port: Option<u16>,
    /// Whether there is a PADDING.
    pub(super) padding: bool,
    /// The types of all other attributes that [`walk`] reports.
    pub(super) unknown: Unknown,
}

impl Requested {
    /// Reads the `attributes` of a request, whose syntax was checked before. If RFC 5780 is not `served` to
    /// this request, PADDING, RESPONSE-PORT and a CHANGE-REQUEST with a flag count as unknown.
    ///
    /// # Errors
    /// [`Outcome::BadAttribute`] if RESPONSE-PORT has an invalid length.
    pub(super) fn of(attributes: &[u8], dialect: Dialect, served: bool) -> Result<Self, Outcome> {
        let mut requested = Requested::default();
        let mut result = Ok(());
        // The syntax is valid: an error would have ended in silence before.
        let _ = walk(attributes, dialect, |kind, value| match (kind, dialect) {
            (CHANGE_REQUEST, _) if served => requested.change = change(value),
            // RFC 3489 has neither of these two.
            (PADDING, Dialect::Cookie) if served => requested.padding = true,
            (RESPONSE_PORT, Dialect::Cookie) if served => match *value {
                // RFC 5780 §7.5 does not say whether the two bytes of padding count for the length, and
                // clients differ.
                [p0, p1] | [p0, p1, _, _] => {
                    requested.port.get_or_insert(u16::from_be_bytes([p0, p1]));
                }
                _ => result = Err(Outcome::BadAttribute),
            },
            _ => requested.unknown.add(kind),
        });
        result.map(|()| requested)
    }

    /// Whether the request uses NAT behaviour discovery (RFC 5780).
    pub(super) fn uses_discovery(&self) -> bool {
        self.change.any() || self.port.is_some() || self.padding
    }
}

/// Reads the flags of a CHANGE-REQUEST, which [`walk`] has checked to have four bytes.
fn change(value: &[u8]) -> Change {
    let flags = value.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)) & CHANGE_FLAGS;
    Change { address: flags & CHANGE_ADDRESS != 0, port: flags & !CHANGE_ADDRESS != 0 }
}
