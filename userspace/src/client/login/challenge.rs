//! The challenge in a 401 or 438 error response.

use crate::client::message::ERROR_RESPONSE;
use crate::client::message::attributes::{self, kind};
use xstun_core::stun::credentials::{md5_key, sha256_key};

/// Begins the nonce of a server that implements RFC 8489; four base64 digits follow (RFC 8489 §9.2).
const NONCE_COOKIE: &[u8] = b"obMatJos2";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The hash that makes a key from a password (RFC 8489 §18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordAlgorithm {
    Md5,
    Sha256,
}

impl PasswordAlgorithm {
    /// Returns the value of PASSWORD-ALGORITHM.
    pub(super) fn value(self) -> [u8; 4] {
        match self {
            PasswordAlgorithm::Md5 => [0, 1, 0, 0],
            PasswordAlgorithm::Sha256 => [0, 2, 0, 0],
        }
    }

    /// Returns the key of a long-term credential (RFC 8489 §9.2.2).
    pub(super) fn key(self, name: &[u8], realm: &[u8], password: &[u8]) -> Vec<u8> {
        match self {
            PasswordAlgorithm::Md5 => md5_key(name, realm, password).to_vec(),
            PasswordAlgorithm::Sha256 => sha256_key(name, realm, password).to_vec(),
        }
    }
}

/// What the next request must carry to authenticate with a long-term credential.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::client) struct AuthChallenge {
    /// 401 or 438.
    pub(in crate::client) code: u16,
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS as received, and the first algorithm in it that this client supports.
    pub(super) algorithms: Option<(Vec<u8>, PasswordAlgorithm)>,
    /// Whether USERHASH must replace USERNAME.
    pub(super) anonymous: bool,
}

impl AuthChallenge {
    /// Parses the challenge of an error response. `None` if `reply` is no challenge, or if this client
    /// supports none of its algorithms.
    ///
    /// # Errors
    /// Why the client must not answer it: an attacker removed PASSWORD-ALGORITHMS (a bid-down attack,
    /// RFC 8489 §9.2.5).
    pub(in crate::client) fn parse(reply: &[u8]) -> Result<Option<Self>, &'static str> {
        let value = |kind| attributes::find(reply, kind).map(|attribute| attribute.value);
        let (Some(&[_, _, class, number, ..]), Some(realm), Some(nonce)) =
            (value(kind::ERROR_CODE), value(kind::REALM), value(kind::NONCE))
        else {
            return Ok(None);
        };
        let code = u16::from(class & 7) * 100 + u16::from(number);
        if reply.get(..2) != Some(&ERROR_RESPONSE.to_be_bytes()) || (code != 401 && code != 438) {
            return Ok(None);
        }
        let features = security_features(nonce);
        let algorithms = match value(kind::PASSWORD_ALGORITHMS) {
            Some(list) => match first_supported(list) {
                Some(chosen) => Some((list.to_vec(), chosen)),
                None => return Ok(None),
            },
            None if features & 1 == 1 => {
                return Err("its nonce announces PASSWORD-ALGORITHMS, but the attribute was removed");
            }
            None => None,
        };
        let (realm, nonce) = (realm.to_vec(), nonce.to_vec());
        Ok(Some(AuthChallenge { code, realm, nonce, algorithms, anonymous: features & 2 == 2 }))
    }
}

/// Returns the lowest six security feature bits that the nonce announces (RFC 8489 §18.1 with erratum
/// 6290); 0 for a nonce without the cookie.
fn security_features(nonce: &[u8]) -> usize {
    let digits = nonce.strip_prefix(NONCE_COOKIE).and_then(<[u8]>::first_chunk::<4>);
    let value = |digit: &u8| BASE64.iter().position(|known| known == digit);
    digits
        .filter(|digits| digits.iter().all(|digit| value(digit).is_some()))
        .and_then(|digits| value(&digits[3]))
        .unwrap_or(0)
}

/// Returns the first algorithm of PASSWORD-ALGORITHMS (RFC 8489 §14.11) that this client supports.
fn first_supported(mut list: &[u8]) -> Option<PasswordAlgorithm> {
    while let [a0, a1, l0, l1, rest @ ..] = list {
        let parameters = usize::from(u16::from_be_bytes([*l0, *l1]));
        match (u16::from_be_bytes([*a0, *a1]), parameters) {
            (1, 0) => return Some(PasswordAlgorithm::Md5),
            (2, 0) => return Some(PasswordAlgorithm::Sha256),
            _ => {}
        }
        list = rest.get(parameters.next_multiple_of(4)..)?;
    }
    None
}
