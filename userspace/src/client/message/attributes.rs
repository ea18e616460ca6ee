//! The attributes of a STUN message (RFC 8489 §14): type, length, value, padding to a multiple of 4 bytes.

use super::HEADER;
use std::net::SocketAddr;

/// Attribute types (RFC 8489 §18.3, RFC 8445 §16.1, RFC 5780 §7).
pub(in crate::client) mod kind {
    pub(in crate::client) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(in crate::client) const CHANGE_REQUEST: u16 = 0x0003;
    pub(in crate::client) const USERNAME: u16 = 0x0006;
    pub(in crate::client) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(in crate::client) const ERROR_CODE: u16 = 0x0009;
    pub(in crate::client) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(in crate::client) const REALM: u16 = 0x0014;
    pub(in crate::client) const NONCE: u16 = 0x0015;
    pub(in crate::client) const PASSWORD_ALGORITHM: u16 = 0x001d;
    pub(in crate::client) const USERHASH: u16 = 0x001e;
    pub(in crate::client) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(in crate::client) const PRIORITY: u16 = 0x0024;
    pub(in crate::client) const PASSWORD_ALGORITHMS: u16 = 0x8002;
    pub(in crate::client) const SOFTWARE: u16 = 0x8022;
    pub(in crate::client) const FINGERPRINT: u16 = 0x8028;
}

/// One attribute of a message.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct MessageAttribute<'a> {
    /// Offset of the attribute's header in the message.
    pub(in crate::client) start: usize,
    /// The attribute's type.
    pub(in crate::client) kind: u16,
    /// The value, without padding.
    pub(in crate::client) value: &'a [u8],
}

/// Iterates over the attributes of a message. Returns `None` in place of an attribute that overruns the
/// message, and ends there.
pub(in crate::client) struct MessageAttributes<'a> {
    rest: &'a [u8],
    start: usize,
}

impl<'a> MessageAttributes<'a> {
    pub(in crate::client) fn of(message: &'a [u8]) -> Self {
        MessageAttributes { rest: message.get(HEADER..).unwrap_or_default(), start: HEADER }
    }
}

impl<'a> Iterator for MessageAttributes<'a> {
    type Item = Option<MessageAttribute<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[t0, t1, l0, l1, ref rest @ ..] = self.rest else { return None };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let Some(value) = rest.get(..length) else {
            self.rest = &[];
            return Some(None);
        };
        let padded = length.next_multiple_of(4);
        let attribute = MessageAttribute { start: self.start, kind: u16::from_be_bytes([t0, t1]), value };
        self.rest = rest.get(padded..).unwrap_or_default();
        self.start += 4 + padded;
        Some(Some(attribute))
    }
}

/// Returns the first attribute of this type. Does not look behind an attribute that overruns the message.
pub(in crate::client) fn find(message: &[u8], kind: u16) -> Option<MessageAttribute<'_>> {
    MessageAttributes::of(message).map_while(|attribute| attribute).find(|attribute| attribute.kind == kind)
}

/// Appends an attribute and its padding. Does not change the length in the header.
pub(in crate::client) fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Decodes the value of an address attribute (RFC 8489 §14.1), whose port and address are XORed with
/// `mask`.
pub(super) fn address(value: &[u8], mask: &[u8; 18]) -> Option<SocketAddr> {
    let &[_, family, ref bytes @ ..] = value else { return None };
    let mut plain = [0; 18];
    plain.iter_mut().zip(bytes).zip(mask).for_each(|((plain, byte), mask)| *plain = byte ^ mask);
    let port = u16::from_be_bytes([plain[0], plain[1]]);
    match (family, bytes.len()) {
        (1, 6) => Some(SocketAddr::from(([plain[2], plain[3], plain[4], plain[5]], port))),
        (2, 18) => Some(SocketAddr::from((<[u8; 16]>::try_from(&plain[2..]).ok()?, port))),
        _ => None,
    }
}
