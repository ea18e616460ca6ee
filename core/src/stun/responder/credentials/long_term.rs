//! Long-term credentials (RFC 8489 §9.2): a user name and password, proven in reply to a challenge with a
//! nonce.

use super::{
    Authentication, Challenge, Realm, Refusal, ReplyKey,
    fields::Fields,
    nonce::{Nonces, has_algorithms_bit},
};
use crate::stun::integrity::Integrity;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Values of PASSWORD-ALGORITHM for MD5 and SHA-256 (RFC 8489 §18.5.1). Neither has parameters.
const MD5: [u8; 4] = [0, 1, 0, 0];
pub(super) const SHA256: [u8; 4] = [0, 2, 0, 0];
/// Value of PASSWORD-ALGORITHMS in challenges (RFC 8489 §14.11). MD5 need not be listed: a client that does
/// not know the attribute uses MD5 anyway, and a client that knows it supports SHA-256.
pub(super) const ALGORITHMS: [u8; 4] = SHA256;

/// The users of one realm, and the nonces of their challenges.
#[derive(Clone, PartialEq, Eq)]
pub struct LongTerm {
    realm: Realm,
    nonces: Nonces,
    /// Sorted by name.
    users: Vec<User>,
    /// USERHASH of each user and its index in `users`, sorted by USERHASH.
    hashes: Vec<([u8; 32], usize)>,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Box<[u8]>,
    md5: [u8; 16],
    sha256: [u8; 32],
}

impl LongTerm {
    /// Takes names and passwords, which must be prepared by the OpaqueString profile (RFC 8265 §4.2). If a
    /// name occurs more than once, the first counts.
    pub fn new<'a>(
        users: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        realm: Realm,
        nonces: Nonces,
    ) -> Self {
        let user = |(name, password): (&[u8], &[u8])| User {
            name: name.into(),
            md5: md5_key(name, realm.as_bytes(), password),
            sha256: sha256_key(name, realm.as_bytes(), password),
        };
        let mut users: Vec<User> = users.into_iter().map(user).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users.dedup_by(|one, other| one.name == other.name);
        let hash = |(index, user): (usize, &User)| (userhash(&user.name, realm.as_bytes()), index);
        let mut hashes: Vec<_> = users.iter().enumerate().map(hash).collect();
        hashes.sort_unstable();
        LongTerm { realm, nonces, users, hashes }
    }

    /// Performs the checks of RFC 8489 §9.2.4 in the order given there.
    pub(super) fn authenticate(&self, message: &[u8], source: &SocketAddr) -> Authentication<'_> {
        let fields = Fields::of(message);
        let challenge = || Challenge { realm: &self.realm, nonce: self.nonces.current(source) };
        let Some((integrity, start)) = fields.integrity() else {
            return Err(Refusal::Unauthenticated(Some(challenge())));
        };
        let (true, Some(_), Some(nonce)) =
            (fields.username.is_some() || fields.userhash.is_some(), fields.realm, fields.nonce)
        else {
            return Err(Refusal::BadRequest);
        };
        let algorithm = match (fields.password_algorithms, fields.password_algorithm) {
            (None, None) => None,
            // One of the two is missing, or the list is not the one that the server sent: an attacker on the
            // path may have removed the stronger algorithms from it (bid-down attack, RFC 8489 §9.2.1).
            (list, chosen)
                if has_algorithms_bit(nonce)
                    && (list != Some(ALGORITHMS.as_slice()) || chosen != Some(SHA256.as_slice())) =>
            {
                return Err(Refusal::BadRequest);
            }
            (_, chosen) => chosen,
        };
        let user = self.user(&fields);
        let key = match (user, algorithm) {
            (Some(user), Some(chosen)) if chosen == SHA256 => Some(user.sha256.as_slice()),
            (Some(user), None) => Some(user.md5.as_slice()),
            (Some(user), Some(chosen)) if chosen == MD5 => Some(user.md5.as_slice()),
            _ => None,
        };
        // Compute an HMAC for an unknown name too, so that the time taken does not reveal which names exist.
        let is_right = integrity.is_right(key.unwrap_or(&[0; 32]), message, start);
        let Some(key) = key.filter(|_| is_right) else {
            return Err(Refusal::Unauthenticated(Some(challenge())));
        };
        if !self.nonces.is_valid(nonce, source) {
            return Err(Refusal::StaleNonce(challenge()));
        }
        // The password algorithm decides, and not the attribute that the request was authenticated with.
        let integrity = match algorithm {
            Some(_) => Integrity::Sha256,
            None => Integrity::Sha1,
        };
        Ok(ReplyKey { key, integrity })
    }

    /// Finds the user by USERNAME or, without that, by USERHASH.
    fn user(&self, fields: &Fields<'_>) -> Option<&User> {
        let index = match (fields.username, fields.userhash) {
            (Some(name), _) => self.users.binary_search_by(|user| (*user.name).cmp(name)).ok()?,
            (None, Some(hash)) => {
                let found = self.hashes.binary_search_by(|(known, _)| known.as_slice().cmp(hash)).ok()?;
                self.hashes.get(found)?.1
            }
            (None, None) => return None,
        };
        self.users.get(index)
    }
}

/// Returns the key for the password algorithm MD5 (RFC 8489 §9.2.2, §18.5.1.1).
pub fn md5_key(name: &[u8], realm: &[u8], password: &[u8]) -> [u8; 16] {
    let hash = Md5::new().chain_update(name).chain_update(b":").chain_update(realm);
    hash.chain_update(b":").chain_update(password).finalize().into()
}

/// Returns the key for the password algorithm SHA-256 (RFC 8489 §18.5.1.2).
pub fn sha256_key(name: &[u8], realm: &[u8], password: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(name).chain_update(b":").chain_update(realm);
    hash.chain_update(b":").chain_update(password).finalize().into()
}

/// Returns the value of USERHASH, which identifies the user to those who know the name, and reveals it to
/// nobody else (RFC 8489 §14.4).
pub fn userhash(name: &[u8], realm: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update(b":").chain_update(realm).finalize().into()
}
