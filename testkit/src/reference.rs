//! A second, slow and plain implementation of the core: the outcome and reply that RFC 8489 and the default policy
//! require for any bytes. Tests and fuzzers compare the core with it; the two share no code.

use crate::messages::{
    Attribute, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, COOKIE, crc32, fingerprinted,
    with_transaction,
};
use std::net::{IpAddr, SocketAddr};
use xstun_core::outcome::Outcome::{self, *};

const FINGERPRINT: u16 = 0x8028;
const CHANGE_REQUEST: u16 = 0x0003;
const INTEGRITY: [u16; 2] = [0x0008, 0x001c];

/// Types below 0x8000 that IANA's registry of 2024-12-20 assigns or lists with a former meaning, except those that
/// only RFC 5780 defines: PADDING and RESPONSE-PORT.
const REGISTRY: [u16; 33] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x12, 0x13, 0x14,
    0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x24, 0x25, 0x2a,
];

/// Whether IANA's registry lists this comprehension-required type.
pub fn is_registered(kind: u16) -> bool {
    REGISTRY.contains(&kind)
}

/// The outcome of `message` from `source`, and its reply, empty for silence.
pub fn respond(message: &[u8], source: SocketAddr, classic: bool) -> (Outcome, Vec<u8>) {
    match read(message, classic) {
        Err(outcome) => (outcome, Vec::new()),
        Ok(request) if request.unknown.is_empty() => {
            (if request.cookie { Answered } else { AnsweredClassic }, request.success(source))
        }
        Ok(request) => (UnknownAttribute, request.rejection()),
    }
}

struct Request<'a> {
    message: &'a [u8],
    cookie: bool,
    /// Unknown comprehension-required types, each once.
    unknown: Vec<u16>,
    fingerprint: bool,
}

/// The checks of RFC 8489 §6.3, one after the other.
fn read(message: &[u8], classic: bool) -> Result<Request<'_>, Outcome> {
    if message.len() < 20 || message[0] >= 0x40 {
        return Err(NotStun);
    }
    let length = usize::from(message[2]) * 256 + usize::from(message[3]);
    if length != message.len() - 20 || length % 4 != 0 {
        return Err(BadLength);
    }
    let kind = u16::from_be_bytes([message[0], message[1]]);
    let bits = |first: u16, count: u16| kind >> first & ((1 << count) - 1);
    let method = bits(9, 5) << 7 | bits(5, 3) << 4 | bits(0, 4);
    let class = bits(8, 1) << 1 | bits(4, 1);
    if method != BINDING_REQUEST {
        return Err(OtherMethod);
    }
    match class {
        0 => {}
        1 => return Err(Indication),
        _ => return Err(Response),
    }
    let cookie = message[4..8] == COOKIE;
    if !cookie && !classic {
        return Err(NoCookie);
    }
    let mut request = Request { message, cookie, unknown: Vec::new(), fingerprint: false };
    request.attributes()?;
    if request.fingerprint {
        let (covered, value) = message.split_at(message.len() - 4);
        let right = crc32(&covered[..covered.len() - 4]) ^ 0x5354_554e;
        if value != right.to_be_bytes() {
            return Err(BadFingerprint);
        }
    }
    Ok(request)
}

impl Request<'_> {
    fn attributes(&mut self) -> Result<(), Outcome> {
        let mut at = 20;
        let mut before: Vec<u16> = Vec::new();
        while at < self.message.len() {
            let word = |offset: usize| u16::from_be_bytes([self.message[offset], self.message[offset + 1]]);
            let (kind, length) = (word(at), usize::from(word(at + 2)));
            let end = at + 4 + length.div_ceil(4) * 4;
            if end > self.message.len() {
                return Err(BadAttribute);
            }
            let value = &self.message[at + 4..at + 4 + length];
            let after_integrity = before.iter().any(|kind| INTEGRITY.contains(kind));
            if kind == FINGERPRINT && self.cookie {
                if length != 4 || end != self.message.len() {
                    return Err(BadFingerprint);
                }
                self.fingerprint = true;
            } else if kind < 0x8000 && !after_integrity {
                let unknown = if kind != CHANGE_REQUEST {
                    !is_registered(kind)
                } else if before.contains(&CHANGE_REQUEST) {
                    false
                } else if length != 4 {
                    return Err(BadAttribute);
                } else {
                    value[3] & 6 != 0
                };
                if unknown && !self.unknown.contains(&kind) {
                    self.unknown.push(kind);
                }
            }
            before.push(kind);
            at = end;
        }
        Ok(())
    }

    fn reply(&self, kind: u16, attributes: &[Attribute]) -> Vec<u8> {
        let reply = with_transaction(kind, &self.message[4..20], attributes);
        if self.fingerprint { fingerprinted(reply) } else { reply }
    }

    /// RFC 8489 §14.2, or RFC 3489 §11.2.1 for a classic request.
    fn success(&self, source: SocketAddr) -> Vec<u8> {
        let (family, octets) = match source.ip().to_canonical() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut address = octets;
        let mut port = source.port().to_be_bytes();
        let mut kind = 0x0001;
        if self.cookie {
            kind = 0x0020;
            let mask = &self.message[4..20];
            address.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            port.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.reply(BINDING_SUCCESS, &[(kind, &[&[0, family][..], &port, &address].concat())])
    }

    /// Of all 420 responses no longer than the request, the one that lists the most types and then, if it fits, has
    /// the reason phrase. Two types are always listed: padding makes them as long as one.
    fn rejection(&self) -> Vec<u8> {
        let most = self.unknown.len().min(12);
        let fits = |reply: &Vec<u8>| reply.len() <= self.message.len();
        let named = |count: usize, reason: bool| {
            let (phrase, mut list) = (&b"Unknown Attribute   "[..], self.unknown[..count].to_vec());
            if !self.cookie && count % 2 == 1 {
                list.extend(list.last().copied());
            }
            // RFC 3489 has no padding: spaces fill up the phrase.
            let phrase = if self.cookie { &phrase[..17] } else { phrase };
            let code = [&[0, 0, 4, 20][..], if reason { phrase } else { &[] }].concat();
            let list: Vec<u8> = list.iter().flat_map(|kind| kind.to_be_bytes()).collect();
            self.reply(BINDING_ERROR, &[(0x0009, &code), (0x000a, &list)])
        };
        (1..=most)
            .rev()
            .flat_map(|count| [named(count, true), named(count, false)])
            .find(fits)
            .unwrap_or_else(|| named(most.min(2), false))
    }
}
