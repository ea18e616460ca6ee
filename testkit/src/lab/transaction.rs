//! STUN messages as a client writes and reads them, without the server's code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

const COOKIE: u32 = 0x2112_a442;

/// The 16 bytes after the length, cookie and transaction ID, which the reply must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction([u8; 16]);

impl Transaction {
    /// A transaction of an RFC 8489 client, unique in this process.
    pub fn with_cookie() -> Self {
        Transaction::starting_with(COOKIE)
    }

    /// A transaction of an RFC 3489 client, without cookie.
    pub fn classic() -> Self {
        Transaction::starting_with(0x3489_3489)
    }

    fn starting_with(word: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let mut bytes = [0x5a; 16];
        bytes[..4].copy_from_slice(&word.to_be_bytes());
        bytes[12..].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Transaction(bytes)
    }

    /// A Binding request with these attributes, each in its wire form.
    pub fn request(&self, attributes: &[u8]) -> Vec<u8> {
        self.message(0x0001, attributes)
    }

    /// A message of any type.
    pub fn message(&self, kind: u16, attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).expect("a message of a few bytes");
        [&kind.to_be_bytes(), &length.to_be_bytes(), &self.0[..], attributes].concat()
    }

    /// Whether the message belongs to this transaction.
    pub fn owns(&self, message: &[u8]) -> bool {
        message.get(4..20) == Some(&self.0)
    }

    /// The mapped address in a success response of this transaction.
    pub fn mapped_address(&self, message: &[u8]) -> Option<SocketAddr> {
        if !self.owns(message) || message[..2] != [0x01, 0x01] {
            return None;
        }
        let mut rest = &message[20..];
        while let [t0, t1, l0, l1, after @ ..] = rest {
            let (kind, length) =
                (u16::from_be_bytes([*t0, *t1]), usize::from(u16::from_be_bytes([*l0, *l1])));
            let value = after.get(..length)?;
            match kind {
                0x0001 => return self.address(value, [0; 18]),
                0x0020 => {
                    let mut mask = [0; 18];
                    mask[..2].copy_from_slice(&self.0[..2]);
                    mask[2..].copy_from_slice(&self.0);
                    return self.address(value, mask);
                }
                _ => rest = after.get(length.next_multiple_of(4)..)?,
            }
        }
        None
    }

    /// The code of an error response of this transaction.
    pub fn error_code(&self, message: &[u8]) -> Option<u16> {
        if !self.owns(message) || message[..2] != [0x01, 0x11] {
            return None;
        }
        match message[20..] {
            [0x00, 0x09, _, _, _, _, class, number, ..] => Some(u16::from(class) * 100 + u16::from(number)),
            _ => None,
        }
    }

    /// The value of a MAPPED-ADDRESS or, under a mask, of an XOR-MAPPED-ADDRESS.
    fn address(&self, value: &[u8], mask: [u8; 18]) -> Option<SocketAddr> {
        let (family, masked) = (value.get(1)?, value.get(2..)?);
        let plain: Vec<u8> = masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        let (port, address) = plain.split_first_chunk::<2>()?;
        let address = match family {
            1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
            2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
            _ => return None,
        };
        (value.len() == masked.len() + 2).then_some(SocketAddr::new(address, u16::from_be_bytes(*port)))
    }
}
