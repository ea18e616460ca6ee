//! The core against `stun_codec`.

use crate::{ask, attributes, canonical, outcome};
use bytecodec::{DecodeExt, EncodeExt};
use proptest::prelude::*;
use std::net::SocketAddr;
use stun_codec::{
    DecodedMessage, Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId,
    define_attribute_enums,
    rfc5245::attributes::*,
    rfc5389::{attributes::*, methods::BINDING},
    rfc5766::attributes::*,
    rfc5780::attributes::{ChangeRequest, ResponsePort},
    rfc8016::attributes::*,
    rfc8656::attributes::*,
};
use xstun_core::outcome::Outcome;
use xstun_testkit::messages::{
    self, BINDING_REQUEST, COOKIE, ID, classic, fingerprinted, message, with_right_length,
};
use xstun_testkit::strategies::{self, source};

// All that stun_codec knows, but for what only means something with RFC 5780 switched on.
define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        MappedAddress,
        Username,
        MessageIntegrity,
        ErrorCode,
        UnknownAttributes,
        Realm,
        Nonce,
        XorMappedAddress,
        XorMappedAddress2,
        Software,
        AlternateServer,
        Fingerprint,
        Priority,
        UseCandidate,
        IceControlled,
        IceControlling,
        ChannelNumber,
        Lifetime,
        XorPeerAddress,
        Data,
        XorRelayAddress,
        EvenPort,
        RequestedTransport,
        DontFragment,
        ReservationToken,
        ChangeRequest,
        MobilityTicket,
        RequestedAddressFamily,
        AdditionalAddressFamily
    ]
);

fn decode(bytes: &[u8]) -> bytecodec::Result<DecodedMessage<Attribute>> {
    MessageDecoder::<Attribute>::new().decode_from_bytes(bytes)
}

/// The message, where stun_codec takes it for one.
fn decoded(bytes: &[u8]) -> Option<Message<Attribute>> {
    decode(bytes).ok()?.ok()
}

fn unknown_required(message: &Message<Attribute>) -> Vec<u16> {
    use stun_codec::Attribute as _;
    let unknown = message.unknown_attributes().map(|attribute| attribute.get_type());
    unknown.filter(|kind| kind.is_comprehension_required()).map(|kind| kind.as_u16()).collect()
}

/// Why the core and stun_codec may rightly part over a well-formed request with cookie.
fn known_difference(request: &[u8]) -> Option<&'static str> {
    let attributes = attributes(request);
    let is_integrity = |kind: u16| [0x0008, 0x001c].contains(&kind);
    let not_last = attributes.iter().any(|(kind, _, last)| *kind == 0x8028 && !last);
    let change = attributes.iter().find(|(kind, ..)| *kind == 0x0003);
    if not_last {
        Some("it accepts a FINGERPRINT that is not last")
    } else if change.is_some_and(|(_, value, _)| value.last().is_some_and(|flags| flags & 6 != 0)) {
        Some("it knows CHANGE-REQUEST, which is not served here")
    } else if attributes.iter().any(|(kind, ..)| is_integrity(*kind)) {
        Some("it heeds what follows MESSAGE-INTEGRITY")
    } else {
        None
    }
}

/// Required types that the core knows and stun_codec does not: RFC 3489's and old TURN's, RFC 7635's
/// and RFC 6062's, and what RFC 8489 added to RFC 5389.
const UNKNOWN_TO_STUN_CODEC: [u16; 13] =
    [0x02, 0x04, 0x05, 0x07, 0x0b, 0x10, 0x1b, 0x1c, 0x1d, 0x1e, 0x21, 0x2a, 0x03];

