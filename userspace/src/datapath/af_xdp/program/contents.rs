//! What the XDP program's maps hold of the endpoints that it serves, and the order in which they change.

use super::entries::{EndpointEntries, EndpointMap, Permissions};
use crate::error::Result;
use xstun_core::served::Served;
use xstun_core::stun::Permission;

/// A bitmap of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgramBitmap {
    /// The ports of the endpoints.
    Ports,
    /// The refused sources.
    Refused,
}

/// The maps that say what is served. Each call changes a word or an entry as a whole.
pub(super) trait ServedMaps: EndpointMap {
    /// Sets the interface's hardware address.
    fn set_mac(&mut self, address: [u8; 6]) -> Result<()>;
    /// Sets each word of a bitmap to what `value` makes of the old and the new one.
    fn set_words(&mut self, map: ProgramBitmap, new: &[u64], value: fn(u64, u64) -> u64) -> Result<()>;
}

/// What the maps hold: this process is the only one that writes them, and writes them here alone.
#[derive(Debug, Default)]
pub(super) struct ServedContents {
    entries: EndpointEntries,
    /// What the hardware address and the bitmaps hold; `None` after a refused update.
    in_force: Option<Served>,
    /// Whether the bitmap has every source that is to be refused.
    refuses: bool,
    /// Whether the entries are those that were wanted last.
    permitted: bool,
}

impl ServedContents {
    /// Makes the maps serve `now` with the `permissions` of its endpoints. Endpoints are inserted before their port
    /// is opened and removed before it is closed. In between, a frame to an open port without its endpoint passes to
    /// the kernel's stack. Refused sources are added before the endpoints and removed after them.
    ///
    /// # Errors
    /// The kernel refused a map update. While a refused source may be missing, no endpoint is permitted an answer.
    /// The next call does again what is left.
    pub(super) fn serve(
        &mut self,
        maps: &mut impl ServedMaps,
        now: &Served,
        permissions: &Permissions,
    ) -> Result<()> {
        if self.in_force.as_ref() == Some(now) {
            return self.permit(maps, permissions);
        }
        self.in_force = None;
        let mac = maps.set_mac(now.mac_address());
        let refused = now.refused_words();
        let added = maps.set_words(ProgramBitmap::Refused, &refused, |old, new| old | new);
        self.refuses = added.is_ok();
        let permitted = self.permit(maps, permissions);
        mac.and(added).and(permitted)?;
        maps.set_words(ProgramBitmap::Ports, &now.port_words(), |_, new| new)?;
        maps.set_words(ProgramBitmap::Refused, &refused, |_, new| new)?;
        self.in_force = Some(now.clone());
        Ok(())
    }

