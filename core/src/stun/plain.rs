//! The plain service: a request that asks for nothing but its own address, and the reply that holds nothing else.
//!
//! All of it works on arrays whose lengths the compiler knows, so that the same source compiles for the host and for
//! BPF, whose verifier follows no length that is known at run time only. The last 16 bytes of the header stay as the
//! request has them: cookie and transaction ID, or the 128 bits that RFC 3489 calls the transaction ID.

use super::{
    crc::Crc,
    fingerprint::{FINGERPRINT_LENGTH, fingerprint, verify},
    wire::{
        ADDRESS_IPV4, ADDRESS_IPV6, BINDING_REQUEST, BINDING_SUCCESS, CLASS, CLASS_INDICATION, Dialect,
        FAMILY_IPV4, FAMILY_IPV6, HEADER, MAGIC_COOKIE, attribute, family_and_port, type_and_length, words,
    },
};
use crate::outcome::Outcome;

/// Length of a request without attributes.
pub const BARE_REQUEST: usize = HEADER;
/// Length of a request with FINGERPRINT alone.
pub const FINGERPRINTED_REQUEST: usize = HEADER + FINGERPRINT_LENGTH;
/// Length of the reply to an IPv4 client that sent no FINGERPRINT.
pub const REPLY_IPV4: usize = HEADER + ADDRESS_IPV4;
/// Length of the reply to an IPv6 client that sent no FINGERPRINT.
pub const REPLY_IPV6: usize = HEADER + ADDRESS_IPV6;
/// Length of the reply to an IPv4 client that sent a FINGERPRINT.
pub const FINGERPRINTED_REPLY_IPV4: usize = REPLY_IPV4 + FINGERPRINT_LENGTH;
/// Length of the reply to an IPv6 client that sent a FINGERPRINT.
pub const FINGERPRINTED_REPLY_IPV6: usize = REPLY_IPV6 + FINGERPRINT_LENGTH;

