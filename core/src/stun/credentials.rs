//! Credentials (RFC 8489 §9): who may ask, and how that is proven. On the longer way to a reply only.
//!
//! What decides is a function of the request, its source, the secrets, and the time that the owner of
//! [`CoarseClock`] tells: no clock and no randomness is reached for here, and nothing is remembered of a
//! client.

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

/// Who may ask.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Who proves a short-term credential (RFC 8489 §9.1).
    ShortTerm(ShortTerm),
    /// Who proves a long-term credential (RFC 8489 §9.2).
    LongTerm(LongTerm),
}

/// Tells which mechanism it is, and never a name or a secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::ShortTerm(_) => "ShortTerm(..)",
            Credentials::LongTerm(_) => "LongTerm(..)",
        })
    }
}

impl Credentials {
    /// Whether `message`, a request free of faults that came from `source`, is from somebody who may ask.
    pub(super) fn admit(&self, message: &[u8], source: &SocketAddr) -> Admission<'_> {
        match self {
            Credentials::ShortTerm(users) => users.admit(message),
            Credentials::LongTerm(users) => users.admit(message, source),
        }
    }
}

/// How a request is to be answered.
pub(super) type Admission<'a> = Result<Seal<'a>, Refusal<'a>>;

/// What the reply to an admitted request is to be sealed with.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    pub(super) key: &'a [u8],
    pub(super) integrity: Integrity,
}

/// Why a request is refused. Its reply is not sealed: who does not prove that they know a password gets
/// nothing made with it.
pub(super) enum Refusal<'a> {
    /// 400: what the mechanism needs is missing, or contradicts itself.
    BadRequest,
    /// 401: nothing is proven. With long-term credentials the reply says what to prove it with.
    Unauthenticated(Option<Challenge<'a>>),
    /// 438: proven, but with a nonce of another time or client.
    StaleNonce(Challenge<'a>),
}

/// What a client must know to prove itself: REALM, NONCE, PASSWORD-ALGORITHMS.
pub(super) struct Challenge<'a> {
    pub(super) realm: &'a Realm,
    pub(super) nonce: [u8; nonce::LENGTH],
}

impl Challenge<'_> {
    /// The value of PASSWORD-ALGORITHMS.
    pub(super) const ALGORITHMS: [u8; 4] = long_term::ALGORITHMS;
    /// Bytes of the three attributes with their headers, at the most.
    pub(super) const MAX: usize = 4 + Realm::MAX + 4 + nonce::LENGTH + 4 + Self::ALGORITHMS.len();
}

/// A realm (RFC 8489 §14.9): tells a client which of its passwords is wanted. Bounded, since each of its
/// bytes is one more that an attacker who asks in somebody's name has sent there.
#[derive(Clone, PartialEq, Eq)]
pub struct Realm(Box<str>);

impl Realm {
    /// Most bytes that it can have.
    pub const MAX: usize = 48;

    /// `None` where `text` is empty, longer than [`Realm::MAX`] bytes, or has other than printable ASCII
    /// characters, or one that would have to be quoted.
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        (!text.is_empty() && text.len() <= Self::MAX && text.bytes().all(is_plain))
            .then(|| Realm(text.into()))
    }

    /// The realm's text.
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
