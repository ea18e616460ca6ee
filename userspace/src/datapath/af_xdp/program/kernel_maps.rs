//! The XDP program's maps in the kernel, as their contents are written.

use super::contents::{ProgramBitmap, ServedMaps};
use super::entries::EndpointMap;
use super::map;
use crate::error::{Failure, Result};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapError};
use xstun_core::classify::Endpoint;
use xstun_core::stun::Permission;
use xstun_ebpf::{MAP_MAC, MAP_PORTS, MAP_REFUSED, MAP_SERVED, Mac, mac_value};

/// The maps of a loaded object.
pub(super) struct KernelMaps<'a>(pub(super) &'a mut Ebpf);

impl EndpointMap for KernelMaps<'_> {
    fn set(&mut self, endpoint: Endpoint, permission: Permission) -> Result<()> {
        let mut entries: HashMap<_, [u8; 20], u8> = map(self.0, MAP_SERVED)?;
        entries.insert(endpoint.to_bytes(), permission.to_byte(), 0).map_err(not_updated(MAP_SERVED))
    }

    fn remove(&mut self, endpoint: Endpoint) -> Result<()> {
        let mut entries: HashMap<_, [u8; 20], u8> = map(self.0, MAP_SERVED)?;
        entries.remove(&endpoint.to_bytes()).map_err(not_updated(MAP_SERVED))
    }
}

impl ServedMaps for KernelMaps<'_> {
    fn set_mac(&mut self, address: [u8; 6]) -> Result<()> {
        let mut mac: Array<_, Mac> = map(self.0, MAP_MAC)?;
        mac.set(0, mac_value(address), 0).map_err(not_updated(MAP_MAC))
    }

    fn set_words(&mut self, bitmap: ProgramBitmap, new: &[u64], value: fn(u64, u64) -> u64) -> Result<()> {
        let name = match bitmap {
            ProgramBitmap::Ports => MAP_PORTS,
            ProgramBitmap::Refused => MAP_REFUSED,
        };
        let mut words: Array<_, u64> = map(self.0, name)?;
        for (index, new) in (0..).zip(new) {
            let old = words.get(&index, 0).map_err(not_updated(name))?;
            let word = value(old, *new);
            if word != old {
                words.set(index, word, 0).map_err(not_updated(name))?;
            }
        }
        Ok(())
    }
}

fn not_updated(map: &'static str) -> impl Fn(MapError) -> Failure {
    move |error| Failure::system(format!("cannot update the XDP program's map {map}")).because(error)
}
