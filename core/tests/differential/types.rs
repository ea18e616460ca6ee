//! The core against `stun-types`: what it would answer, and the bytes that it would write.

use crate::{ask, attributes, canonical, outcome};
use proptest::prelude::*;
use std::net::SocketAddr;
use stun_types::attribute::*;
use stun_types::message::*;
use xstun_core::outcome::Outcome;
use xstun_testkit::messages::{
    self, BINDING_REQUEST, COOKIE, classic, fingerprinted, message, with_right_length,
};
use xstun_testkit::reference::is_registered;
use xstun_testkit::strategies::{self, mutated_request, source};

const CHANGE_REQUEST: u16 = 0x0003;
const SHA1: u16 = 0x0008;
const SHA256: u16 = 0x001c;
const FINGERPRINT: u16 = 0x8028;

/// What a server that leaves the reading to stun-types makes of `bytes`: silence, or the required types
/// that it cannot understand, none of which is success.
fn its_verdict(bytes: &[u8]) -> Option<Vec<u16>> {
    let request = Message::from_bytes(bytes).ok()?;
    if !request.has_class(MessageClass::Request) || !request.has_method(BINDING) {
        return None;
    }
    let mut unknown = Vec::new();
    for (_, attribute) in request.iter_attributes() {
        let kind = attribute.get_type().value();
        if attribute.get_type().comprehension_required() && !is_registered(kind) && !unknown.contains(&kind) {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

/// The reply that stun-types writes to `request`: success, or 420 with these types and this reason.
fn written(request: &[u8], source: SocketAddr, rejected: Option<(&[u16], &str)>) -> Vec<u8> {
    let request = Message::from_bytes(request).unwrap();
    let mut reply = match rejected {
        None => {
            let mut reply = Message::builder_success(&request, MessageWriteVec::new());
            let address = XorMappedAddress::new(canonical(source), request.transaction_id());
            reply.add_attribute(&address).unwrap();
            reply
        }
        Some((unknown, reason)) => {
            let unknown: Vec<AttributeType> = unknown.iter().map(|kind| (*kind).into()).collect();
            let mut reply = Message::builder_error(&request, MessageWriteVec::new());
            reply.add_attribute(&ErrorCode::new(420, reason).unwrap()).unwrap();
            reply.add_attribute(&UnknownAttributes::new(&unknown)).unwrap();
            reply
        }
    };
    if request.has_attribute(Fingerprint::TYPE) {
        reply.add_fingerprint().unwrap();
    }
    reply.finish()
}

/// Why the core and stun-types may rightly part over `bytes`, which have the cookie.
fn known_difference(bytes: &[u8]) -> Option<&'static str> {
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if length + 20 < bytes.len() {
        return Some("it takes what lies behind the message for attributes");
    }
    let attributes = whole_attributes(bytes.get(20..).unwrap_or_default());
    let kinds: Vec<u16> = attributes.iter().map(|(kind, _)| *kind).collect();
    let behind = |kinds: &[u16], kind| kinds.iter().position(|found| *found == kind).map(|at| at + 1);
    if behind(&kinds, FINGERPRINT).is_some_and(|at| at < kinds.len()) {
        return Some("it accepts a FINGERPRINT that is not last");
    }
    let first = kinds.iter().position(|kind| [SHA1, SHA256].contains(kind));
    let tails: [&[u16]; 4] = [&[], &[FINGERPRINT], &[SHA256], &[SHA256, FINGERPRINT]];
    if first.is_some_and(|first| {
        !tails[..if kinds[first] == SHA1 { 4 } else { 2 }].contains(&&kinds[first + 1..])
    }) {
        return Some("it looks no further than what must not stand behind the integrity");
    }
    let asks = |value: &[u8]| !matches!(value, [_, _, _, flags] if flags & 6 == 0);
    let change = attributes.iter().find(|(kind, _)| *kind == CHANGE_REQUEST);
    change.filter(|(_, value)| asks(value)).map(|_| "it does not know CHANGE-REQUEST")
}

/// As [`attributes`], of a message that need not be well formed: those before the first fault.
fn whole_attributes(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    let mut attributes = Vec::new();
    while let [t0, t1, l0, l1, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(after) = behind.get(length.next_multiple_of(4)..) else { break };
        attributes.push((u16::from_be_bytes([*t0, *t1]), &behind[..length]));
        rest = after;
    }
    attributes
}

/// A request that stun-types wrote.
fn encoded_request() -> impl Strategy<Value = Vec<u8>> {
    type Boxed = Box<dyn AttributeWrite>;
    let text = "[ -~]{0,60}";
    let raw = |kind: u16, value: Vec<u8>| -> Boxed {
        Box::new(RawAttribute::new_owned(kind.into(), value.into_boxed_slice()))
    };
    let attribute = prop_oneof![
        text.prop_map(|text| -> Boxed { Box::new(Software::new(&text).unwrap()) }),
        text.prop_map(|text| -> Boxed { Box::new(Username::new(&text).unwrap()) }),
        text.prop_map(|text| -> Boxed { Box::new(Realm::new(&text).unwrap()) }),
        text.prop_map(|text| -> Boxed { Box::new(Nonce::new(&text).unwrap()) }),
        any::<[u8; 32]>().prop_map(|hash| -> Boxed { Box::new(Userhash::new(hash)) }),
        Just(PasswordAlgorithmValue::SHA256).prop_map(|it| -> Boxed { Box::new(PasswordAlgorithm::new(it)) }),
        Just(PasswordAlgorithmValue::MD5)
            .prop_map(|it| -> Boxed { Box::new(PasswordAlgorithms::new(&[it])) }),
        (source(), any::<u128>())
            .prop_map(|(address, id)| -> Boxed { Box::new(XorMappedAddress::new(address, id.into())) }),
        source().prop_map(|address| -> Boxed { Box::new(AlternateServer::new(address)) }),
        "[a-z.]{1,30}".prop_map(|domain| -> Boxed { Box::new(AlternateDomain::new(&domain)) }),
        (0x4000u16..0x8000, prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(move |(kind, value)| raw(kind, value)),
        (0xc000u16.., prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(move |(kind, value)| raw(kind, value)),
    ];
    (any::<u128>(), prop::collection::vec(attribute, 0..6), any::<[bool; 3]>()).prop_map(
        |(id, attributes, [sha1, sha256, print])| {
            let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
            let mut message = Message::builder(kind, id.into(), MessageWriteVec::new());
            attributes.iter().for_each(|attribute| message.add_attribute(attribute.as_ref()).unwrap());
            let credentials = ShortTermCredentials::new("secret".to_owned()).into();
            for (wanted, algorithm) in
                [(sha1, IntegrityAlgorithm::Sha1), (sha256, IntegrityAlgorithm::Sha256)]
            {
                if wanted {
                    message.add_message_integrity(&credentials, algorithm).unwrap();
                }
            }
            if print {
                message.add_fingerprint().unwrap();
            }
            message.finish()
        },
    )
}

/// The core's reply to `request` is what stun-types makes of it and, to the byte, what it would write.
fn same(request: &[u8], source: SocketAddr) -> Result<(), TestCaseError> {
    let (outcome, reply) = ask(request, source);
    match its_verdict(request) {
        None => prop_assert!(reply.is_empty(), "{:?} for what it does not answer", outcome),
        Some(unknown) if unknown.is_empty() => {
            prop_assert_eq!(outcome, Outcome::Answered);
            prop_assert_eq!(reply, written(request, source, None));
        }
        Some(unknown) => {
            prop_assert_eq!(outcome, Outcome::UnknownAttribute);
            let read = Message::from_bytes(&reply).unwrap();
            let code = read.attribute::<ErrorCode>().unwrap();
            let named = read.raw_attribute(UnknownAttributes::TYPE).unwrap().value.len() / 2;
            prop_assert!((1..=unknown.len().min(12)).contains(&named), "it names {} types", named);
            prop_assert!(["", "Unknown Attribute"].contains(&code.reason()));
            prop_assert_eq!(&reply, &written(request, source, Some((&unknown[..named], code.reason()))));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(strategies::cases(500))]

    #[test]
    fn what_it_writes_gets_the_reply_that_it_would_write(request in encoded_request(), source in source()) {
        prop_assert!(its_verdict(&request).is_some());
        same(&request, source)?;
    }

    #[test]
    fn both_decide_alike_whatever_happens_to_a_request(request in mutated_request(), source in source()) {
        if request.get(4..8) == Some(&COOKIE) && known_difference(&request).is_none() {
            same(&request, source)?;
        }
    }
}

#[test]
fn difference_it_takes_what_lies_behind_the_message_for_attributes() {
    let mut request = message(BINDING_REQUEST, &[]);
    request.extend_from_slice(&[0x40, 0, 0, 0]);
    assert_eq!(its_verdict(&request), Some(vec![0x4000]));
    assert_eq!(outcome(&request), Outcome::BadLength);
    assert!(known_difference(&request).is_some());
}

#[test]
fn difference_it_accepts_a_fingerprint_that_is_not_last() {
    let mut request = fingerprinted(message(BINDING_REQUEST, &[]));
    // It takes the sum as if the message ended with the FINGERPRINT.
    request.extend_from_slice(&[0x80, 0x22, 0, 0]);
    let request = with_right_length(request);
    assert_eq!(its_verdict(&request), Some(vec![]));
    assert_eq!(outcome(&request), Outcome::BadFingerprint);
    assert!(known_difference(&request).is_some());
}

#[test]
fn difference_it_looks_no_further_than_what_must_not_stand_behind_the_integrity() {
    let signed = || message(BINDING_REQUEST, &[(SHA1, &[0; 20]), (0x8022, b"late")]);
    let overrun = with_right_length([signed(), vec![0x80, 0x22, 0, 9]].concat());
    assert_eq!(its_verdict(&overrun), Some(vec![]));
    assert_eq!(outcome(&overrun), Outcome::BadAttribute);
    let mut wrong = fingerprinted(signed());
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(its_verdict(&wrong), Some(vec![]));
    assert_eq!(outcome(&wrong), Outcome::BadFingerprint);
    assert!([overrun, wrong].iter().all(|request| known_difference(request).is_some()));
}

#[test]
fn difference_it_does_not_know_change_request() {
    let short = message(BINDING_REQUEST, &[(CHANGE_REQUEST, &[0; 3])]);
    let asking = message(BINDING_REQUEST, &[(CHANGE_REQUEST, &[0, 0, 0, 2])]);
    assert_eq!(its_verdict(&short), Some(vec![]));
    assert_eq!(its_verdict(&asking), Some(vec![]));
    assert_eq!((outcome(&short), outcome(&asking)), (Outcome::BadAttribute, Outcome::UnknownAttribute));
    assert!([short, asking].iter().all(|request| known_difference(request).is_some()));
}

#[test]
fn difference_it_has_no_classic_stun() {
    let request = classic(BINDING_REQUEST, &[]);
    assert!(matches!(Message::from_bytes(&request), Err(StunParseError::NotStun)));
    assert_eq!(outcome(&request), Outcome::AnsweredClassic);
}

/// Its ready-made 420 would lend an attacker strength.
#[test]
fn difference_its_420_is_longer_than_its_request_and_names_a_type_twice() {
    let bytes = message(BINDING_REQUEST, &[(0x4001, &[]), (0x4001, &[])]);
    let request = Message::from_bytes(&bytes).unwrap();
    let its = Message::check_attribute_types(&request, &[], &[], MessageWriteVec::new()).unwrap().finish();
    assert!(its.len() > 2 * bytes.len(), "{} bytes", its.len());
    let listed = |reply: &[u8]| -> Vec<u8> {
        let found = attributes(reply).into_iter().find(|(kind, ..)| *kind == 0x000a);
        found.expect("UNKNOWN-ATTRIBUTES").1.to_vec()
    };
    assert_eq!(listed(&its), [0x40, 1, 0x40, 1]);
    let (_, ours) = ask(&bytes, crate::SOURCE.parse().unwrap());
    assert_eq!((ours.len(), listed(&ours)), (36, vec![0x40, 1]));
}

/// Unlike stun_codec it has every method right, which makes it a judge of the core.
#[test]
fn every_other_type_that_it_writes_gets_silence() {
    for method in 0..0x1000 {
        for class in
            [MessageClass::Request, MessageClass::Indication, MessageClass::Success, MessageClass::Error]
        {
            let kind = MessageType::from_class_method(class, Method::new(method));
            let bytes = Message::builder(kind, 7.into(), MessageWriteVec::new()).finish();
            let expected = match (method, class) {
                (1, MessageClass::Request) => Outcome::Answered,
                (1, MessageClass::Indication) => Outcome::Indication,
                (1, _) => Outcome::Response,
                _ => Outcome::OtherMethod,
            };
            assert_eq!(outcome(&bytes), expected, "{kind}");
        }
    }
    assert_eq!(messages::BINDING_REQUEST, BINDING.value());
}
