//! The replies of a server that requires credentials: their order among the other checks, their length, and
//! what another implementation makes of them.

use super::*;
use bytecodec::{DecodeExt as _, EncodeExt as _};
use std::string::String;
use stun_codec::rfc5389::attributes as codec;
use stun_codec::{MessageClass, MessageDecoder, MessageEncoder, TransactionId, rfc5389};
use xstun_testkit::messages::ID;

/// RFC 8489 §6.3 checks syntax first, then credentials, then unknown attributes. The reply to an
/// authenticated request has an integrity attribute whatever its class, and is no longer than the request.
#[test]
fn credentials_are_checked_before_unknown_attributes() {
    let policy = short_term();
    let unknown: Attribute = (0x4000, &[0; 40]);
    assert_eq!(ask(&policy, &message(BINDING_REQUEST, &[unknown])).0, BadRequest);
    for integrity in [Sha1, Sha256] {
        let request = authenticated(&[ANNA, unknown], integrity, ANNAS_PASSWORD);
        for (request, has_fingerprint) in [(request.clone(), false), (fingerprinted(request), true)] {
            let (outcome, reply) = ask(&policy, &request);
            assert_eq!(outcome, UnknownAttribute);
            assert_eq!(attribute(&reply, ERROR_CODE)[..4], [0, 0, 4, 20]);
            assert_eq!(attribute(&reply, UNKNOWN_ATTRIBUTES), [0x40, 0]);
            let start = reply.len() - integrity.length() - if has_fingerprint { 8 } else { 0 };
            assert!(integrity.is_right(ANNAS_PASSWORD, &reply, start));
            assert!(reply.len() <= request.len(), "{} for {}", reply.len(), request.len());
            let last = attributes(&reply).last().map(|(kind, _)| *kind);
            assert_eq!(last == Some(FINGERPRINT), has_fingerprint);
            if has_fingerprint {
                let covered = messages::with_right_length(reply[..reply.len() - 8].to_vec());
                assert_eq!(fingerprinted(covered), reply);
            }
        }
    }
}

#[test]
fn syntax_is_checked_before_credentials() {
    let policy = short_term();
    let mut too_long_name = authenticated(&[ANNA], Sha1, ANNAS_PASSWORD);
    too_long_name[23] = 40;
    assert_eq!(ask(&policy, &too_long_name), (BadAttribute, vec![]));
    let mut wrong_fingerprint = fingerprinted(authenticated(&[ANNA], Sha1, ANNAS_PASSWORD));
    *wrong_fingerprint.last_mut().unwrap() ^= 1;
    assert_eq!(ask(&policy, &wrong_fingerprint), (BadFingerprint, vec![]));
}

/// A reply with MESSAGE-INTEGRITY-SHA256 to a request with MESSAGE-INTEGRITY gains twelve bytes. The
/// attributes of the request are read to the end all the same.
#[test]
fn attributes_before_the_integrity_attribute_are_read_whatever_the_reply_has() {
    let policy = long_term(&CoarseClock::default());
    let nonce = issued_nonce(&policy);
    let key = sha256_key(b"anna", EXAMPLE_REALM.as_bytes(), ANNAS_PASSWORD);
    let attributes: [Attribute; 6] = [
        ANNA,
        (REALM, EXAMPLE_REALM.as_bytes()),
        (NONCE, &nonce),
        (PASSWORD_ALGORITHMS, SHA256),
        (PASSWORD_ALGORITHM, SHA256),
        (0x4000, &[]),
    ];
    for integrity in [Sha1, Sha256] {
        let request = authenticated(&attributes, integrity, &key);
        for request in [request.clone(), fingerprinted(request)] {
            let (outcome, reply) = ask(&policy, &request);
            assert_eq!(outcome, UnknownAttribute, "{integrity:?}");
            assert_eq!(attribute(&reply, UNKNOWN_ATTRIBUTES), [0x40, 0]);
            assert!(reply.len() <= request.len());
        }
    }
}

#[test]
fn a_classic_request_is_dropped() {
    for policy in [short_term(), long_term(&CoarseClock::default())] {
        assert!(policy.classic);
        for request in [classic(BINDING_REQUEST, &[]), classic(BINDING_REQUEST, &[ANNA])] {
            assert_eq!(ask(&policy, &request), (NoCookie, vec![]));
        }
    }
}

/// The documentation gives these lengths.
#[test]
fn a_challenge_is_as_short_as_possible() {
    for (realm, length) in [("r", 72), ("org", 72), ("example.org", 80), (&"x".repeat(Realm::MAX), 116)] {
        let policy = long_term_of(USERS, realm, Nonces::new([7; 32], CoarseClock::default()));
        let bare = message(BINDING_REQUEST, &[]);
        assert_eq!(ask(&policy, &bare).1.len(), length, "{realm}");
        assert_eq!(ask(&policy, &fingerprinted(bare)).1.len(), length + 8, "{realm}");
    }
    assert_eq!(20 + 8 + Challenge::MAX, 116, "REPLY_ROOM is checked against the longest challenge");
    let bare = message(BINDING_REQUEST, &[]);
    assert_eq!(ask(&short_term(), &bare).1.len(), 28);
    assert_eq!(ask(&short_term(), &fingerprinted(bare)).1.len(), 36);
}

/// `stun_codec` as the client: it computes the integrity attribute of the request, and verifies that of the
/// reply.
#[test]
fn another_codec_authenticates_and_verifies_the_reply() {
    use stun_codec::rfc5389::Attribute;
    let policy = long_term(&CoarseClock::default());
    let nonce = String::from_utf8(issued_nonce(&policy)).unwrap();
    let name = codec::Username::new("anna".into()).unwrap();
    let realm = codec::Realm::new(EXAMPLE_REALM.into()).unwrap();
    let mut request = stun_codec::Message::<Attribute>::new(
        MessageClass::Request,
        rfc5389::methods::BINDING,
        TransactionId::new(ID),
    );
    request.add_attribute(name.clone());
    request.add_attribute(realm.clone());
    request.add_attribute(codec::Nonce::new(nonce).unwrap());
    let integrity =
        codec::MessageIntegrity::new_long_term_credential(&request, &name, &realm, "correct horse").unwrap();
    request.add_attribute(integrity);
    let bytes = MessageEncoder::new().encode_into_bytes(request).unwrap();
    let (outcome, reply) = ask(&policy, &bytes);
    assert_eq!(outcome, Answered);
    let reply = MessageDecoder::<Attribute>::new().decode_from_bytes(&reply).unwrap().unwrap();
    let integrity = reply.get_attribute::<codec::MessageIntegrity>().unwrap();
    integrity.check_long_term_credential(&name, &realm, "correct horse").unwrap();
    assert!(integrity.check_long_term_credential(&name, &realm, "wrong").is_err());
    assert_eq!(reply.get_attribute::<codec::XorMappedAddress>().unwrap().address(), source());
}
