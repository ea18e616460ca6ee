use super::{Algorithm, Challenge, Login};
use crate::cli::Mechanism;
use crate::client::login::challenge::find;
use crate::client::message::Id;
use crate::outcome::Outcome;
use crate::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, Realm, ShortTerm};
use crate::stun::{Exchange, Extras, Policy, REPLY_ROOM, respond};
use std::sync::Arc;

fn login(mechanism: Mechanism, password: &str) -> Login {
    Login { name: "anna".to_owned(), password: password.to_owned(), mechanism }
}

fn id() -> Id {
    Id::new(*b"abcdefghijkl")
}

fn serve(credentials: Credentials) -> Policy {
    let extras = Extras { credentials: Some(Arc::new(credentials)), ..Extras::default() };
    Policy { extras: Some(extras), ..Policy::default() }
}

fn ask(policy: &Policy, request: &[u8]) -> (Outcome, Vec<u8>) {
    let mut buffer = [request, &[0; REPLY_ROOM]].concat();
    let source = "192.0.2.7:4000".parse().unwrap();
    let exchange = Exchange::datagram(&source, || "192.0.2.1:3478".parse().unwrap());
    let answer = respond(&mut buffer, request.len(), exchange, policy);
    (answer.outcome, buffer[..answer.length].to_vec())
}

const USERS: [(&[u8], &[u8]); 1] = [(b"anna", b"correct horse")];

fn long_term() -> Policy {
    let nonces = Nonces::new([3; 32], CoarseClock::default());
    serve(Credentials::LongTerm(LongTerm::new(USERS, Realm::new("example.org").unwrap(), nonces)))
}

#[test]
fn a_challenge_is_met_with_the_algorithm_and_the_hidden_name_that_it_asks_for() {
    for fingerprint in [false, true] {
        let (policy, right) = (long_term(), login(Mechanism::LongTerm, "correct horse"));
        let first = right.first(id(), fingerprint);
        assert!(!first.is_signed());
        let (outcome, reply) = ask(&policy, &first.bytes);
        assert_eq!(outcome, Outcome::Unauthenticated);
        let challenge = Challenge::read(&reply).unwrap().unwrap();
        assert_eq!(challenge.algorithms, Some((vec![0, 2, 0, 0], Algorithm::Sha256)));
        assert!(challenge.anonymous);

        let second = right.meet(&challenge, id(), fingerprint);
        assert!(find(&second.bytes, 0x0006).is_none(), "the name is hidden");
        let (outcome, reply) = ask(&policy, &second.bytes);
        assert_eq!(outcome, Outcome::Answered);
        assert!(second.is_answered_by(&reply));
        let mut forged = reply;
        forged[27] ^= 1;
        assert!(!second.is_answered_by(&forged));

        let wrong = login(Mechanism::LongTerm, "wrong").meet(&challenge, id(), fingerprint);
        assert_eq!(ask(&policy, &wrong.bytes).0, Outcome::Unauthenticated);
    }
}

#[test]
fn a_server_of_rfc_5389_is_met_with_md5_and_the_name() {
    let challenge = Challenge {
        code: 401,
        realm: b"example.org".to_vec(),
        nonce: b"abc".to_vec(),
        algorithms: None,
        anonymous: false,
    };
    let question = login(Mechanism::LongTerm, "correct horse").meet(&challenge, id(), false);
    // Proven, though with a nonce of nobody's.
    assert_eq!(ask(&long_term(), &question.bytes).0, Outcome::StaleNonce);
}

#[test]
fn a_short_term_credential_is_proven_at_once() {
    let policy = serve(Credentials::ShortTerm(ShortTerm::new(USERS)));
    let question = login(Mechanism::ShortTerm, "correct horse").first(id(), true);
    let (outcome, reply) = ask(&policy, &question.bytes);
    assert_eq!(outcome, Outcome::Answered);
    assert!(question.is_answered_by(&reply));
    let unsigned = ask(&Policy::default(), &question.bytes).1;
    assert!(!question.is_answered_by(&unsigned), "who does not know the password cannot answer");
    let wrong = login(Mechanism::ShortTerm, "wrong").first(id(), true);
    assert_eq!(ask(&policy, &wrong.bytes).0, Outcome::Unauthenticated);
}

/// RFC 8489 §9.2.5.
#[test]
fn a_challenge_that_was_bid_down_is_not_met() {
    let (_, reply) = ask(&long_term(), &login(Mechanism::LongTerm, "x").first(id(), false).bytes);
    let (start, _) = find(&reply, 0x8002).unwrap();
    assert_eq!(start + 8, reply.len(), "PASSWORD-ALGORITHMS is the last attribute");
    assert!(Challenge::read(&reply[..start]).unwrap_err().contains("took out"));
    let mut unknown = reply.clone();
    unknown[start + 5] = 9;
    assert_eq!(Challenge::read(&unknown), Ok(None), "no algorithm that is known here");
    let success = ask(&Policy::default(), &reply_to()).1;
    assert_eq!(Challenge::read(&success), Ok(None));
}

fn reply_to() -> Vec<u8> {
    login(Mechanism::LongTerm, "x").first(id(), false).bytes
}
