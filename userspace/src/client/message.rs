//! Binding requests written, and replies read. Replies with the magic cookie are decoded by
//! `stun_codec`, which shares no code with the server: a mistake of the server cannot hide itself.

pub(super) mod attributes;
mod codec;
mod fingerprint;

pub(super) use fingerprint::{fingerprint_of, has_valid_fingerprint, push_fingerprint};

use crate::error::{Failure, Result};
use attributes::{MessageAttributes, kind};
use std::net::SocketAddr;

/// Bytes of a STUN header (RFC 8489 §5).
pub(super) const HEADER: usize = 20;
/// The magic cookie (RFC 8489 §5).
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const SUCCESS_RESPONSE: u16 = 0x0101;
pub(super) const ERROR_RESPONSE: u16 = 0x0111;

/// The bytes that a reply must copy from its request: magic cookie and transaction ID, or the 16-byte
/// transaction ID of RFC 3489 (a classic request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransactionId([u8; 16]);

impl TransactionId {
    /// Returns a random one from the kernel. A classic one does not begin with the magic cookie.
    ///
    /// # Errors
    /// System: the kernel returns no random numbers.
    pub(super) fn random(classic: bool) -> Result<Self> {
        let mut id = [0; 16];
        fill_random(&mut id)?;
        if !classic {
            id[..4].copy_from_slice(&COOKIE);
        } else if id[..4] == COOKIE {
            id[0] ^= 1;
        }
        Ok(TransactionId(id))
    }

    /// Returns the magic cookie with this transaction ID.
    #[cfg(test)]
    pub(super) fn new(transaction: [u8; 12]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&COOKIE);
        id[4..].copy_from_slice(&transaction);
        TransactionId(id)
    }

    fn is_classic(&self) -> bool {
        self.0[..4] != COOKIE
    }
}

/// Fills `bytes` with random numbers from the kernel.
///
/// # Errors
/// System: the kernel returns none.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::system("cannot get random numbers").because(errno)),
        }
    }
    Ok(())
}

/// Returns a Binding request without attributes, or with FINGERPRINT alone.
pub(super) fn binding_request(id: &TransactionId, fingerprint: bool) -> Vec<u8> {
    let mut request = Vec::with_capacity(HEADER + 8);
    request.extend(BINDING_REQUEST.to_be_bytes());
    request.extend([0; 2]);
    request.extend(id.0);
    if fingerprint {
        push_fingerprint(&mut request);
    }
    request
}

/// Writes into the header how many bytes follow it.
pub(super) fn set_length(message: &mut [u8], following: usize) {
    message[2..4].copy_from_slice(&(following as u16).to_be_bytes());
}

/// The flags of CHANGE-REQUEST (RFC 5780 §7.2): reply from the server's other address, other port, or
/// both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChangeFlags {
    pub(super) address: bool,
    pub(super) port: bool,
}

impl ChangeFlags {
    /// Whether a reply from `from` to a request sent to `to` changed exactly what the flags ask for.
    pub(super) fn are_obeyed(self, to: &SocketAddr, from: &SocketAddr) -> bool {
        (to.ip() != from.ip()) == self.address && (to.port() != from.port()) == self.port
    }
}

/// Returns a Binding request, with CHANGE-REQUEST unless both flags are clear.
pub(super) fn change_request(id: &TransactionId, change: ChangeFlags) -> Vec<u8> {
    let mut request = binding_request(id, false);
    let flags = u8::from(change.address) << 2 | u8::from(change.port) << 1;
    if flags != 0 {
        attributes::push(&mut request, kind::CHANGE_REQUEST, &[0, 0, 0, flags]);
        let following = request.len() - HEADER;
        set_length(&mut request, following);
    }
    request
}

/// Whether `bytes` are a Binding request with this `id`.
pub(super) fn is_request(bytes: &[u8], id: &TransactionId) -> bool {
    message_type(bytes) == Some(BINDING_REQUEST) && bytes[4..HEADER] == id.0
}

/// The attribute that carries the mapped address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MappedAttribute {
    Xor,
    Plain,
}