    /// Gives the endpoints these permissions and removes all others. While the bitmap may lack a refused source, the
    /// endpoints are entered without a permission.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn permit(&mut self, maps: &mut impl EndpointMap, permissions: &Permissions) -> Result<()> {
        self.permitted = false;
        if self.refuses {
            self.entries.update(maps, permissions)?;
            self.permitted = true;
            return Ok(());
        }
        let redirect = permissions.keys().map(|endpoint| (*endpoint, Permission::REDIRECT)).collect();
        self.entries.update(maps, &redirect)
    }

    /// Withdraws every permission that is not among these, and grants none, until the next [`ServedContents::permit`].
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn withdraw(&mut self, maps: &mut impl EndpointMap, permissions: &Permissions) -> Result<()> {
        self.permitted = false;
        self.entries.withdraw(maps, permissions)
    }

    /// Whether every map holds what was wanted last.
    pub(super) fn is_complete(&self) -> bool {
        self.permitted && self.in_force.is_some()
    }

    /// Whether plain requests to any endpoint are answered by the program.
    pub(super) fn any_may_answer(&self) -> bool {
        self.entries.any_may_answer()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::{EndpointMap, Permissions};
    use super::{ProgramBitmap, ServedContents, ServedMaps};
    use crate::error::{Failure, Result};
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};
    use xstun_core::classify::{Endpoint, PORT_WORDS};
    use xstun_core::served::Served;
    use xstun_core::source::REFUSED_BITS;
    use xstun_core::stun::Permission;

    /// The maps, which refuse one write, and check that none permits an answer to a source that is to be refused.
    struct Model {
        mac: [u8; 6],
        entries: BTreeMap<Endpoint, Permission>,
        ports: Vec<u64>,
        refused: Vec<u64>,
        /// What must be in `refused` when a permission is granted.
        to_refuse: Vec<u64>,
        writes: usize,
        refuse: Option<usize>,
    }

    impl Default for Model {
        fn default() -> Self {
            let refused = vec![0; REFUSED_BITS as usize / 64];
            Model {
                mac: [0; 6],
                entries: BTreeMap::new(),
                ports: vec![0; PORT_WORDS as usize],
                to_refuse: refused.clone(),
                refused,
                writes: 0,
                refuse: None,
            }
        }
    }

    impl Model {
        fn write(&mut self) -> Result<()> {
            self.writes += 1;
            if self.refuse == Some(self.writes) { Err(Failure::system("refused")) } else { Ok(()) }
        }

        fn refuses_all(&self) -> bool {
            self.refused.iter().zip(&self.to_refuse).all(|(has, must)| has & must == *must)
        }

        fn any_may_answer(&self) -> bool {
            self.entries.values().any(|permission| permission.may_answer())
        }

        fn assert_holds(&self, served: &Served, permissions: &Permissions, case: &str) {
            assert_eq!(self.mac, served.mac_address(), "{case}");
            assert_eq!(&self.entries, permissions, "{case}");
            assert_eq!(self.ports, served.port_words(), "{case}");
            assert_eq!(self.refused, served.refused_words(), "{case}");
        }
    }

    impl EndpointMap for Model {
        fn set(&mut self, endpoint: Endpoint, permission: Permission) -> Result<()> {
            self.write()?;
            assert!(!permission.may_answer() || self.refuses_all(), "{endpoint:?} answers a refused source");
            self.entries.insert(endpoint, permission);
            Ok(())
        }

        fn remove(&mut self, endpoint: Endpoint) -> Result<()> {
            self.write()?;
            self.entries.remove(&endpoint);
            Ok(())
        }
    }

    impl ServedMaps for Model {
        fn set_mac(&mut self, address: [u8; 6]) -> Result<()> {
            self.write()?;
            self.mac = address;
            Ok(())
        }

        fn set_words(&mut self, map: ProgramBitmap, new: &[u64], value: fn(u64, u64) -> u64) -> Result<()> {
            for (index, new) in new.iter().enumerate() {
                let word = match map {
                    ProgramBitmap::Ports => self.ports[index],
                    ProgramBitmap::Refused => self.refused[index],
                };
                let wanted = value(word, *new);
                if wanted == word {
                    continue;
                }
                self.write()?;
                match map {
                    ProgramBitmap::Ports => self.ports[index] = wanted,
                    ProgramBitmap::Refused => self.refused[index] = wanted,
                }
            }
            Ok(())
        }
    }

    /// The host's addresses end in `hosts`; each is served, and refused as a source.
    fn served(mac: u8, hosts: &[u8], port: u16) -> (Served, Permissions) {
        let ips: Vec<IpAddr> = hosts.iter().map(|host| Ipv4Addr::new(198, 18, 0, *host).into()).collect();
        let served = Served::new([mac; 6], ips.iter().map(|ip| (*ip, port)), ips.iter().copied());
        let permissions =
            served.endpoints().iter().map(|endpoint| (*endpoint, Permission::answer(true, true)));
        let permissions = permissions.collect();
        (served, permissions)
    }

    #[test]
    fn after_any_refused_write_the_next_update_completes_the_maps() {
        let (before, old) = served(1, &[1, 2], 3478);
        let (now, new) = served(2, &[2, 3], 3479);
        let writes = |refuse: Option<usize>| {
            let (mut contents, mut maps) = (ServedContents::default(), Model::default());
            contents.serve(&mut maps, &before, &old).unwrap();
            assert!(contents.is_complete());
            let begun = maps.writes;
            maps.refuse = refuse.map(|number| begun + number);
            maps.to_refuse = now.refused_words();
            let first = contents.serve(&mut maps, &now, &new);
            let case = format!("write {refuse:?} is refused");
            assert_eq!(first.is_err(), refuse.is_some(), "{case}");
            assert_eq!(contents.is_complete(), first.is_ok(), "{case}");
            assert!(maps.refuses_all() || !maps.any_may_answer(), "{case}");
            let writes = maps.writes - begun;
            // What another part of the server grants meanwhile is withheld too; the model checks it.
            contents.permit(&mut maps, &new).unwrap();
            contents.serve(&mut maps, &now, &new).unwrap();
            maps.assert_holds(&now, &new, &case);
            assert!(contents.is_complete(), "{case}");
            writes
        };
        let all = writes(None);
        assert!(all > 6, "address, words, entries and ports: {all}");
        for number in 1..=all {
            writes(Some(number));
        }
    }

    #[test]
    fn what_was_withdrawn_is_incomplete_until_it_is_permitted_again() {
        let (now, permissions) = served(1, &[1], 3478);
        let (mut contents, mut maps) = (ServedContents::default(), Model::default());
        contents.serve(&mut maps, &now, &permissions).unwrap();
        contents.withdraw(&mut maps, &Permissions::new()).unwrap();
        assert!(!contents.is_complete() && !contents.any_may_answer());
        contents.permit(&mut maps, &permissions).unwrap();
        assert!(contents.is_complete() && contents.any_may_answer());
        let writes = maps.writes;
        contents.serve(&mut maps, &now, &permissions).unwrap();
        assert_eq!(maps.writes, writes, "what does not change is not written");
    }
}
