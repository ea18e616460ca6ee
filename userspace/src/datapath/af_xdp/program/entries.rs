//! The entries of the XDP program's map of endpoints: which endpoints it serves, and which permission is in force
//! at each.

use crate::error::Result;
use std::collections::BTreeMap;
use xstun_core::classify::Endpoint;
use xstun_core::stun::Permission;

/// Every endpoint to serve, with the permission that it should have.
pub(in crate::datapath::af_xdp) type Permissions = BTreeMap<Endpoint, Permission>;

/// The map in the kernel. Each call changes one entry as a whole: a frame meets the old entry or the new one.
pub(super) trait EndpointMap {
    /// Inserts an entry, or replaces its permission.
    fn set(&mut self, endpoint: Endpoint, permission: Permission) -> Result<()>;
    /// Removes an entry.
    fn remove(&mut self, endpoint: Endpoint) -> Result<()>;
}

/// What the map holds: this process is the only one that writes it, and writes it here alone.
#[derive(Debug, Default)]
pub(super) struct EndpointEntries(Permissions);

impl EndpointEntries {
    /// Withdraws what `wanted` does not give. Afterwards no entry permits an answer that `wanted` forbids; none
    /// permits more than before.
    ///
    /// # Errors
    /// The kernel refused an update; what was withdrawn until then stays withdrawn.
    pub(super) fn withdraw(&mut self, map: &mut impl EndpointMap, wanted: &Permissions) -> Result<()> {
        for (endpoint, permission) in &mut self.0 {
            let given = wanted.get(endpoint).copied().unwrap_or(Permission::REDIRECT);
            let common = permission.common(given);
            if common != *permission {
                map.set(*endpoint, common)?;
                *permission = common;
            }
        }
        Ok(())
    }

    /// Makes the entries those that are wanted.
    ///
    /// # Errors
    /// The kernel refused an update; the old entries may then be partly in force.
    pub(super) fn update(&mut self, map: &mut impl EndpointMap, wanted: &Permissions) -> Result<()> {
        for (endpoint, permission) in wanted {
            if self.0.get(endpoint) != Some(permission) {
                map.set(*endpoint, *permission)?;
                self.0.insert(*endpoint, *permission);
            }
        }
        let unwanted: Vec<Endpoint> =
            self.0.keys().filter(|endpoint| !wanted.contains_key(endpoint)).copied().collect();
        for endpoint in unwanted {
            map.remove(endpoint)?;
            self.0.remove(&endpoint);
        }
        Ok(())
    }

    /// Whether plain requests to any endpoint are answered by the program.
    pub(super) fn any_may_answer(&self) -> bool {
        self.0.values().any(|permission| permission.may_answer())
    }
}

#[cfg(test)]
mod tests {
    use super::{EndpointEntries, EndpointMap, Permissions};
    use crate::error::{Failure, Result};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use xstun_core::classify::Endpoint;
    use xstun_core::stun::Permission;

    /// A map that checks after each write that it permits only what one of the two policies does not forbid.
    #[derive(Default)]
    struct Model {
        entries: BTreeMap<Endpoint, Permission>,
        /// The most that each endpoint may be permitted now; every permission if `None`.
        limit: Option<Permissions>,
        writes: usize,
        /// The write from which on the kernel refuses.
        refuse_from: Option<usize>,
    }

    impl Model {
        fn write(&mut self) -> Result<()> {
            self.writes += 1;
            match self.refuse_from {
                Some(from) if self.writes > from => Err(Failure::system("refused")),
                _ => Ok(()),
            }
        }
    }

    impl EndpointMap for Model {
        fn set(&mut self, endpoint: Endpoint, permission: Permission) -> Result<()> {
            self.write()?;
            if let Some(limit) = &self.limit {
                let most = limit.get(&endpoint).copied().unwrap_or(Permission::REDIRECT);
                assert_eq!(
                    permission.common(most),
                    permission,
                    "{endpoint:?} is permitted more than {most:?}"
                );
            }
            self.entries.insert(endpoint, permission);
            Ok(())
        }

        fn remove(&mut self, endpoint: Endpoint) -> Result<()> {
            self.write()?;
            assert!(self.entries.remove(&endpoint).is_some(), "{endpoint:?} is removed twice");
            Ok(())
        }
    }

    fn permission() -> impl Strategy<Value = Permission> {
        prop_oneof![
            Just(Permission::REDIRECT),
            any::<(bool, bool)>().prop_map(|(classic, zero)| Permission::answer(classic, zero)),
        ]
    }

    fn permissions() -> impl Strategy<Value = Permissions> {
        btree_map((0u16..6).prop_map(|port| Endpoint::v4([192, 0, 2, 1], port)), permission(), 0..6)
    }

    proptest! {
        /// Before a policy is adopted, no entry permits what it forbids; while the old one is in force, none permits
        /// what that forbids; afterwards the entries are those that are wanted.
        #[test]
        fn no_entry_ever_permits_what_the_policy_in_force_forbids(policies in vec(permissions(), 1..5)) {
            let (mut entries, mut map) = (EndpointEntries::default(), Model::default());
            let mut in_force = Permissions::new();
            for wanted in policies {
                map.limit = Some(in_force);
                entries.withdraw(&mut map, &wanted).unwrap();
                for (endpoint, permission) in &map.entries {
                    let most = wanted.get(endpoint).copied().unwrap_or(Permission::REDIRECT);
                    prop_assert_eq!(permission.common(most), *permission);
                }
                // Here the workers adopt the policy.
                map.limit = Some(wanted.clone());
                entries.update(&mut map, &wanted).unwrap();
                prop_assert_eq!(&map.entries, &wanted);
                prop_assert_eq!(&entries.0, &wanted);
                let any = wanted.values().any(|permission| permission.may_answer());
                prop_assert_eq!(entries.any_may_answer(), any);
                in_force = wanted;
            }
        }

        /// After a refusal, what is kept here is what the map holds, and a later update completes it.
        #[test]
        fn a_refused_write_leaves_the_entries_as_the_map_has_them(
            before in permissions(), wanted in permissions(), refuse_from in 0usize..8,
        ) {
            let (mut entries, mut map) = (EndpointEntries::default(), Model::default());
            entries.update(&mut map, &before).unwrap();
            map.refuse_from = Some(map.writes + refuse_from);
            let _ = entries.withdraw(&mut map, &wanted).and_then(|()| entries.update(&mut map, &wanted));
            prop_assert_eq!(&entries.0, &map.entries);
            map.refuse_from = None;
            entries.update(&mut map, &wanted).unwrap();
            prop_assert_eq!(&map.entries, &wanted);
        }
    }

    #[test]
    fn what_does_not_change_is_not_written() {
        let wanted: Permissions = [3478, 3479]
            .map(|port| (Endpoint::v4([192, 0, 2, 1], port), Permission::answer(true, true)))
            .into();
        let (mut entries, mut map) = (EndpointEntries::default(), Model::default());
        entries.update(&mut map, &wanted).unwrap();
        assert_eq!(map.writes, 2);
        entries.withdraw(&mut map, &wanted).unwrap();
        entries.update(&mut map, &wanted).unwrap();
        assert_eq!(map.writes, 2);
    }
}
