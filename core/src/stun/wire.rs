//! The wire format: constants of RFC 8489, RFC 5780 and RFC 3489, and numbers in network order.

#[cfg(feature = "alloc")]
use core::net::SocketAddr;

/// Length of the header of every message (RFC 8489 §5).
pub const HEADER: usize = 20;
/// Marks a message as later than RFC 3489 (RFC 8489 §5).
pub(crate) const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Type of a Binding request (RFC 8489 §5).
pub(super) const BINDING_REQUEST: u16 = 0x0001;
/// Type of a Binding success response.
pub(super) const BINDING_SUCCESS: u16 = 0x0101;
/// Type of a Binding error response.
#[cfg(feature = "alloc")]
pub(super) const BINDING_ERROR: u16 = 0x0111;
/// The bits of the message type that are the class.
pub(super) const CLASS: u16 = 0x0110;
/// Value of these bits in an indication.
pub(super) const CLASS_INDICATION: u16 = 0x0010;

/// Attribute types (RFC 8489 §18.3, RFC 5780 §9.1, RFC 3489 §11.2).
pub(super) mod attribute {
    pub(in crate::stun) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(in crate::stun) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(in crate::stun) const SOFTWARE: u16 = 0x8022;
    pub(in crate::stun) const FINGERPRINT: u16 = 0x8028;
    #[cfg(feature = "alloc")]
    pub(in crate::stun) use listed::*;

    #[cfg(feature = "alloc")]
    mod listed {
        pub(in crate::stun) const CHANGE_REQUEST: u16 = 0x0003;
        pub(in crate::stun) const SOURCE_ADDRESS: u16 = 0x0004;
        pub(in crate::stun) const CHANGED_ADDRESS: u16 = 0x0005;
        pub(in crate::stun) const USERNAME: u16 = 0x0006;
        pub(in crate::stun) const MESSAGE_INTEGRITY: u16 = 0x0008;
        pub(in crate::stun) const ERROR_CODE: u16 = 0x0009;
        pub(in crate::stun) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
        pub(in crate::stun) const REALM: u16 = 0x0014;
        pub(in crate::stun) const NONCE: u16 = 0x0015;
        pub(in crate::stun) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
        pub(in crate::stun) const PASSWORD_ALGORITHM: u16 = 0x001d;
        pub(in crate::stun) const USERHASH: u16 = 0x001e;
        pub(in crate::stun) const PADDING: u16 = 0x0026;
        pub(in crate::stun) const RESPONSE_PORT: u16 = 0x0027;
        pub(in crate::stun) const PASSWORD_ALGORITHMS: u16 = 0x8002;
        pub(in crate::stun) const ALTERNATE_SERVER: u16 = 0x8023;
        pub(in crate::stun) const RESPONSE_ORIGIN: u16 = 0x802b;
        pub(in crate::stun) const OTHER_ADDRESS: u16 = 0x802c;
    }
}

/// Which RFC the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 5389 and 8489, with magic cookie.
    Cookie,
    /// RFC 3489: 128 bits of transaction ID, no XOR-MAPPED-ADDRESS, no FINGERPRINT.
    Classic,
}

/// Address families of MAPPED-ADDRESS (RFC 8489 §14.1).
pub(super) const FAMILY_IPV4: u8 = 1;
pub(super) const FAMILY_IPV6: u8 = 2;
/// Length of an attribute with an IPv4 address, its header included.
pub(crate) const ADDRESS_IPV4: usize = 12;
/// Length of an attribute with an IPv6 address, its header included.
pub(crate) const ADDRESS_IPV6: usize = 24;

/// Length of an attribute with this address, its header included.
#[cfg(feature = "alloc")]
pub(super) fn address_length(address: &SocketAddr) -> usize {
    if address.is_ipv4() { ADDRESS_IPV4 } else { ADDRESS_IPV6 }
}

/// The 16 bytes as four numbers in network order.
#[inline(always)]
pub(super) fn words(bytes: [u8; 16]) -> [u32; 4] {
    let (fours, _) = bytes.as_chunks::<4>();
    let word = |index: usize| fours.get(index).map_or(0, |four| u32::from_be_bytes(*four));
    [word(0), word(1), word(2), word(3)]
}

/// Type and length, as they begin a message and an attribute.
#[inline(always)]
pub(super) const fn type_and_length(kind: u16, length: usize) -> [u8; 4] {
    let [t0, t1] = kind.to_be_bytes();
    // No reply is longer than REPLY_ROOM or its request, whose length has 16 bits too.
    let [l0, l1] = (length as u16).to_be_bytes();
    [t0, t1, l0, l1]
}

/// The first four bytes of an address attribute's value.
#[inline(always)]
pub(super) const fn family_and_port(family: u8, port: u16) -> [u8; 4] {
    let [p0, p1] = port.to_be_bytes();
    [0, family, p0, p1]
}
