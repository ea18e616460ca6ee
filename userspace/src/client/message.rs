//! Requests written and replies read. Replies with the magic cookie are read by `stun_codec`, a
//! codec that shares no code with the server's, so that a mistake of ours cannot hide itself.

mod codec;

use crate::error::{Failure, Result};
use std::net::SocketAddr;

/// Bytes of a STUN header (RFC 8489 §5).
pub(super) const HEADER: usize = 20;
/// Longest request written here.
pub(super) const LONGEST_REQUEST: usize = HEADER + 8;

const BINDING_REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const SOFTWARE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;

/// What a reply must carry back: magic cookie and transaction ID, or a classic client's 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id([u8; 16]);

impl Id {
    /// A new one from the kernel's random numbers. A classic one has no magic cookie.
    ///
    /// # Errors
    /// The kernel gave no random numbers.
    pub(super) fn random(classic: bool) -> Result<Self> {
        let mut id = [0; 16];
        random(&mut id)?;
        if !classic {
            id[..4].copy_from_slice(&COOKIE);
        } else if id[..4] == COOKIE {
            id[0] ^= 1;
        }
        Ok(Id(id))
    }

    /// With the magic cookie and this transaction ID.
    #[cfg(test)]
    pub(super) fn new(transaction: [u8; 12]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&COOKIE);
        id[4..].copy_from_slice(&transaction);
        Id(id)
    }

    fn is_classic(&self) -> bool {
        self.0[..4] != COOKIE
    }
}

/// Fills `bytes` with the kernel's random numbers.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
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

/// Writes a Binding request into `buffer`, which holds [`LONGEST_REQUEST`] bytes, and gives its
/// length.
pub(super) fn write_request(buffer: &mut [u8], id: &Id, fingerprint: bool) -> usize {
    let length: u16 = if fingerprint { 8 } else { 0 };
    buffer[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    buffer[2..4].copy_from_slice(&length.to_be_bytes());
    buffer[4..HEADER].copy_from_slice(&id.0);
    if fingerprint {
        let crc = fingerprint_of(&buffer[..HEADER]);
        buffer[HEADER..HEADER + 2].copy_from_slice(&FINGERPRINT.to_be_bytes());
        buffer[HEADER + 2..HEADER + 4].copy_from_slice(&4u16.to_be_bytes());
        buffer[HEADER + 4..HEADER + 8].copy_from_slice(&crc.to_be_bytes());
    }
    HEADER + usize::from(length)
}

/// What a CHANGE-REQUEST asks for (RFC 5780 §7.2): a reply from the server's other address or port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) address: bool,
    pub(super) port: bool,
}

impl Change {
    /// Whether a reply from `from` is what a request to `asked` has got by it.
    pub(super) fn is_between(self, asked: &SocketAddr, from: &SocketAddr) -> bool {
        (asked.ip() != from.ip()) == self.address && (asked.port() != from.port()) == self.port
    }
}

/// Writes a Binding request, with a CHANGE-REQUEST if there is anything to change, into `buffer`, which
/// holds [`LONGEST_REQUEST`] bytes, and gives its length.
pub(super) fn write_change_request(buffer: &mut [u8], id: &Id, change: Change) -> usize {
    let length = write_request(buffer, id, false);
    let flags = u8::from(change.address) << 2 | u8::from(change.port) << 1;
    if flags == 0 {
        return length;
    }
    buffer[3] = 8;
    buffer[length..length + 8].copy_from_slice(&[0, CHANGE_REQUEST as u8, 0, 4, 0, 0, 0, flags]);
    length + 8
}

/// Whether the bytes are the Binding request with this `id`.
pub(super) fn is_request(bytes: &[u8], id: &Id) -> bool {
    kind(bytes) == Some(BINDING_REQUEST) && bytes[4..HEADER] == id.0
}

/// The attribute that told the mapped address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MappedFrom {
    Xor,
    Plain,
}

impl MappedFrom {
    /// The attribute's name in RFC 8489 §18.3.
    pub(super) fn name(self) -> &'static str {
        match self {
            MappedFrom::Xor => "XOR-MAPPED-ADDRESS",
            MappedFrom::Plain => "MAPPED-ADDRESS",
        }
    }
}

/// What a server replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The mapped address.
    Success {
        mapped: SocketAddr,
        from: MappedFrom,
        software: Option<String>,
        other_address: Option<SocketAddr>,
    },
    /// An error response (RFC 8489 §14.8), and what UNKNOWN-ATTRIBUTES lists.
    Error { code: u16, reason: String, unknown: Vec<u16> },
}

