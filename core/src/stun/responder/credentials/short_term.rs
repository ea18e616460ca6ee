//! Short-term credentials (RFC 8489 §9.1): a name and password that client and server agree on outside STUN.

use super::{Authentication, Refusal, ReplyKey, fields::Fields};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The users of the short-term credential mechanism and their passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortTerm {
    /// Sorted by name.
    users: Vec<User>,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Box<[u8]>,
    /// The password, which is the key (RFC 8489 §9.1.1).
    key: Box<[u8]>,
}

impl ShortTerm {
    /// Takes names and passwords, which must be prepared by the OpaqueString profile (RFC 8265 §4.2). If a
    /// name occurs more than once, the first counts.
    pub fn new<'a>(users: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let user = |(name, password): (&[u8], &[u8])| User { name: name.into(), key: password.into() };
        let mut users: Vec<User> = users.into_iter().map(user).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users.dedup_by(|one, other| one.name == other.name);
        ShortTerm { users }
    }

    /// Performs the checks of RFC 8489 §9.1.3 in the order given there.
    pub(super) fn authenticate(&self, message: &[u8]) -> Authentication<'_> {
        let fields = Fields::of(message);
        let (Some((integrity, start)), Some(name)) = (fields.integrity(), fields.username) else {
            return Err(Refusal::BadRequest);
        };
        let found = self.users.binary_search_by(|user| (*user.name).cmp(name));
        let user = found.ok().and_then(|index| self.users.get(index));
        // Compute an HMAC for an unknown name too, so that the time taken does not reveal which names exist.
        let is_right = integrity.is_right(user.map_or(&[], |user| &user.key), message, start);
        match user {
            Some(user) if is_right => Ok(ReplyKey { key: &user.key, integrity }),
            _ => Err(Refusal::Unauthenticated(None)),
        }
    }
}
