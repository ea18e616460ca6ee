//! Replies with the magic cookie, decoded by `stun_codec`.

use super::attributes::kind;
use super::{BindingResponse, MappedAttribute};
use bytecodec::DecodeExt as _;
use stun_codec::rfc5389::attributes::{
    ErrorCode, MappedAddress, UnknownAttributes, XorMappedAddress, XorMappedAddress2,
};
use stun_codec::rfc5780::attributes::OtherAddress;
use stun_codec::{Attribute as _, MessageClass, MessageDecoder, define_attribute_enums};

// SOFTWARE and FINGERPRINT stay undecoded. The codec would reject a whole reply for a SOFTWARE that is
// not UTF-8, and it computes FINGERPRINT over its own padding instead of the padding received.
define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [MappedAddress, XorMappedAddress, XorMappedAddress2, ErrorCode, UnknownAttributes, OtherAddress]
);

/// Parses a Binding response whose header is already checked. Accepts unknown attributes, because the
/// operator wants to see what the server sends.
///
/// # Errors
/// Why `bytes` are no valid reply.
pub(super) fn parse(bytes: &[u8]) -> Result<BindingResponse, &'static str> {
    let message = MessageDecoder::<Attribute>::new()
        .decode_from_bytes(bytes)
        .ok()
        .and_then(|message| message.ok())
        .ok_or("invalid attribute")?;
    if message.class() == MessageClass::ErrorResponse {
        let error = message.get_attribute::<ErrorCode>().ok_or("no error code")?;
        let unknown = message.get_attribute::<UnknownAttributes>();
        return Ok(BindingResponse::Error {
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
        Some(mapped) => (mapped, MappedAttribute::Xor),
        None => (plain().ok_or("no mapped address")?, MappedAttribute::Plain),
    };
    let software = message.unknown_attributes().find(|raw| raw.get_type().as_u16() == kind::SOFTWARE);
    Ok(BindingResponse::Success {
        mapped,
        from,
        software: software.map(|raw| String::from_utf8_lossy(raw.value()).into_owned()),
        other_address: message.get_attribute::<OtherAddress>().map(OtherAddress::address),
    })
}
