//! Authentication by short-term and long-term credentials (RFC 8489 §9). Only the extended path to a reply
//! uses it.
//!
//! The result depends on the request, its source, the configured secrets and the time that the owner of
//! [`CoarseClock`] sets, and on nothing else: this code reads no clock, draws no random numbers and keeps no
//! state for a client.

mod fields;
mod long_term;
mod nonce;
mod short_term;

pub use long_term::{LongTerm, md5_key, sha256_key, userhash};
pub use nonce::{CoarseClock, Nonces};
pub use short_term::ShortTerm;

use super::integrity::Integrity;
use alloc::boxed::Box;
use core::fmt;
use core::net::SocketAddr;

/// The users whose requests get an answer, and the mechanism by which they authenticate.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The short-term credential mechanism (RFC 8489 §9.1).
    ShortTerm(ShortTerm),
    /// The long-term credential mechanism (RFC 8489 §9.2).
    LongTerm(LongTerm),
}

/// Shows the mechanism, and never a name or a secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::ShortTerm(_) => "ShortTerm(..)",
            Credentials::LongTerm(_) => "LongTerm(..)",
        })
    }
}

impl Credentials {
    /// Authenticates the sender of `message`, a request of valid syntax that came from `source`.
    pub(super) fn authenticate(&self, message: &[u8], source: &SocketAddr) -> Authentication<'_> {
        match self {
            Credentials::ShortTerm(users) => users.authenticate(message),
            Credentials::LongTerm(users) => users.authenticate(message, source),
        }
    }
}

/// The key for the reply to an authenticated request, or the reason why the request is refused.
pub(super) type Authentication<'a> = Result<ReplyKey<'a>, Refusal<'a>>;

/// The integrity attribute of the reply to an authenticated request, and the key that it is computed with.
#[derive(Clone, Copy)]
pub(super) struct ReplyKey<'a> {
    pub(super) key: &'a [u8],
    pub(super) integrity: Integrity,
}

/// Why a request is refused. The reply to it has no integrity attribute: a sender that has not proven that it
/// knows a password must not get anything computed from one.
pub(super) enum Refusal<'a> {
    /// 400: attributes that the mechanism needs are missing or contradict each other.
    BadRequest,
    /// 401: the sender is not authenticated. For long-term credentials the reply carries a challenge.
    Unauthenticated(Option<Challenge<'a>>),
    /// 438: the sender is authenticated, but its nonce has expired or belongs to another client.
    StaleNonce(Challenge<'a>),
}

/// What a client needs to authenticate: REALM, NONCE, PASSWORD-ALGORITHMS.
pub(super) struct Challenge<'a> {
    pub(super) realm: &'a Realm,
    pub(super) nonce: [u8; nonce::LENGTH],
}

impl Challenge<'_> {
    /// The value of PASSWORD-ALGORITHMS.
    pub(super) const ALGORITHMS: [u8; 4] = long_term::ALGORITHMS;
    /// Maximum length of the three attributes with their headers, in bytes.
    pub(super) const MAX: usize = 4 + Realm::MAX + 4 + nonce::LENGTH + 4 + Self::ALGORITHMS.len();
}

/// A realm (RFC 8489 §14.9), by which a client chooses one of its passwords. Its length is limited, because
/// an attacker who forges the source of a request has every byte of the challenge sent to the victim.
#[derive(Clone, PartialEq, Eq)]
pub struct Realm(Box<str>);

impl Realm {
    /// Maximum length in bytes.
    pub const MAX: usize = 48;

    /// Returns `None` if `text` is empty, is longer than [`Realm::MAX`] bytes, or has a character that is not
    /// printable ASCII or that a quoted string would have to escape.
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        (!text.is_empty() && text.len() <= Self::MAX && text.bytes().all(is_plain))
            .then(|| Realm(text.into()))
    }

    /// The value of the REALM attribute.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
