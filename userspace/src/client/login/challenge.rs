//! What a server asks for in a 401 or 438.

use super::{Algorithm, NONCE, PASSWORD_ALGORITHMS, REALM};
use crate::client::message::HEADER;

const ERROR: [u8; 2] = [0x01, 0x11];
const ERROR_CODE: u16 = 0x0009;
/// Begins a nonce of a server that knows RFC 8489; four characters of base64 follow.
const COOKIE: &[u8] = b"obMatJos2";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the next request has to say to prove a long-term credential.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::client) struct Challenge {
    /// 401 or 438.
    pub(in crate::client) code: u16,
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS as the server sent it, and the first in it that is known here.
    pub(super) algorithms: Option<(Vec<u8>, Algorithm)>,
    /// Whether the name must be hidden in a USERHASH.
    pub(super) anonymous: bool,
}

impl Challenge {
    /// That of an error response. `None` if it is no challenge, or one that cannot be met.
    ///
    /// # Errors
    /// Why it must not be met: somebody on the way took the better algorithms out (RFC 8489 §9.2.5).
    pub(in crate::client) fn read(reply: &[u8]) -> Result<Option<Self>, &'static str> {
        let value = |kind| find(reply, kind).map(|(_, value)| value);
        let (Some(&[_, _, class, number, ..]), Some(realm), Some(nonce)) =
            (value(ERROR_CODE), value(REALM), value(NONCE))
        else {
            return Ok(None);
        };
        let code = u16::from(class & 7) * 100 + u16::from(number);
        if reply.get(..2) != Some(&ERROR) || (code != 401 && code != 438) {
            return Ok(None);
        }
        let features = features(nonce);
        let algorithms = match value(PASSWORD_ALGORITHMS) {
            Some(list) => match first_known(list) {
                Some(chosen) => Some((list.to_vec(), chosen)),
                None => return Ok(None),
            },
            None if features & 1 == 1 => {
                return Err("its nonce promises password algorithms that somebody took out of it");
            }
            None => None,
        };
        let (realm, nonce) = (realm.to_vec(), nonce.to_vec());
        Ok(Some(Challenge { code, realm, nonce, algorithms, anonymous: features & 2 == 2 }))
    }
}

/// The lowest six security features (RFC 8489 §18.1 with erratum 6290) that a nonce tells; none where it has
/// no cookie.
fn features(nonce: &[u8]) -> usize {
    let digits = nonce.strip_prefix(COOKIE).and_then(<[u8]>::first_chunk::<4>);
    let value = |digit: &u8| BASE64.iter().position(|known| known == digit);
    digits
        .filter(|digits| digits.iter().all(|digit| value(digit).is_some()))
        .and_then(|digits| value(&digits[3]))
        .unwrap_or(0)
}

/// The first algorithm of PASSWORD-ALGORITHMS (RFC 8489 §14.11) that is known here.
fn first_known(mut list: &[u8]) -> Option<Algorithm> {
    while let [a0, a1, l0, l1, rest @ ..] = list {
        let parameters = usize::from(u16::from_be_bytes([*l0, *l1]));
        match (u16::from_be_bytes([*a0, *a1]), parameters) {
            (1, 0) => return Some(Algorithm::Md5),
            (2, 0) => return Some(Algorithm::Sha256),
            _ => {}
        }
        list = rest.get(parameters.next_multiple_of(4)..)?;
    }
    None
}

/// Where the first attribute of this type begins, and its value.
pub(super) fn find(message: &[u8], wanted: u16) -> Option<(usize, &[u8])> {
    let mut start = HEADER;
    while let Some(&[t0, t1, l0, l1]) = message.get(start..start + 4).and_then(<[u8]>::first_chunk) {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = message.get(start + 4..start + 4 + length)?;
        if u16::from_be_bytes([t0, t1]) == wanted {
            return Some((start, value));
        }
        start += 4 + length.next_multiple_of(4);
    }
    None
}