/// A request that stun_codec made, from the address that it may hold.
fn encoded_request() -> impl Strategy<Value = Vec<u8>> {
    let text = "[ -~]{0,60}";
    let attribute = prop_oneof![
        text.prop_map(|text| Attribute::from(Software::new(text).unwrap())),
        text.prop_map(|text| Attribute::from(Username::new(text).unwrap())),
        text.prop_map(|text| Attribute::from(Realm::new(text).unwrap())),
        text.prop_map(|text| Attribute::from(Nonce::new(text).unwrap())),
        any::<u32>().prop_map(|priority| Attribute::from(Priority::new(priority))),
        Just(Attribute::from(UseCandidate::new())),
        any::<u64>().prop_map(|tie| Attribute::from(IceControlling::new(tie))),
        any::<u64>().prop_map(|tie| Attribute::from(IceControlled::new(tie))),
        source().prop_map(|address| Attribute::from(MappedAddress::new(address))),
        source().prop_map(|address| Attribute::from(XorMappedAddress::new(address))),
        source().prop_map(|address| Attribute::from(AlternateServer::new(address))),
        Just(Attribute::from(DontFragment)),
        Just(Attribute::from(ChangeRequest::new(false, false))),
    ];
    let attributes = prop::collection::vec(attribute, 0..5);
    (any::<[u8; 12]>(), attributes, any::<bool>(), any::<bool>()).prop_map(|(id, attributes, sign, print)| {
        let mut message = Message::<Attribute>::new(MessageClass::Request, BINDING, TransactionId::new(id));
        for attribute in attributes {
            message.add_attribute(attribute);
        }
        if sign {
            let integrity = MessageIntegrity::new_short_term_credential(&message, "secret").unwrap();
            message.add_attribute(integrity);
        }
        if print {
            let fingerprint = Fingerprint::new(&message).unwrap();
            message.add_attribute(fingerprint);
        }
        MessageEncoder::new().encode_into_bytes(message).unwrap()
    })
}

fn success_for(request: &[u8], source: SocketAddr) -> Result<(), TestCaseError> {
    let (outcome, reply) = ask(request, source);
    prop_assert_eq!(outcome, Outcome::Answered);
    let reply = decoded(&reply).unwrap();
    prop_assert_eq!(reply.class(), MessageClass::SuccessResponse);
    prop_assert!(reply.transaction_id().as_bytes()[..] == request[8..20]);
    prop_assert_eq!(reply.get_attribute::<XorMappedAddress>().unwrap().address(), canonical(source));
    let asked = decoded(request).unwrap();
    let printed = |message: &Message<Attribute>| message.get_attribute::<Fingerprint>().is_some();
    prop_assert_eq!(printed(&reply), printed(&asked));
    Ok(())
}

proptest! {
    #![proptest_config(strategies::cases(500))]

    #[test]
    fn what_it_encodes_is_answered(request in encoded_request(), source in source()) {
        success_for(&request, source)?;
    }

    #[test]
    fn what_it_decodes_without_unknowns_is_answered(request in strategies::request(), source in source()) {
        if request[4..8] == COOKIE
            && let Some(message) = decoded(&request)
            && unknown_required(&message).is_empty()
            && known_difference(&request).is_none()
        {
            success_for(&request, source)?;
        }
    }

    #[test]
    fn what_is_unknown_to_it_and_not_known_here_is_named(request in strategies::request(), source in source()) {
        if request[4..8] == COOKIE
            && let Some(message) = decoded(&request)
            && known_difference(&request).is_none() {
            let mut unknown = unknown_required(&message);
            unknown.retain(|kind| !UNKNOWN_TO_STUN_CODEC.contains(kind));
            if let Some(first) = unknown.first() {
                let (outcome, reply) = ask(&request, source);
                prop_assert_eq!(outcome, Outcome::UnknownAttribute);
                let reply = decoded(&reply).unwrap();
                prop_assert_eq!(reply.get_attribute::<ErrorCode>().unwrap().code(), 420);
                let named = reply.get_attribute::<UnknownAttributes>().unwrap().unknowns();
                prop_assert_eq!(named[0].as_u16(), *first);
                prop_assert!(named.iter().all(|kind| unknown.contains(&kind.as_u16())));
            }
        }
    }

    #[test]
    fn what_is_no_request_to_it_gets_no_reply(request in strategies::mutated_request(), source in source()) {
        let other = |message: &Message<Attribute>| {
            message.class() != MessageClass::Request || message.method() != BINDING
        };
        if request.get(4..8) == Some(&COOKIE) && decoded(&request).is_some_and(|message| other(&message)) {
            prop_assert!(!ask(&request, source).0.is_reply());
        }
    }
}

/// The error code that stun_codec's own conversion would answer with.
fn its_error(bytes: &[u8]) -> u16 {
    let broken = decode(bytes).unwrap().unwrap_err();
    ErrorCode::from(broken.error().clone()).code()
}

#[test]
fn difference_it_answers_a_wrong_fingerprint_with_400() {
    let mut request = fingerprinted(message(BINDING_REQUEST, &[]));
    request[27] ^= 1;
    assert_eq!(its_error(&request), 400);
    assert_eq!(outcome(&request), Outcome::BadFingerprint);
}

#[test]
fn difference_it_answers_an_overrun_with_500() {
    let overrun = [message(BINDING_REQUEST, &[]), vec![0x80, 0x22, 0, 8, 1, 2, 3, 4]].concat();
    let overrun = with_right_length(overrun);
    assert_eq!(its_error(&overrun), 500);
    assert_eq!(outcome(&overrun), Outcome::BadAttribute);
}

