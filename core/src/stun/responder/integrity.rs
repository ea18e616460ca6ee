//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256: verifies them in requests and appends them to replies.

use super::wire::{
    HEADER,
    attribute::{MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256},
};
use hmac::{Hmac, Mac, digest::KeyInit};
use sha1::Sha1;
use sha2::Sha256;

/// The two attributes that authenticate the sender of a message and protect its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY, an HMAC-SHA1 (RFC 8489 §14.5).
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256, an HMAC-SHA256 (RFC 8489 §14.6). Its value always has 32 bytes: only a STUN
    /// usage could allow a truncated value, and none that uses Binding does.
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

    /// Length of the attribute's value in bytes.
    pub const fn value_length(self) -> usize {
        match self {
            Integrity::Sha1 => 20,
            Integrity::Sha256 => 32,
        }
    }

    /// Length of the attribute with its header in bytes.
    pub const fn length(self) -> usize {
        4 + self.value_length()
    }

    /// Whether `message` has this attribute at offset `start`, and its value is the HMAC under `key`.
    /// Compares the value in constant time.
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

    /// Appends the attribute, computed with `key`, to the message in `buffer[..end]` and updates the length
    /// in the message's header. Returns the new end, or `None` if the buffer is too short.
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

/// Computes the HMAC over the message up to the attribute. The length in the header is taken as if the
/// attribute were the last one (RFC 8489 §14.5, §14.6).
fn mac<M: Mac + KeyInit>(key: &[u8], covered: &[u8], integrity: Integrity) -> Option<M> {
    let (&[t0, t1, _, _], rest) = covered.split_first_chunk::<4>()?;
    let [l0, l1] = message_length(covered.len(), integrity)?;
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    mac.update(&[t0, t1, l0, l1]);
    mac.update(rest);
    Some(mac)
}

/// Returns the length field of a message whose last attribute is this one, at offset `start`.
fn message_length(start: usize, integrity: Integrity) -> Option<[u8; 2]> {
    let length = start.checked_sub(HEADER)? + integrity.length();
    Some(u16::try_from(length).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests;
