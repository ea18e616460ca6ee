//! Properties that hold for any request to a server that requires credentials.

use super::*;
use proptest::prelude::*;

fn integrity() -> impl Strategy<Value = Integrity> {
    prop_oneof![Just(Sha1), Just(Sha256)]
}

proptest! {
    /// A change to any byte that the integrity attribute covers, or to the attribute itself, fails
    /// authentication.
    #[test]
    fn a_changed_request_is_never_answered(
        integrity in integrity(),
        at in 0usize..200,
        bit in 0u8..8,
        software in ".{0,20}",
        chooses_sha256: bool,
    ) {
        let policy = long_term(&CoarseClock::default());
        let nonce = issued_nonce(&policy);
        let realm = EXAMPLE_REALM.as_bytes();
        let mut list: Vec<Attribute> =
            vec![(SOFTWARE, software.as_bytes()), ANNA, (REALM, realm), (NONCE, &nonce)];
        let key = if chooses_sha256 {
            list.extend([(PASSWORD_ALGORITHMS, SHA256), (PASSWORD_ALGORITHM, SHA256)]);
            sha256_key(b"anna", realm, ANNAS_PASSWORD).to_vec()
        } else {
            md5_key(b"anna", realm, ANNAS_PASSWORD).to_vec()
        };
        let mut request = authenticated(&list, integrity, &key);
        prop_assert_eq!(ask(&policy, &request).0, Answered);
        let at = at % request.len();
        request[at] ^= 1 << bit;
        prop_assert_ne!(ask(&policy, &request).0, Answered, "byte {}", at);
    }

    /// Any attributes in any order: no panic, no success, and no reply longer than a challenge with
    /// FINGERPRINT.
    #[test]
    fn replies_to_unauthenticated_requests_are_bounded(
        list in prop::collection::vec(
            (
                prop_oneof![
                    prop::sample::select(vec![
                        USERNAME, REALM, NONCE, PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS, USERHASH, 0x0008, 0x001c,
                    ]),
                    any::<u16>(),
                ],
                prop::collection::vec(any::<u8>(), 0..48),
            ),
            0..10,
        ),
        has_fingerprint: bool,
    ) {
        let list: Vec<Attribute> = list.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let mut request = message(BINDING_REQUEST, &list);
        if has_fingerprint {
            request = fingerprinted(request);
        }
        for policy in [short_term(), long_term(&CoarseClock::default())] {
            let (outcome, reply) = ask(&policy, &request);
            prop_assert_ne!(outcome, Answered);
            prop_assert!(reply.len() <= 88, "{:?}: {} bytes", outcome, reply.len());
        }
    }
}