/// Reads a reply to the request with this `id`.
///
/// # Errors
/// Why the bytes are no such reply: to be ignored, and told to a person.
pub(super) fn read_reply(bytes: &[u8], id: &Id) -> Result<Reply, &'static str> {
    let kind = kind(bytes).ok_or("it is no STUN message of its length")?;
    if kind != SUCCESS && kind != ERROR {
        return Err("it is no Binding response");
    }
    if bytes[4..HEADER] != id.0 {
        return Err("its transaction ID is another");
    }
    if fingerprint(bytes) == Some(false) {
        return Err("its FINGERPRINT is wrong");
    }
    if id.is_classic() { read_classic(bytes, kind) } else { codec::read(bytes) }
}

/// Reads the mapped address of a success response by hand, XOR-MAPPED-ADDRESS before MAPPED-ADDRESS.
/// `None` if the bytes are no success response with one.
pub(super) fn mapped_address(bytes: &[u8]) -> Option<(SocketAddr, MappedFrom)> {
    if kind(bytes)? != SUCCESS {
        return None;
    }
    let mut plain = None;
    for attribute in Attributes(&bytes[HEADER..]) {
        match attribute? {
            (XOR_MAPPED_ADDRESS, value) => {
                let mut mask = [0; 18];
                mask[..2].copy_from_slice(&bytes[4..6]);
                mask[2..].copy_from_slice(&bytes[4..HEADER]);
                return Some((address(value, &mask)?, MappedFrom::Xor));
            }
            (MAPPED_ADDRESS, value) if plain.is_none() => plain = Some(address(value, &[0; 18])?),
            _ => {}
        }
    }
    Some((plain?, MappedFrom::Plain))
}

/// Class and method of a message whose length field tells its length.
fn kind(bytes: &[u8]) -> Option<u16> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    (bytes.len() == HEADER + length && length % 4 == 0).then(|| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Reads the reply of a server that speaks RFC 3489.
fn read_classic(bytes: &[u8], kind: u16) -> Result<Reply, &'static str> {
    let find = |wanted| {
        Attributes(&bytes[HEADER..])
            .map_while(|attribute| attribute)
            .find_map(|(found, value)| (found == wanted).then_some(value))
    };
    if kind == SUCCESS {
        let (mapped, from) = mapped_address(bytes).ok_or("it tells no mapped address")?;
        let software = find(SOFTWARE).map(|value| String::from_utf8_lossy(value).into_owned());
        return Ok(Reply::Success { mapped, from, software, other_address: None });
    }
    let error = find(ERROR_CODE).filter(|value| value.len() >= 4).ok_or("it tells no error code")?;
    let unknown = find(UNKNOWN_ATTRIBUTES).unwrap_or_default();
    Ok(Reply::Error {
        code: u16::from(error[2] & 7) * 100 + u16::from(error[3]),
        reason: String::from_utf8_lossy(&error[4..]).trim_end_matches(['\0', ' ']).to_owned(),
        unknown: unknown.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect(),
    })
}

/// Attributes by type and value; `None`, once, for one that overruns the message.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[a, b, c, d, ref rest @ ..] = self.0 else { return None };
        let length = usize::from(u16::from_be_bytes([c, d]));
        let Some(value) = rest.get(..length) else {
            self.0 = &[];
            return Some(None);
        };
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Some((u16::from_be_bytes([a, b]), value)))
    }
}

/// An address attribute's value (RFC 8489 §14.1), port and address under a mask.
fn address(value: &[u8], mask: &[u8; 18]) -> Option<SocketAddr> {
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

/// Whether a message that is at least a header long has a FINGERPRINT, and if so, whether it is the
/// last attribute and right (RFC 8489 §14.7).
pub(super) fn fingerprint(bytes: &[u8]) -> Option<bool> {
    let mut attributes = Attributes(&bytes[HEADER..]).map_while(|attribute| attribute);
    let (_, value) = attributes.find(|(kind, _)| *kind == FINGERPRINT)?;
    let (covered, last) = bytes.split_at(bytes.len() - 8);
    Some(
        value == &last[4..]
            && last[..4] == [0x80, 0x28, 0, 4]
            && value == fingerprint_of(covered).to_be_bytes(),
    )
}

/// FINGERPRINT's value over the message before it, whose length field counts it already.
pub(super) fn fingerprint_of(covered: &[u8]) -> u32 {
    crc32(covered) ^ 0x5354_554e
}

/// `CRC_TABLES[n][byte]`: what `byte` does to a CRC by the time that `n` more bytes have passed.
static CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut step = 0;
        while step < 64 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            step += 1;
            if step % 8 == 0 {
                tables[step / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
};

/// CRC-32 of ITU V.42, eight bytes at a time: under load it runs for every reply.
fn crc32(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(!0u32, |crc, eight| {
        let mixed = u64::from_le_bytes(*eight) ^ u64::from(crc);
        let bytes = mixed.to_le_bytes();
        CRC_TABLES
            .iter()
            .zip(bytes.iter().rev())
            .fold(0, |crc, (table, byte)| crc ^ table[usize::from(*byte)])
    });
    !rest.iter().fold(crc, |crc, byte| crc >> 8 ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests;
