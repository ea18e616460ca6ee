//! Short-term credentials (RFC 8489 §9.1): a password that both sides were told by other means.

use super::{Admission, Refusal, Seal, fields::Fields};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Users and passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortTerm {
    /// By name.
    users: Vec<User>,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Box<[u8]>,
    /// The password, which is the key (RFC 8489 §9.1.1).
    key: Box<[u8]>,
}

impl ShortTerm {
    /// With these names and passwords, prepared as OpaqueString (RFC 8265) asks; of two with one name the
    /// first counts.
    pub fn new<'a>(users: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let user = |(name, password): (&[u8], &[u8])| User { name: name.into(), key: password.into() };
        let mut users: Vec<User> = users.into_iter().map(user).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users.dedup_by(|one, other| one.name == other.name);
        ShortTerm { users }
    }

    /// The checks of RFC 8489 §9.1.3 in their order.
    pub(super) fn admit(&self, message: &[u8]) -> Admission<'_> {
        let fields = Fields::of(message);
        let (Some((integrity, start)), Some(name)) = (fields.integrity(), fields.username) else {
            return Err(Refusal::BadRequest);
        };
        let found = self.users.binary_search_by(|user| (*user.name).cmp(name));
        let user = found.ok().and_then(|index| self.users.get(index));
        // A name that is not there costs as much time as a wrong password: names are not to be guessed.
        let is_right = integrity.is_right(user.map_or(&[], |user| &user.key), message, start);
        match user {
            Some(user) if is_right => Ok(Seal { key: &user.key, integrity }),
            _ => Err(Refusal::Unauthenticated(None)),
        }
    }
}
