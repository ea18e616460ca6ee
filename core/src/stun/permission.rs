//! What the XDP program may answer at an endpoint.

/// What the XDP program may do with a request to a served endpoint: the value of the endpoint's entry in the
/// program's hash map. One byte, so that an update replaces it as a whole.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission(u8);

impl Permission {
    /// Redirect every request to the AF_XDP socket.
    pub const REDIRECT: Permission = Permission(0);

    const ANSWER: u8 = 1;
    const CLASSIC: u8 = 1 << 1;
    const ZERO_TRANSACTION: u8 = 1 << 2;

    /// Answer plain requests: those without magic cookie only if `classic` is set, those with a transaction ID
    /// of zeros only if `zero_transaction` is.
    pub const fn answer(classic: bool, zero_transaction: bool) -> Self {
        let classic = if classic { Permission::CLASSIC } else { 0 };
        let zero_transaction = if zero_transaction { Permission::ZERO_TRANSACTION } else { 0 };
        Permission(Permission::ANSWER | classic | zero_transaction)
    }

    /// Returns what both permissions allow.
    pub const fn common(self, other: Self) -> Self {
        let both = Permission(self.0 & other.0);
        if both.may_answer() { both } else { Permission::REDIRECT }
    }

    /// Whether plain requests may be answered.
    #[inline(always)]
    pub const fn may_answer(self) -> bool {
        self.0 & Permission::ANSWER != 0
    }

    /// Whether classic requests are among them.
    #[inline(always)]
    pub(super) const fn includes_classic(self) -> bool {
        self.0 & Permission::CLASSIC != 0
    }

    /// Whether requests with a transaction ID of zeros are among them.
    #[inline(always)]
    pub(super) const fn includes_zero_transaction(self) -> bool {
        self.0 & Permission::ZERO_TRANSACTION != 0
    }

    /// The value as the map holds it.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// A value read back from the map.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        Permission(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::Permission;
    use std::vec::Vec;

    #[test]
    fn what_two_permissions_have_in_common_is_allowed_by_both() {
        let all = [Permission::REDIRECT].into_iter().chain(
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(c, z)| Permission::answer(c, z)),
        );
        let all: Vec<_> = all.collect();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
            let common = one.common(other);
            assert_eq!(common, other.common(one));
            assert_eq!(common.may_answer(), one.may_answer() && other.may_answer(), "{one:?} {other:?}");
            let flag = |of: fn(Permission) -> bool| (of(common), common.may_answer() && of(one) && of(other));
            for (found, expected) in
                [flag(Permission::includes_classic), flag(Permission::includes_zero_transaction)]
            {
                assert_eq!(found, expected, "{one:?} {other:?}");
            }
            assert_eq!(Permission::from_byte(common.to_byte()), common);
        }
        assert_eq!(Permission::REDIRECT.to_byte(), 0);
    }
}
