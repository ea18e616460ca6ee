//! Replies with magic cookie, read by `stun_codec`.

use super::{MappedFrom, Reply, SOFTWARE};
use bytecodec::DecodeExt as _;
use stun_codec::rfc5389::attributes::{
    ErrorCode, MappedAddress, UnknownAttributes, XorMappedAddress, XorMappedAddress2,
};
use stun_codec::rfc5780::attributes::OtherAddress;
use stun_codec::{Attribute as _, MessageClass, MessageDecoder, define_attribute_enums};

// Left out, and so raw: SOFTWARE, since the codec would refuse a whole reply for text that is not
// UTF-8, and FINGERPRINT, since the codec reckons it over padding of its own instead of the padding
// that was sent.
define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [MappedAddress, XorMappedAddress, XorMappedAddress2, ErrorCode, UnknownAttributes, OtherAddress]
);

/// Reads a Binding response whose header is checked already. An unknown attribute is no reason to
/// refuse it: this is a tool to see what a server does.
///
/// # Errors
/// Why it is no reply.
pub(super) fn read(bytes: &[u8]) -> Result<Reply, &'static str> {
    let message = MessageDecoder::<Attribute>::new()
        .decode_from_bytes(bytes)
        .ok()
        .and_then(|message| message.ok())
        .ok_or("an attribute of it is wrong")?;
    if message.class() == MessageClass::ErrorResponse {
        let error = message.get_attribute::<ErrorCode>().ok_or("it tells no error code")?;
        let unknown = message.get_attribute::<UnknownAttributes>();
        return Ok(Reply::Error {
            code: error.code(),
            reason: error.reason_phrase().to_owned(),
            unknown: unknown
                .map(|list| list.unknowns().iter().map(|t| t.as_u16()).collect())
                .unwrap_or_default(),
        });
    }
    let xor = message.get_attribute::<XorMappedAddress>().map(XorMappedAddress::address);
    let draft = || message.get_attribute::<XorMappedAddress2>().map(XorMappedAddress2::address);
    let plain = || message.get_attribute::<MappedAddress>().map(MappedAddress::address);
    let (mapped, from) = match xor.or_else(draft) {
        Some(mapped) => (mapped, MappedFrom::Xor),
        None => (plain().ok_or("it tells no mapped address")?, MappedFrom::Plain),
    };
    let software = message.unknown_attributes().find(|raw| raw.get_type().as_u16() == SOFTWARE);
    Ok(Reply::Success {
        mapped,
        from,
        software: software.map(|raw| String::from_utf8_lossy(raw.value()).into_owned()),
        other_address: message.get_attribute::<OtherAddress>().map(OtherAddress::address),
    })
}
