//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256: checked and written.

use super::wire::{
    HEADER,
    attribute::{MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256},
};
use hmac::{Hmac, Mac, digest::KeyInit};
use sha1::Sha1;
use sha2::Sha256;

/// Either attribute that proves who sent a message and that it came unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY, an HMAC-SHA1 (RFC 8489 §14.5).
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256, an HMAC-SHA256 (RFC 8489 §14.6). Always of 32 bytes: it may be shorter
    /// only where a usage of STUN says so, and none of Binding's does.
    Sha256,
}

impl Integrity {
    /// The attribute's type.
    pub const fn kind(self) -> u16 {
        match self {
            Integrity::Sha1 => MESSAGE_INTEGRITY,
            Integrity::Sha256 => MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// Bytes of the attribute's value.
    pub const fn value_length(self) -> usize {
        match self {
            Integrity::Sha1 => 20,
            Integrity::Sha256 => 32,
        }
    }

    /// Bytes of the attribute with its header.
    pub const fn length(self) -> usize {
        4 + self.value_length()
    }

    /// Whether the attribute that begins at byte `start` of `message` is right under `key`. Takes as long
    /// whatever its value is.
    pub fn is_right(self, key: &[u8], message: &[u8], start: usize) -> bool {
        let (Some(covered), Some(&[t0, t1, l0, l1])) =
            (message.get(..start), message.get(start..start + 4).and_then(<[u8]>::first_chunk))
        else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let Some(value) = message.get(start + 4..start + 4 + length) else { return false };
        if u16::from_be_bytes([t0, t1]) != self.kind() || length != self.value_length() {
            return false;
        }
        match self {
            Integrity::Sha1 => {
                mac::<Hmac<Sha1>>(key, covered, self).is_some_and(|mac| mac.verify_slice(value).is_ok())
            }
            Integrity::Sha256 => {
                mac::<Hmac<Sha256>>(key, covered, self).is_some_and(|mac| mac.verify_slice(value).is_ok())
            }
        }
    }

    /// Appends the attribute, made with `key`, to the message in `buffer[..end]`, and writes the length
    /// that it then has into its header. Gives the new end, or `None` where the buffer has no room.
    pub fn append(self, key: &[u8], buffer: &mut [u8], end: usize) -> Option<usize> {
        let field = message_length(end, self)?;
        let new_end = end.checked_add(self.length())?;
        let (covered, room) = buffer.get_mut(..new_end)?.split_at_mut_checked(end)?;
        let (head, value) = room.split_first_chunk_mut::<4>()?;
        let [t0, t1] = self.kind().to_be_bytes();
        *head = [t0, t1, 0, self.value_length() as u8];
        match self {
            Integrity::Sha1 => {
                value.copy_from_slice(&mac::<Hmac<Sha1>>(key, covered, self)?.finalize().into_bytes());
            }
            Integrity::Sha256 => {
                value.copy_from_slice(&mac::<Hmac<Sha256>>(key, covered, self)?.finalize().into_bytes());
            }
        }
        covered.get_mut(2..4)?.copy_from_slice(&field);
        Some(new_end)
    }
}

/// The HMAC over what comes before the attribute, with a header that counts the attribute and nothing
/// behind it (RFC 8489 §14.5, §14.6).
fn mac<M: Mac + KeyInit>(key: &[u8], covered: &[u8], integrity: Integrity) -> Option<M> {
    let (&[t0, t1, _, _], rest) = covered.split_first_chunk::<4>()?;
    let [l0, l1] = message_length(covered.len(), integrity)?;
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    mac.update(&[t0, t1, l0, l1]);
    mac.update(rest);
    Some(mac)
}

/// The length field of a message that ends with the attribute, which begins at `start`.
fn message_length(start: usize, integrity: Integrity) -> Option<[u8; 2]> {
    let length = start.checked_sub(HEADER)? + integrity.length();
    Some(u16::try_from(length).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests;
