//! The plain reply, written over its request. The last 16 bytes of the header stay as they are: cookie and
//! transaction ID, or the 128 bits that RFC 3489 calls the transaction ID.

use super::{
    REPLY_ROOM,
    attributes::{FINGERPRINT, FINGERPRINT_LENGTH, MAPPED_ADDRESS, XOR_MAPPED_ADDRESS},
    request::{Dialect, FINGERPRINT_XOR, HEADER, MAGIC_COOKIE, Request},
};
use core::net::{IpAddr, SocketAddr};

pub(super) const BINDING_SUCCESS: u16 = 0x0101;

pub(super) const FAMILY_IPV4: u8 = 1;
pub(super) const FAMILY_IPV6: u8 = 2;
/// MAPPED-ADDRESS and XOR-MAPPED-ADDRESS with their headers.
const ADDRESS_IPV4: usize = 12;
const ADDRESS_IPV6: usize = 24;

/// Length of an attribute with this address, with its header.
pub(super) fn address_length(address: &SocketAddr) -> usize {
    if address.is_ipv4() { ADDRESS_IPV4 } else { ADDRESS_IPV6 }
}

type Room = [u8; REPLY_ROOM];

/// Writes a success response (RFC 8489 §6.3.1.1, §11) and gives its length. It holds the client's
/// address and nothing else: every byte more would serve an attacker who asks in somebody's name.
#[inline(always)]
pub(super) fn success(room: &mut Room, request: &Request, source: &SocketAddr) -> usize {
    let [cookie, id @ ..] = transaction(room, request.dialect);
    let port = source.port() ^ (cookie >> 16) as u16;
    let kind = match request.dialect {
        Dialect::Cookie => XOR_MAPPED_ADDRESS,
        Dialect::Classic => MAPPED_ADDRESS,
    };
    match source.ip().to_canonical() {
        IpAddr::V4(ip) => {
            put(room, HEADER, head(kind, ADDRESS_IPV4 - 4));
            put(room, HEADER + 4, family_and_port(FAMILY_IPV4, port));
            put(room, HEADER + 8, (ip.to_bits() ^ cookie).to_be_bytes());
            finish(room, request, HEADER + ADDRESS_IPV4)
        }
        IpAddr::V6(ip) => {
            let [a0, a1, a2, a3] = words(ip.octets());
            put(room, HEADER, head(kind, ADDRESS_IPV6 - 4));
            put(room, HEADER + 4, family_and_port(FAMILY_IPV6, port));
            put(room, HEADER + 8, (a0 ^ cookie).to_be_bytes());
            put(room, HEADER + 12, (a1 ^ id[0]).to_be_bytes());
            put(room, HEADER + 16, (a2 ^ id[1]).to_be_bytes());
            put(room, HEADER + 20, (a3 ^ id[2]).to_be_bytes());
            finish(room, request, HEADER + ADDRESS_IPV6)
        }
    }
}

/// Writes message type and length, and the FINGERPRINT that is owed to a request with one (RFC 8489
/// §14.7): `end` is the reply's length without it.
#[inline(always)]
fn finish(room: &mut Room, request: &Request, end: usize) -> usize {
    let Some(header) = request.fingerprint else {
        put(room, 0, head(BINDING_SUCCESS, end - HEADER));
        return end;
    };
    let &mut [t0, t1, l0, l1, ..] = room;
    let start = head(BINDING_SUCCESS, end + FINGERPRINT_LENGTH - HEADER);
    put(room, 0, start);
    let body = room.get(HEADER..end).unwrap_or_default();
    let crc = header.with_start([t0, t1, l0, l1], start).update(body).finish();
    let end = append(room, end, &head(FINGERPRINT, FINGERPRINT_LENGTH - 4));
    append(room, end, &(crc ^ FINGERPRINT_XOR).to_be_bytes())
}

/// Cookie and transaction ID, with which an address is combined (RFC 8489 §14.2); a classic reply
/// shows it plainly.
#[inline(always)]
fn transaction(room: &Room, dialect: Dialect) -> [u32; 4] {
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

#[inline(always)]
pub(super) fn words(bytes: [u8; 16]) -> [u32; 4] {
    let (fours, _) = bytes.as_chunks::<4>();
    let word = |index: usize| fours.get(index).map_or(0, |four| u32::from_be_bytes(*four));
    [word(0), word(1), word(2), word(3)]
}

/// Two numbers of 16 bits: an attribute's type and length, or a message's.
#[inline(always)]
pub(super) fn head(kind: u16, length: usize) -> [u8; 4] {
    let [t0, t1] = kind.to_be_bytes();
    // No reply is longer than REPLY_ROOM or its request, whose length has 16 bits too.
    let [l0, l1] = (length as u16).to_be_bytes();
    [t0, t1, l0, l1]
}

#[inline(always)]
pub(super) fn family_and_port(family: u8, port: u16) -> [u8; 4] {
    let [p0, p1] = port.to_be_bytes();
    [0, family, p0, p1]
}

/// Writes four bytes at an offset that is known when this is compiled.
#[inline(always)]
fn put(room: &mut Room, offset: usize, bytes: [u8; 4]) {
    room[offset..offset + 4].copy_from_slice(&bytes);
}

/// Writes `bytes` at `end` and gives the new end.
#[inline(always)]
fn append(room: &mut Room, end: usize, bytes: &[u8]) -> usize {
    if let Some(place) = room.get_mut(end..end + bytes.len()) {
        place.copy_from_slice(bytes);
    }
    end + bytes.len()
}
