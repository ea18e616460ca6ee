//! The plain service: a request that asks for nothing but its own address, and the reply that holds nothing
//! else.
//!
//! All of it works on arrays whose lengths the compiler knows, so that the same source compiles for the host
//! and for BPF, whose verifier follows no length that is known at run time only. The last 16 bytes of the
//! header stay as the request has them: cookie and transaction ID, or the 128 bits that RFC 3489 calls the
//! transaction ID.

use super::{
    fingerprint::{FINGERPRINT_LENGTH, SOFTWARE_LENGTH, TransactionCrc, verify_behind_software, verify_lone},
    wire::{
        ADDRESS_IPV4, ADDRESS_IPV6, BINDING_REQUEST, BINDING_SUCCESS, CLASS, CLASS_INDICATION, Dialect,
        FAMILY_IPV4, FAMILY_IPV6, HEADER, MAGIC_COOKIE, attribute, family_and_port, type_and_length, words,
    },
};
use crate::outcome::Outcome;
use core::net::{IpAddr, SocketAddr};

/// Length of a request without attributes.
pub const BARE_REQUEST: usize = HEADER;
/// Length of a request with FINGERPRINT alone.
pub const FINGERPRINTED_REQUEST: usize = HEADER + FINGERPRINT_LENGTH;
/// Length of a request with a SOFTWARE of eight bytes and FINGERPRINT.
pub const SOFTWARE_REQUEST: usize = HEADER + SOFTWARE_ATTRIBUTES;
/// Length of these two attributes.
pub const SOFTWARE_ATTRIBUTES: usize = SOFTWARE_LENGTH + FINGERPRINT_LENGTH;
/// Length of the reply to an IPv4 client that sent no FINGERPRINT.
pub const REPLY_IPV4: usize = HEADER + ADDRESS_IPV4;
/// Length of the reply to an IPv6 client that sent no FINGERPRINT.
pub const REPLY_IPV6: usize = HEADER + ADDRESS_IPV6;
/// Length of the reply to an IPv4 client that sent a FINGERPRINT.
pub const FINGERPRINTED_REPLY_IPV4: usize = REPLY_IPV4 + FINGERPRINT_LENGTH;
/// Length of the reply to an IPv6 client that sent a FINGERPRINT.
pub const FINGERPRINTED_REPLY_IPV6: usize = REPLY_IPV6 + FINGERPRINT_LENGTH;

/// Checks type and length of a message with so many bytes of attributes.
///
/// # Errors
/// The reason for silence.
#[inline(always)]
pub fn check_type(header: &[u8; HEADER], attributes: usize) -> Result<(), Outcome> {
    let &[t0, t1, l0, l1, ..] = header;
    let message_type = u16::from_be_bytes([t0, t1]);
    let right_length =
        attributes.is_multiple_of(4) && usize::from(u16::from_be_bytes([l0, l1])) == attributes;
    if message_type != BINDING_REQUEST || !right_length {
        return Err(not_a_request(message_type, right_length));
    }
    Ok(())
}

/// Whether the magic cookie is there: the client speaks RFC 5389 or later.
#[inline(always)]
pub fn has_cookie(header: &[u8; HEADER]) -> bool {
    word(header, 4) == MAGIC_COOKIE
}

/// Why a message of this type, whose length may be right, gets no reply.
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
    // The caller has ruled out a request.
    if message_type & CLASS == CLASS_INDICATION { Outcome::Indication } else { Outcome::Response }
}

/// Checks the value of a FINGERPRINT that directly follows `header`, whose type, length and cookie
/// [`check_type`] and [`has_cookie`] have found right. Returns what [`write`](fn@write) makes the FINGERPRINT
/// of the reply from.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub fn check_lone_fingerprint(header: &[u8; HEADER], value: u32) -> Result<TransactionCrc, Outcome> {
    verify_lone(header, value)
}

/// Checks `attributes` if they are a SOFTWARE of eight bytes and FINGERPRINT, as several clients send them
/// with every request; `None` if they are others, of which this says nothing. `header` is as for
/// [`check_lone_fingerprint`], and so is the result.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub fn check_software_and_fingerprint(
    header: &[u8; HEADER],
    attributes: &[u8; SOFTWARE_ATTRIBUTES],
) -> Option<Result<TransactionCrc, Outcome>> {
    let &[0x80, 0x22, 0, 8, ref text @ .., 0x80, 0x28, 0, 4, v0, v1, v2, v3] = attributes else {
        return None;
    };
    let &[t0, t1, t2, t3, t4, t5, t6, t7] = text;
    let text = [[t0, t1, t2, t3], [t4, t5, t6, t7]];
    Some(verify_behind_software(header, text, u32::from_be_bytes([v0, v1, v2, v3])))
}

