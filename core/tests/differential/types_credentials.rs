//! Credentials against `stun-types`, which knows all of RFC 8489 §9's mechanisms and algorithms.

use crate::{SOURCE, ask_by};
use proptest::prelude::*;
use std::sync::Arc;
use stun_types::attribute::*;
use stun_types::message::*;
use xstun_core::outcome::Outcome;
use xstun_core::stun::credentials::{
    CoarseClock, Credentials, LongTerm, Nonces, Realm as ServedRealm, ShortTerm, userhash,
};
use xstun_core::stun::{Extras, Policy};
use xstun_testkit::messages::{BINDING_REQUEST, message};
use xstun_testkit::strategies;

const REALM: &str = "example.org";

fn policy(credentials: Credentials) -> Policy {
    let extras = Extras { credentials: Some(Arc::new(credentials)), ..Extras::default() };
    Policy { extras: Some(extras), ..Policy::default() }
}

fn short_term(name: &str, password: &str) -> Policy {
    policy(Credentials::ShortTerm(ShortTerm::new([(name.as_bytes(), password.as_bytes())])))
}

fn long_term(name: &str, password: &str) -> Policy {
    let nonces = Nonces::new([7; 32], CoarseClock::default());
    let users = [(name.as_bytes(), password.as_bytes())];
    policy(Credentials::LongTerm(LongTerm::new(users, ServedRealm::new(REALM).unwrap(), nonces)))
}

fn ask(policy: &Policy, request: &[u8]) -> (Outcome, Vec<u8>) {
    ask_by(policy, request, SOURCE.parse().unwrap())
}

fn request(attributes: &[&dyn AttributeWrite]) -> MessageWriteVec {
    let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
    attributes.iter().for_each(|attribute| message.add_attribute(*attribute).unwrap());
    message
}

/// Realm and nonce of the server's challenge, as stun-types reads them, and its one password algorithm.
fn challenge(policy: &Policy) -> (Realm, Nonce, PasswordAlgorithms) {
    let (outcome, reply) = ask(policy, &message(BINDING_REQUEST, &[]));
    let reply = Message::from_bytes(&reply).unwrap();
    assert_eq!((outcome, reply.attribute::<ErrorCode>().unwrap().code()), (Outcome::Unauthenticated, 401));
    let algorithms = reply.attribute::<PasswordAlgorithms>().unwrap();
    assert_eq!(algorithms.algorithms(), [PasswordAlgorithmValue::SHA256]);
    assert_eq!(reply.iter_attributes().count(), 4, "and an ERROR-CODE");
    (reply.attribute().unwrap(), reply.attribute().unwrap(), algorithms)
}

fn mapped(reply: &Message) -> String {
    reply.attribute::<XorMappedAddress>().unwrap().addr(reply.transaction_id()).to_string()
}

fn word() -> impl Strategy<Value = String> {
    "[!-~ü語]{1,24}"
}