impl MappedAttribute {
    /// Returns the attribute's name (RFC 8489 §18.3).
    pub(super) fn name(self) -> &'static str {
        match self {
            MappedAttribute::Xor => "XOR-MAPPED-ADDRESS",
            MappedAttribute::Plain => "MAPPED-ADDRESS",
        }
    }
}

/// A reply to a Binding request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BindingResponse {
    /// A success response.
    Success {
        mapped: SocketAddr,
        from: MappedAttribute,
        software: Option<String>,
        other_address: Option<SocketAddr>,
    },
    /// An error response (RFC 8489 §14.8), with the types that UNKNOWN-ATTRIBUTES lists.
    Error { code: u16, reason: String, unknown: Vec<u16> },
}

/// Parses a reply to the request with this `id`.
///
/// # Errors
/// Why `bytes` are no such reply. The client ignores them and shows the reason.
pub(super) fn parse_response(bytes: &[u8], id: &TransactionId) -> Result<BindingResponse, &'static str> {
    let message_type = message_type(bytes).ok_or("not a STUN message of this length")?;
    if message_type != SUCCESS_RESPONSE && message_type != ERROR_RESPONSE {
        return Err("not a Binding response");
    }
    if bytes[4..HEADER] != id.0 {
        return Err("wrong transaction ID");
    }
    if has_valid_fingerprint(bytes) == Some(false) {
        return Err("wrong FINGERPRINT");
    }
    if id.is_classic() { parse_classic(bytes, message_type) } else { codec::parse(bytes) }
}

/// Returns the mapped address of a success response, from XOR-MAPPED-ADDRESS if there is one, else from
/// MAPPED-ADDRESS. `None` if `bytes` are no success response with a mapped address.
///
/// Runs for each reply under load, so it does without `stun_codec`.
pub(super) fn mapped_address(bytes: &[u8]) -> Option<(SocketAddr, MappedAttribute)> {
    if message_type(bytes)? != SUCCESS_RESPONSE {
        return None;
    }
    let mut plain = None;
    for attribute in MessageAttributes::of(bytes) {
        let attribute = attribute?;
        match attribute.kind {
            kind::XOR_MAPPED_ADDRESS => {
                let mut mask = [0; 18];
                mask[..2].copy_from_slice(&bytes[4..6]);
                mask[2..].copy_from_slice(&bytes[4..HEADER]);
                return Some((attributes::address(attribute.value, &mask)?, MappedAttribute::Xor));
            }
            kind::MAPPED_ADDRESS if plain.is_none() => {
                plain = Some(attributes::address(attribute.value, &[0; 18])?);
            }
            _ => {}
        }
    }
    Some((plain?, MappedAttribute::Plain))
}

/// Returns the message type (class and method). `None` if the length field does not match `bytes`.
fn message_type(bytes: &[u8]) -> Option<u16> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    (bytes.len() == HEADER + length && length % 4 == 0).then(|| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Parses the reply of a server that speaks RFC 3489.
fn parse_classic(bytes: &[u8], message_type: u16) -> Result<BindingResponse, &'static str> {
    let value = |kind| attributes::find(bytes, kind).map(|attribute| attribute.value);
    if message_type == SUCCESS_RESPONSE {
        let (mapped, from) = mapped_address(bytes).ok_or("no mapped address")?;
        let software = value(kind::SOFTWARE).map(|value| String::from_utf8_lossy(value).into_owned());
        return Ok(BindingResponse::Success { mapped, from, software, other_address: None });
    }
    let error = value(kind::ERROR_CODE).filter(|value| value.len() >= 4).ok_or("no error code")?;
    let unknown = value(kind::UNKNOWN_ATTRIBUTES).unwrap_or_default();
    Ok(BindingResponse::Error {
        code: u16::from(error[2] & 7) * 100 + u16::from(error[3]),
        reason: String::from_utf8_lossy(&error[4..]).trim_end_matches(['\0', ' ']).to_owned(),
        unknown: unknown.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect(),
    })
}

#[cfg(test)]
mod tests;
