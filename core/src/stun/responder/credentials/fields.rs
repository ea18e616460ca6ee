//! The attributes of a request that identify and authenticate its sender.

use crate::stun::{
    integrity::Integrity,
    wire::{
        HEADER,
        attribute::{NONCE, PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS, REALM, USERHASH, USERNAME},
    },
};

const SHA1: u16 = Integrity::Sha1.kind();
const SHA256: u16 = Integrity::Sha256.kind();

/// Values of the attributes that authentication uses. If a type occurs more than once, the first counts (RFC
/// 8489 §14).
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) username: Option<&'a [u8]>,
    pub(super) userhash: Option<&'a [u8]>,
    pub(super) realm: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) password_algorithms: Option<&'a [u8]>,
    pub(super) password_algorithm: Option<&'a [u8]>,
    /// Offset of MESSAGE-INTEGRITY in the message.
    sha1: Option<usize>,
    /// Offset of MESSAGE-INTEGRITY-SHA256 in the message.
    sha256: Option<usize>,
}

impl<'a> Fields<'a> {
    /// Reads the fields of a message of valid syntax. After MESSAGE-INTEGRITY, only MESSAGE-INTEGRITY-SHA256
    /// counts, and after that nothing: the integrity attribute does not cover what follows it (RFC 8489 §9).
    pub(super) fn of(message: &'a [u8]) -> Self {
        let mut fields = Fields::default();
        let mut start = HEADER;
        while let Some((&[t0, t1, l0, l1], rest)) =
            message.get(start..).and_then(<[u8]>::split_first_chunk::<4>)
        {
            let kind = u16::from_be_bytes([t0, t1]);
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let Some(value) = rest.get(..length) else { break };
            match kind {
                SHA256 => {
                    fields.sha256 = Some(start);
                    break;
                }
                _ if fields.sha1.is_some() => {}
                SHA1 => fields.sha1 = Some(start),
                _ => {
                    if let Some(field) = fields.field(kind) {
                        field.get_or_insert(value);
                    }
                }
            }
            start += 4 + length.next_multiple_of(4);
        }
        fields
    }

    /// The integrity attribute to check, and its offset in the message. Of two it is
    /// MESSAGE-INTEGRITY-SHA256, the stronger one (RFC 8489 §9.1.3, §9.2.4).
    pub(super) fn integrity(&self) -> Option<(Integrity, usize)> {
        let sha256 = self.sha256.map(|start| (Integrity::Sha256, start));
        sha256.or(self.sha1.map(|start| (Integrity::Sha1, start)))
    }

    /// The field for attributes of type `kind`.
    fn field(&mut self, kind: u16) -> Option<&mut Option<&'a [u8]>> {
        match kind {
            USERNAME => Some(&mut self.username),
            USERHASH => Some(&mut self.userhash),
            REALM => Some(&mut self.realm),
            NONCE => Some(&mut self.nonce),
            PASSWORD_ALGORITHMS => Some(&mut self.password_algorithms),
            PASSWORD_ALGORITHM => Some(&mut self.password_algorithm),
            _ => None,
        }
    }
}
