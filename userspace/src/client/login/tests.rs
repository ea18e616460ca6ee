use super::challenge::PasswordAlgorithm;
use super::{AuthChallenge, Login};
use crate::cli::Mechanism;
use crate::client::message::TransactionId;
use crate::client::message::attributes::find;
use std::sync::Arc;
use xstun_core::outcome::Outcome;
use xstun_core::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, Realm, ShortTerm};
use xstun_core::stun::{Exchange, Extras, Policy, REPLY_ROOM, respond};

fn login(mechanism: Mechanism, password: &str) -> Login {
    Login { name: "anna".to_owned(), password: password.to_owned(), mechanism }
}

fn id() -> TransactionId {
    TransactionId::new(*b"abcdefghijkl")
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
fn a_challenge_is_answered_with_its_algorithm_and_userhash() {
    for fingerprint in [false, true] {
        let (policy, right) = (long_term(), login(Mechanism::LongTerm, "correct horse"));
        let first = right.first_request(id(), fingerprint);
        assert!(!first.is_authenticated());
        let (outcome, reply) = ask(&policy, &first.bytes);
        assert_eq!(outcome, Outcome::Unauthenticated);
        let challenge = AuthChallenge::parse(&reply).unwrap().unwrap();
        assert_eq!(challenge.algorithms, Some((vec![0, 2, 0, 0], PasswordAlgorithm::Sha256)));
        assert!(challenge.anonymous);

        let second = right.authenticated_request(&challenge, id(), fingerprint);
        assert!(find(&second.bytes, 0x0006).is_none(), "the name is hidden");
        let (outcome, reply) = ask(&policy, &second.bytes);
        assert_eq!(outcome, Outcome::Answered);
        assert!(second.authenticates(&reply));
        let mut forged = reply;
        forged[27] ^= 1;
        assert!(!second.authenticates(&forged));

        let wrong = login(Mechanism::LongTerm, "wrong").authenticated_request(&challenge, id(), fingerprint);
        assert_eq!(ask(&policy, &wrong.bytes).0, Outcome::Unauthenticated);
    }
}

#[test]
fn a_server_of_rfc_5389_gets_md5_and_username() {
    let challenge = AuthChallenge {
        code: 401,
        realm: b"example.org".to_vec(),
        nonce: b"abc".to_vec(),
        algorithms: None,
        anonymous: false,
    };
    let request = login(Mechanism::LongTerm, "correct horse").authenticated_request(&challenge, id(), false);
    // Authenticated, but the nonce is not the server's.
    assert_eq!(ask(&long_term(), &request.bytes).0, Outcome::StaleNonce);
}

#[test]
fn a_short_term_credential_is_sent_at_once() {
    let policy = serve(Credentials::ShortTerm(ShortTerm::new(USERS)));
    let request = login(Mechanism::ShortTerm, "correct horse").first_request(id(), true);
    let (outcome, reply) = ask(&policy, &request.bytes);
    assert_eq!(outcome, Outcome::Answered);
    assert!(request.authenticates(&reply));
    let unsigned = ask(&Policy::default(), &request.bytes).1;
    assert!(!request.authenticates(&unsigned), "an unauthenticated reply is rejected");
    let wrong = login(Mechanism::ShortTerm, "wrong").first_request(id(), true);
    assert_eq!(ask(&policy, &wrong.bytes).0, Outcome::Unauthenticated);
}

/// RFC 8489 §9.2.5.
#[test]
fn a_bid_down_challenge_is_not_answered() {
    let (_, reply) = ask(&long_term(), &login(Mechanism::LongTerm, "x").first_request(id(), false).bytes);
    let start = find(&reply, 0x8002).unwrap().start;
    assert_eq!(start + 8, reply.len(), "PASSWORD-ALGORITHMS is the last attribute");
    assert!(AuthChallenge::parse(&reply[..start]).unwrap_err().contains("was removed"));
    let mut unknown = reply.clone();
    unknown[start + 5] = 9;
    assert_eq!(AuthChallenge::parse(&unknown), Ok(None), "no supported algorithm");
    let success = ask(&Policy::default(), &first_request()).1;
    assert_eq!(AuthChallenge::parse(&success), Ok(None));
}

fn first_request() -> Vec<u8> {
    login(Mechanism::LongTerm, "x").first_request(id(), false).bytes
}