/// Bytes that a plain reply takes at most.
pub const ROOM: usize = FINGERPRINTED_REPLY_IPV6;

/// Makes the request that begins `room` the success response (RFC 8489 §6.3.1.1, §12) for a client at
/// `source`, and returns its length. A request with FINGERPRINT gets one too (RFC 8489 §14.7): `fingerprint`
/// is then what its check returned. A classic request has none.
///
/// The reply holds the client's address and nothing else: every byte more would serve an attacker who forges
/// sources.
#[inline(always)]
pub fn write(
    room: &mut [u8; ROOM],
    dialect: Dialect,
    source: &SocketAddr,
    fingerprint: Option<TransactionCrc>,
) -> usize {
    let [cookie, i0, i1, i2] = mask(room, dialect);
    let port = source.port() ^ (cookie >> 16) as u16;
    let (kind, fingerprint) = match dialect {
        Dialect::Cookie => (attribute::XOR_MAPPED_ADDRESS, fingerprint),
        Dialect::Classic => (attribute::MAPPED_ADDRESS, None),
    };
    match source.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let address = ip.to_bits() ^ cookie;
            put(room, HEADER, type_and_length(kind, ADDRESS_IPV4 - 4));
            put(room, HEADER + 4, family_and_port(FAMILY_IPV4, port));
            put(room, HEADER + 8, address.to_be_bytes());
            finish(room, REPLY_IPV4, fingerprint.map(|id| id.reply_ipv4(port, address)))
        }
        IpAddr::V6(ip) => {
            let [a0, a1, a2, a3] = words(ip.octets());
            let address = [a0 ^ cookie, a1 ^ i0, a2 ^ i1, a3 ^ i2];
            put(room, HEADER, type_and_length(kind, ADDRESS_IPV6 - 4));
            put(room, HEADER + 4, family_and_port(FAMILY_IPV6, port));
            put(room, HEADER + 8, address[0].to_be_bytes());
            put(room, HEADER + 12, address[1].to_be_bytes());
            put(room, HEADER + 16, address[2].to_be_bytes());
            put(room, HEADER + 20, address[3].to_be_bytes());
            finish(room, REPLY_IPV6, fingerprint.map(|id| id.reply_ipv6(port, address)))
        }
    }
}

/// Cookie and transaction ID, with which an address is combined (RFC 8489 §14.2). A classic reply shows it
/// plainly.
#[inline(always)]
fn mask(room: &[u8; ROOM], dialect: Dialect) -> [u32; 4] {
    match dialect {
        Dialect::Cookie => {
            let mut id = [0; 16];
            id.copy_from_slice(&room[4..HEADER]);
            let [_, i0, i1, i2] = words(id);
            [MAGIC_COOKIE, i0, i1, i2]
        }
        Dialect::Classic => [0; 4],
    }
}

/// Writes message type and length, and the FINGERPRINT behind the reply's first `end` bytes if it has one.
/// `end` is a constant at each call.
#[inline(always)]
fn finish(room: &mut [u8; ROOM], end: usize, fingerprint: Option<[u8; FINGERPRINT_LENGTH]>) -> usize {
    let Some(fingerprint) = fingerprint else {
        put(room, 0, type_and_length(BINDING_SUCCESS, end - HEADER));
        return end;
    };
    put(room, 0, type_and_length(BINDING_SUCCESS, end + FINGERPRINT_LENGTH - HEADER));
    room[end..end + FINGERPRINT_LENGTH].copy_from_slice(&fingerprint);
    end + FINGERPRINT_LENGTH
}

/// Four bytes of the header, as a number.
#[inline(always)]
fn word(header: &[u8; HEADER], offset: usize) -> u32 {
    u32::from_be_bytes([header[offset], header[offset + 1], header[offset + 2], header[offset + 3]])
}

/// Writes four bytes at an offset that is a constant.
#[inline(always)]
fn put(room: &mut [u8; ROOM], offset: usize, bytes: [u8; 4]) {
    room[offset..offset + 4].copy_from_slice(&bytes);
}
