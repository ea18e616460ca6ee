//! Strategies for requests: well formed, malformed, and anything in between.

use crate::messages::{Attribute, BINDING_REQUEST, COOKIE, fingerprinted, with_transaction};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// A configuration with this many cases, or as many as PROPTEST_CASES says: Miri and mutants need fewer, since they run
/// a hundred times as long.
pub fn cases(cases: u32) -> ProptestConfig {
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    if is_set { ProptestConfig::default() } else { ProptestConfig::with_cases(cases) }
}

/// Attribute types; those with a rule of their own come more often.
fn attribute_type() -> impl Strategy<Value = u16> {
    let named = prop::sample::select(vec![
        0x0002, 0x0003, 0x0006, 0x0008, 0x001c, 0x0020, 0x0024, 0x0025, 0x0026, 0x0027, 0x8022, 0x8028,
        0x8029, 0xc001,
    ]);
    prop_oneof![4 => named, 1 => 0u16..0x40, 1 => any::<u16>()]
}

/// A type with a value.
pub fn attribute() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let lengths = prop_oneof![Just(0usize), Just(4), Just(20), 0usize..40];
    (attribute_type(), lengths).prop_flat_map(|(kind, length)| {
        let value = prop::collection::vec(prop_oneof![Just(0), any::<u8>()], length);
        (Just(kind), value)
    })
}

/// A Binding request whose attributes are well formed, with or without cookie and FINGERPRINT.
pub fn request() -> impl Strategy<Value = Vec<u8>> {
    let attributes = prop::collection::vec(attribute(), 0..6);
    let transaction = any::<[u8; 16]>();
    let cookie = prop::bool::weighted(0.8);
    (attributes, transaction, cookie, any::<bool>()).prop_map(
        |(attributes, mut transaction, cookie, print)| {
            if cookie {
                transaction[..4].copy_from_slice(&COOKIE);
            }
            let attributes: Vec<Attribute> =
                attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            let message = with_transaction(BINDING_REQUEST, &transaction, &attributes);
            if print { fingerprinted(message) } else { message }
        },
    )
}

/// A request with some of its bytes changed, and cut or lengthened somewhere.
pub fn mutated_request() -> impl Strategy<Value = Vec<u8>> {
    (request(), changes()).prop_map(|(message, changes)| changes.apply(message))
}

/// Changes to a message on its way.
#[derive(Debug, Clone)]
pub struct Changes {
    bytes: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
    more: Vec<u8>,
}

impl Changes {
    /// Returns the changed message.
    pub fn apply(self, mut message: Vec<u8>) -> Vec<u8> {
        for (index, byte) in self.bytes {
            let index = index.index(message.len());
            message[index] = byte;
        }
        if let Some(cut) = self.cut {
            message.truncate(cut.index(message.len()));
        }
        message.extend(self.more);
        message
    }
}

/// Few changes, often none.
pub fn changes() -> impl Strategy<Value = Changes> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = prop::option::weighted(0.1, any::<prop::sample::Index>());
    let more = prop_oneof![9 => Just(vec![]), 1 => prop::collection::vec(any::<u8>(), 0..9)];
    (bytes, cut, more).prop_map(|(bytes, cut, more)| Changes { bytes, cut, more })
}

/// Any source, IPv4-mapped ones among them.
pub fn source() -> impl Strategy<Value = SocketAddr> {
    let mapped = any::<std::net::Ipv4Addr>().prop_map(|ip| IpAddr::V6(ip.to_ipv6_mapped()));
    let ip = prop_oneof![4 => any::<IpAddr>(), 1 => mapped];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}
