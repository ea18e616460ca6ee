//! STUN messages for tests, built from their parts.

/// Message type of a Binding request.
pub const BINDING_REQUEST: u16 = 0x0001;
/// Message type of a Binding success response.
pub const BINDING_SUCCESS: u16 = 0x0101;
/// Message type of a Binding error response.
pub const BINDING_ERROR: u16 = 0x0111;
/// The magic cookie.
pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The transaction ID of RFC 5769's first three vectors.
pub const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
/// The first word of a classic transaction ID, where other messages have the cookie.
const NO_COOKIE: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

/// Endpoints of a server over IPv4 and IPv6: the four of NAT behaviour discovery, then one that is none of them.
pub const ENDPOINTS: [[&str; 5]; 2] = [
    ["192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479", "192.0.2.3:3478"],
    [
        "[2001:db8::1]:3478",
        "[2001:db8::1]:3479",
        "[2001:db8::2]:3478",
        "[2001:db8::2]:3479",
        "[2001:db8::3]:3478",
    ],
];

/// An attribute: type and value.
pub type Attribute<'a> = (u16, &'a [u8]);

/// A message with the magic cookie and [`ID`].
pub fn message(kind: u16, attributes: &[Attribute]) -> Vec<u8> {
    with_transaction(kind, [&COOKIE[..], &ID].concat().as_slice(), attributes)
}

/// A message of RFC 3489, without the cookie.
pub fn classic(kind: u16, attributes: &[Attribute]) -> Vec<u8> {
    with_transaction(kind, [&NO_COOKIE[..], &ID].concat().as_slice(), attributes)
}

/// A message whose header ends with the 16 bytes of `transaction`.
pub fn with_transaction(kind: u16, transaction: &[u8], attributes: &[Attribute]) -> Vec<u8> {
    let mut message = [&kind.to_be_bytes()[..], &[0, 0], transaction].concat();
    for (kind, value) in attributes {
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&(value.len() as u16).to_be_bytes());
        message.extend_from_slice(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    with_right_length(message)
}

/// `message` with its own length in the header.
pub fn with_right_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

/// `message` with a FINGERPRINT at its end.
pub fn fingerprinted(mut message: Vec<u8>) -> Vec<u8> {
    message.extend_from_slice(&[0x80, 0x28, 0, 4, 0, 0, 0, 0]);
    let mut message = with_right_length(message);
    let end = message.len();
    let value = crc32(&message[..end - 8]) ^ 0x5354_554e;
    message[end - 4..].copy_from_slice(&value.to_be_bytes());
    message
}

/// CRC-32 as ITU V.42 describes it, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            state >> 1 ^ if state & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}