/// Checks the header of a message with so many bytes of attributes. Requests without magic cookie pass only if
/// `classic` is set.
///
/// # Errors
/// The reason for silence: the checks of RFC 8489 §6.3 in the order of [`respond`](super::respond).
#[inline(always)]
pub fn check_header(header: &[u8; HEADER], attributes: usize, classic: bool) -> Result<Dialect, Outcome> {
    let &[t0, t1, l0, l1, c0, c1, c2, c3, ..] = header;
    let message_type = u16::from_be_bytes([t0, t1]);
    let right_length =
        attributes.is_multiple_of(4) && usize::from(u16::from_be_bytes([l0, l1])) == attributes;
    if message_type != BINDING_REQUEST || !right_length {
        return Err(not_a_request(message_type, right_length));
    }
    if u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE {
        Ok(Dialect::Cookie)
    } else if classic {
        Ok(Dialect::Classic)
    } else {
        Err(Outcome::NoCookie)
    }
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

/// Value of a FINGERPRINT that is a message's only attribute; `None` if `attributes` is anything else.
#[inline(always)]
pub fn lone_fingerprint(attributes: &[u8; FINGERPRINT_LENGTH]) -> Option<u32> {
    match *attributes {
        [0x80, 0x28, 0, 4, v0, v1, v2, v3] => Some(u32::from_be_bytes([v0, v1, v2, v3])),
        _ => None,
    }
}

/// Checks the value of a FINGERPRINT that directly follows `header`. Returns the CRC over `header`, from which
/// [`write_fingerprinted`] makes the reply's.
///
/// # Errors
/// [`Outcome::BadFingerprint`].
#[inline(always)]
pub fn check_lone_fingerprint(header: &[u8; HEADER], value: u32) -> Result<Crc, Outcome> {
    verify(header, &[], value)
}

/// XOR-MAPPED-ADDRESS (RFC 8489 §14.2) with an IPv4 client's address and port for the request with this `header`, or
/// MAPPED-ADDRESS (RFC 3489 §11.2.1) for a classic one.
#[inline(always)]
pub fn mapped_ipv4(dialect: Dialect, ip: u32, port: u16) -> [u8; ADDRESS_IPV4] {
    let (kind, cookie) = kind_and_cookie(dialect);
    let head = type_and_length(kind, ADDRESS_IPV4 - 4);
    let [h0, h1, h2, h3] = head;
    let [f0, f1, f2, f3] = family_and_port(FAMILY_IPV4, port ^ (cookie >> 16) as u16);
    let [a0, a1, a2, a3] = (ip ^ cookie).to_be_bytes();
    [h0, h1, h2, h3, f0, f1, f2, f3, a0, a1, a2, a3]
}

/// The same with an IPv6 address.
#[inline(always)]
pub fn mapped_ipv6(header: &[u8; HEADER], dialect: Dialect, ip: [u8; 16], port: u16) -> [u8; ADDRESS_IPV6] {
    let (kind, cookie) = kind_and_cookie(dialect);
    let [i0, i1, i2] = match dialect {
        Dialect::Cookie => {
            let (_, transaction) = header.split_last_chunk::<16>().unwrap_or((&[], &[0; 16]));
            let [_, i0, i1, i2] = words(*transaction);
            [i0, i1, i2]
        }
        Dialect::Classic => [0; 3],
    };
    let [a0, a1, a2, a3] = words(ip);
    let mut attribute = [[0; 4]; ADDRESS_IPV6 / 4];
    attribute[0] = type_and_length(kind, ADDRESS_IPV6 - 4);
    attribute[1] = family_and_port(FAMILY_IPV6, port ^ (cookie >> 16) as u16);
    attribute[2] = (a0 ^ cookie).to_be_bytes();
    attribute[3] = (a1 ^ i0).to_be_bytes();
    attribute[4] = (a2 ^ i1).to_be_bytes();
    attribute[5] = (a3 ^ i2).to_be_bytes();
    let mut bytes = [0; ADDRESS_IPV6];
    bytes.copy_from_slice(attribute.as_flattened());
    bytes
}

/// The attribute's type and what the address is combined with: nothing in a classic reply.
#[inline(always)]
fn kind_and_cookie(dialect: Dialect) -> (u16, u32) {
    match dialect {
        Dialect::Cookie => (attribute::XOR_MAPPED_ADDRESS, MAGIC_COOKIE),
        Dialect::Classic => (attribute::MAPPED_ADDRESS, 0),
    }
}

/// Makes the request that begins `reply` a success response (RFC 8489 §6.3.1.1) with this one attribute.
#[inline(always)]
pub fn write<const ATTRIBUTE: usize, const REPLY: usize>(
    reply: &mut [u8; REPLY],
    attribute: [u8; ATTRIBUTE],
) {
    const { assert!(REPLY == HEADER + ATTRIBUTE, "a reply is its header and its attribute") };
    reply[..4].copy_from_slice(&type_and_length(BINDING_SUCCESS, ATTRIBUTE));
    reply[HEADER..].copy_from_slice(&attribute);
}

/// The same for a request with FINGERPRINT, whose reply has one too (RFC 8489 §14.7). `header` is the CRC over the
/// request's header.
#[inline(always)]
pub fn write_fingerprinted<const ATTRIBUTE: usize, const REPLY: usize>(
    reply: &mut [u8; REPLY],
    attribute: [u8; ATTRIBUTE],
    header: Crc,
) {
    const {
        assert!(REPLY == HEADER + ATTRIBUTE + FINGERPRINT_LENGTH, "a reply is header, attribute, FINGERPRINT")
    };
    let before = [reply[0], reply[1], reply[2], reply[3]];
    let start = type_and_length(BINDING_SUCCESS, ATTRIBUTE + FINGERPRINT_LENGTH);
    let crc = header.with_start(before, start).update(&attribute);
    reply[..4].copy_from_slice(&start);
    reply[HEADER..HEADER + ATTRIBUTE].copy_from_slice(&attribute);
    reply[HEADER + ATTRIBUTE..].copy_from_slice(&fingerprint(crc));
}