proptest! {
    #![proptest_config(strategies::cases(500))]

    #[test]
    fn both_sides_prove_a_short_term_credential_to_each_other(
        name in word(), password in word(), other in word(), [sha1, sha256, print]: [bool; 3],
    ) {
        let policy = short_term(&name, &password);
        let proven = |password: &str| {
            let credentials = ShortTermCredentials::new(password.to_owned()).into();
            let mut request = request(&[&Username::new(&name).unwrap()]);
            if sha1 || !sha256 {
                request.add_message_integrity(&credentials, IntegrityAlgorithm::Sha1).unwrap();
            }
            if sha256 {
                request.add_message_integrity(&credentials, IntegrityAlgorithm::Sha256).unwrap();
            }
            if print {
                request.add_fingerprint().unwrap();
            }
            (request.finish(), credentials)
        };
        let (request, credentials) = proven(&password);
        let (outcome, reply) = ask(&policy, &request);
        prop_assert_eq!(outcome, Outcome::Answered);
        let reply = Message::from_bytes(&reply).unwrap();
        let stronger = if sha256 { IntegrityAlgorithm::Sha256 } else { IntegrityAlgorithm::Sha1 };
        prop_assert_eq!(reply.validate_integrity(&credentials).unwrap(), stronger);
        prop_assert_eq!(reply.has_attribute(Fingerprint::TYPE), print);
        prop_assert_eq!(mapped(&reply), SOURCE);

        if other != password {
            let (request, _) = proven(&other);
            let (outcome, reply) = ask(&policy, &request);
            prop_assert_eq!(outcome, Outcome::Unauthenticated);
            let reply = Message::from_bytes(&reply).unwrap();
            prop_assert_eq!(reply.attribute::<ErrorCode>().unwrap().code(), 401);
            prop_assert!(!reply.has_attribute(MessageIntegrity::TYPE));
            prop_assert!(!reply.has_attribute(MessageIntegritySha256::TYPE));
        }
    }

    #[test]
    fn both_sides_prove_a_long_term_credential_to_each_other(
        name in word(), password in word(), other in word(), [sha256, anonymous]: [bool; 2],
    ) {
        let policy = long_term(&name, &password);
        let (realm, nonce, algorithms) = challenge(&policy);
        let proven = |password: &str| {
            let credentials: MessageIntegrityCredentials =
                LongTermKeyCredentials::new(name.clone(), password.to_owned(), realm.realm().to_owned()).into();
            let mut request = request(&[&realm, &nonce]);
            if anonymous {
                let hash = Userhash::compute(&name, realm.realm());
                request.add_attribute(&Userhash::new(hash)).unwrap();
            } else {
                request.add_attribute(&Username::new(&name).unwrap()).unwrap();
            }
            if sha256 {
                request.add_attribute(&algorithms).unwrap();
                request.add_attribute(&PasswordAlgorithm::new(PasswordAlgorithmValue::SHA256)).unwrap();
            }
            let algorithm = if sha256 { IntegrityAlgorithm::Sha256 } else { IntegrityAlgorithm::Sha1 };
            request.add_message_integrity(&credentials, algorithm).unwrap();
            (request.finish(), credentials, algorithm)
        };
        let (request, credentials, algorithm) = proven(&password);
        let (outcome, reply) = ask(&policy, &request);
        prop_assert_eq!(outcome, Outcome::Answered);
        let reply = Message::from_bytes(&reply).unwrap();
        prop_assert_eq!(reply.validate_integrity(&credentials).unwrap(), algorithm);
        prop_assert_eq!(mapped(&reply), SOURCE);

        if other != password {
            let (request, ..) = proven(&other);
            prop_assert_eq!(ask(&policy, &request).0, Outcome::Unauthenticated);
        }
    }

    #[test]
    fn both_make_the_same_userhash(name in word(), realm in word()) {
        prop_assert_eq!(userhash(name.as_bytes(), realm.as_bytes()), Userhash::compute(&name, &realm));
    }
}

#[test]
fn difference_it_takes_a_truncated_sha256() {
    let credentials: MessageIntegrityCredentials = ShortTermCredentials::new("secret".to_owned()).into();
    let key = credentials.make_key(IntegrityAlgorithm::Sha256);
    let mut covered = message(BINDING_REQUEST, &[(0x0006, b"anna")]);
    covered[3] += 20;
    let value = MessageIntegritySha256::compute(&[&covered], &key).unwrap();
    let short = [&covered[..], &[0, 0x1c, 0, 16], &value[..16]].concat();
    let read = Message::from_bytes(&short).unwrap();
    assert_eq!(read.validate_integrity(&credentials).unwrap(), IntegrityAlgorithm::Sha256);
    // RFC 8489 §14.6 allows it where a usage says so; that of Binding does not.
    assert_eq!(ask(&short_term("anna", "secret"), &short).0, Outcome::Unauthenticated);
}

/// RFC 8489 §9.2.4: without PASSWORD-ALGORITHM the key is that of MD5, whichever attribute proves it.
#[test]
fn difference_it_takes_the_key_from_the_integrity_and_not_from_the_algorithm() {
    let policy = long_term("anna", "secret");
    let (realm, nonce, _) = challenge(&policy);
    let credentials =
        LongTermKeyCredentials::new("anna".to_owned(), "secret".to_owned(), realm.realm().to_owned()).into();
    let mut request = request(&[&Username::new("anna").unwrap(), &realm, &nonce]);
    request.add_message_integrity(&credentials, IntegrityAlgorithm::Sha256).unwrap();
    assert_eq!(ask(&policy, &request.finish()).0, Outcome::Unauthenticated);
}