#[test]
fn difference_it_accepts_a_fingerprint_that_is_not_last() {
    // It takes the sum as if the message ended with the FINGERPRINT.
    let mut request = fingerprinted(message(BINDING_REQUEST, &[]));
    request.extend_from_slice(&[0x80, 0x22, 0, 0]);
    let request = with_right_length(request);
    assert!(decoded(&request).unwrap().get_attribute::<Fingerprint>().is_some());
    assert_eq!(outcome(&request), Outcome::BadFingerprint);
}

#[test]
fn difference_it_refuses_software_that_is_no_utf_8() {
    let request = message(BINDING_REQUEST, &[(0x8022, &[0xff, 0xfe])]);
    assert!(decoded(&request).is_none());
    assert_eq!(outcome(&request), Outcome::Answered);
}

#[test]
fn difference_it_refuses_a_strange_length_of_what_means_nothing_here() {
    let request = message(BINDING_REQUEST, &[(0x0024, &[0; 3])]);
    assert!(decoded(&request).is_none());
    assert_eq!(outcome(&request), Outcome::Answered);
}

#[test]
fn difference_it_has_no_classic_stun() {
    let request = classic(BINDING_REQUEST, &[]);
    assert!(decode(&request).is_err());
    assert_eq!(outcome(&request), Outcome::AnsweredClassic);
}

#[test]
fn difference_it_does_not_know_sha_256_integrity() {
    let request = message(BINDING_REQUEST, &[(0x001c, &[0; 32])]);
    assert_eq!(unknown_required(&decoded(&request).unwrap()), [0x001c]);
    assert_eq!(outcome(&request), Outcome::Answered);
}

#[test]
fn difference_it_does_not_know_types_with_a_former_meaning() {
    for kind in UNKNOWN_TO_STUN_CODEC.into_iter().filter(|kind| *kind != 0x03) {
        let request = message(BINDING_REQUEST, &[(kind, &[0; 4])]);
        assert_eq!(unknown_required(&decoded(&request).unwrap()), [kind]);
        assert_eq!(outcome(&request), Outcome::Answered, "{kind:#06x}");
    }
}

#[test]
fn padding_is_unknown_to_both() {
    let request = message(BINDING_REQUEST, &[(0x0026, &[0; 64])]);
    assert_eq!(unknown_required(&decoded(&request).unwrap()), [0x0026]);
    assert_eq!(outcome(&request), Outcome::UnknownAttribute);
}

#[test]
fn difference_it_heeds_what_follows_message_integrity() {
    let request = message(BINDING_REQUEST, &[(0x0008, &[0; 20]), (0x4000, &[])]);
    assert_eq!(unknown_required(&decoded(&request).unwrap()), [0x4000]);
    assert_eq!(outcome(&request), Outcome::Answered);
}

#[test]
fn difference_it_reads_the_flags_of_change_request_one_bit_too_low() {
    let request = message(BINDING_REQUEST, &[(0x0003, &[0, 0, 0, 4])]);
    let message = decoded(&request).unwrap();
    let change = message.get_attribute::<ChangeRequest>().unwrap();
    assert!(!change.ip() && !change.port(), "RFC 5780 §7.2: 4 is \"change IP\"");
    assert_eq!(outcome(&request), Outcome::UnknownAttribute);
}

#[test]
fn difference_it_writes_no_port_into_response_port() {
    let mut message = Message::<stun_codec::rfc5780::Attribute>::new(
        MessageClass::Request,
        BINDING,
        TransactionId::new(ID),
    );
    message.add_attribute(ResponsePort::new(40_001));
    let request = MessageEncoder::new().encode_into_bytes(message).unwrap();
    assert_eq!(request[20..], [0, 0x27, 0, 4, 0, 0, 0, 0]);
    assert_eq!(outcome(&request), Outcome::UnknownAttribute);
}

#[test]
fn difference_it_encodes_methods_from_0x010_wrongly() {
    let method = Method::new(0x010).unwrap();
    let message = Message::<Attribute>::new(MessageClass::Request, method, TransactionId::new(ID));
    let encoded = MessageEncoder::new().encode_into_bytes(message).unwrap();
    // RFC 8489 §5: the method's fifth bit stands above the lower class bit.
    assert_eq!(encoded[..2], 0x0200u16.to_be_bytes());
    let right = messages::message(0x0020, &[]);
    assert_eq!(decoded(&right).unwrap().method().as_u16(), 0x010, "it decodes them rightly");
    assert_eq!(outcome(&right), Outcome::OtherMethod);
}
