//! Writes replies with more than one attribute over their request.

use super::{
    crc::Crc,
    fingerprint::fingerprint,
    request::Request,
    wire::{FAMILY_IPV4, FAMILY_IPV6, HEADER, MAGIC_COOKIE, family_and_port, type_and_length, words},
};
use core::net::{IpAddr, SocketAddr};

/// A reply under construction. Once something does not fit, [`Writer::finish`] returns `None`.
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8],
    end: usize,
}

impl<'a> Writer<'a> {
    /// Begins after the header, whose last 16 bytes stay as the request has them.
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Writer { buffer, end: HEADER }
    }

    /// Appends an attribute whose value is the concatenation of `parts`, padded with zeros.
    pub(super) fn attribute(&mut self, kind: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.append(&type_and_length(kind, length));
        for part in parts {
            self.append(part);
        }
        self.append([0; 3].get(..length.next_multiple_of(4) - length).unwrap_or_default());
    }

    /// Appends an address and port in the format of MAPPED-ADDRESS (RFC 8489 §14.1).
    pub(super) fn address(&mut self, kind: u16, address: SocketAddr) {
        self.masked_address(kind, address, [0; 4]);
    }

    /// Appends an address and port in the format of XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub(super) fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let transaction =
            self.buffer.get(4..HEADER).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        let [_, i0, i1, i2] = words(transaction);
        self.masked_address(kind, address, [MAGIC_COOKIE, i0, i1, i2]);
    }

    /// Appends PADDING of zeros (RFC 5780 §7.6) that makes the reply `total` bytes long, less `reserved`
    /// bytes that follow.
    pub(super) fn padding(&mut self, kind: u16, total: usize, reserved: usize) {
        let length = total.saturating_sub(self.end + 4 + reserved);
        self.append(&type_and_length(kind, length));
        if let Some(value) = self.buffer.get_mut(self.end..self.end + length) {
            value.fill(0);
        }
        self.end += length;
    }

    /// Writes message type and length, and a FINGERPRINT if the request has one (RFC 8489 §14.7). Returns the
    /// length of the reply; `None` if the buffer is too short.
    pub(super) fn finish(mut self, request: &Request, message_type: u16) -> Option<usize> {
        let start = type_and_length(message_type, self.end + request.fingerprint_length() - HEADER);
        self.buffer.get_mut(..4)?.copy_from_slice(&start);
        if request.fingerprint.is_some() {
            let crc = Crc::new().update(self.buffer.get(..self.end)?);
            self.append(&fingerprint(crc));
        }
        (self.end <= self.buffer.len()).then_some(self.end)
    }

    fn masked_address(&mut self, kind: u16, address: SocketAddr, [cookie, i0, i1, i2]: [u32; 4]) {
        let port = address.port() ^ (cookie >> 16) as u16;
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let value = (ip.to_bits() ^ cookie).to_be_bytes();
                self.attribute(kind, &[&family_and_port(FAMILY_IPV4, port), &value]);
            }
            IpAddr::V6(ip) => {
                let [a0, a1, a2, a3] = words(ip.octets());
                let value = [a0 ^ cookie, a1 ^ i0, a2 ^ i1, a3 ^ i2].map(u32::to_be_bytes);
                self.attribute(kind, &[&family_and_port(FAMILY_IPV6, port), value.as_flattened()]);
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.end..self.end + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.end += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{FAMILY_IPV6, HEADER, MAGIC_COOKIE, Writer};
    use core::net::{Ipv6Addr, SocketAddr};
    use std::vec::Vec;

    /// Address and transaction ID have each pair of bits in each of their words.
    #[test]
    fn an_ipv6_address_is_xored_bit_by_bit() {
        let mut buffer = [0x33; HEADER + 24];
        buffer[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        let ip = [0x55; 16];
        let key = &buffer[4..HEADER].to_vec();
        Writer::new(&mut buffer).xor_address(0x0020, SocketAddr::new(Ipv6Addr::from(ip).into(), 0x5555));
        let (attribute, value) = buffer[HEADER..].split_at(8);
        assert_eq!(attribute, [0, 0x20, 0, 20, 0, FAMILY_IPV6, 0x55 ^ key[0], 0x55 ^ key[1]]);
        let expected: Vec<u8> = ip.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(value, expected);
    }
}
