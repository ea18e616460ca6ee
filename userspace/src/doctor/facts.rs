//! The facts about one interface.

use super::host::HostFacts;
use super::procfs::{self, RunningProcess};
use crate::error::Result;
use crate::interface::{
    self, Address, Channels, Features, FlowHash, Interface, NapiSettings, RingSizes, XdpFeatures,
};
use xstun_core::classify::MAX_FRAME;

/// Ethernet header, in bytes.
const ETHERNET_HEADER: u32 = 14;
/// Longest MTU whose frames all fit a UMEM frame, in bytes.
pub(super) const FRAME_MTU: u32 = MAX_FRAME as u32 - ETHERNET_HEADER;
/// Longest MTU for which most drivers support native XDP without multi-buffer frames, in bytes. A page minus
/// headroom and metadata leaves 3,046 bytes with Intel's drivers, and more with others. (One with less is
/// gve, with 2,032.)
pub(super) const SINGLE_BUFFER_MTU: u32 = 3046;

/// The facts about one interface.
#[derive(Clone, Debug)]
pub(super) struct InterfaceFacts {
    pub(super) interface: Interface,
    /// Driver, or the kind of a virtual interface.
    pub(super) driver: Option<String>,
    pub(super) queues: u32,
    pub(super) channels: Option<Channels>,
    pub(super) rings: Option<RingSizes>,
    pub(super) features: Option<Features>,
    pub(super) flow_hash: Option<FlowHash>,
    pub(super) xdp: Option<XdpFeatures>,
    pub(super) napi: Option<NapiSettings>,
    pub(super) addresses: Vec<Address>,
    /// Name and kind of the master (a bond or bridge) that it belongs to.
    pub(super) master: Option<(String, String)>,
    /// Names of its members, if it is a master.
    pub(super) members: Vec<String>,
    /// Name of the interface below it, if it is a VLAN.
    pub(super) lower: Option<String>,
    /// Names of the VLANs on it.
    pub(super) vlans: Vec<String>,
    /// The process that holds the attached XDP program.
    pub(super) holder: Option<RunningProcess>,
}

impl InterfaceFacts {
    /// Gathers the facts. `every` lists all interfaces.
    ///
    /// # Errors
    /// System: the kernel does not list the addresses.
    pub(super) fn gather(interface: Interface, every: &[Interface]) -> Result<Self> {
        let by_index = |index: Option<u32>| every.iter().find(|other| Some(other.index) == index);
        let names = |matches: &dyn Fn(&Interface) -> bool| {
            every.iter().filter(|other| matches(other)).map(|other| other.name.clone()).collect::<Vec<_>>()
        };
        let kind = |of: &Interface| of.kind.clone().unwrap_or_else(|| "master".into());
        Ok(InterfaceFacts {
            driver: interface::driver(&interface),
            queues: interface::receive_queues(&interface),
            channels: interface::channels(&interface),
            rings: interface::rings(&interface),
            features: interface::features(&interface),
            flow_hash: interface::flow_hash(&interface),
            xdp: interface::xdp_features(&interface),
            napi: NapiSettings::read(&interface).ok(),
            addresses: interface::addresses(Some(interface.index))?,
            master: by_index(interface.master).map(|master| (master.name.clone(), kind(master))),
            members: names(&|other| other.master == Some(interface.index)),
            lower: by_index(interface.lower).map(|lower| lower.name.clone()),
            vlans: names(&|other| {
                other.lower == Some(interface.index) && other.kind.as_deref() == Some("vlan")
            }),
            holder: interface.xdp.and_then(|attached| procfs::holder_of_program(attached.program_id)),
            interface,
        })
    }

    pub(super) fn kind(&self) -> Option<&str> {
        self.interface.kind.as_deref()
    }

    pub(super) fn has_feature(&self, name: &str) -> bool {
        self.features.as_ref().is_some_and(|features| features.is_active(name))
    }

    /// Returns `Ok` if native XDP can attach at this MTU, else what is missing.
    pub(super) fn multi_buffer(&self, host: &HostFacts) -> Result<(), &'static str> {
        if self.interface.mtu <= SINGLE_BUFFER_MTU {
            Ok(())
        } else if host.kernel < (5, 18) {
            Err("multi-buffer frames require Linux 5.18")
        } else if self.xdp.is_some_and(|xdp| !xdp.receive_multi_buffer()) {
            Err("the driver does not support multi-buffer frames (rx-sg)")
        } else {
            Ok(())
        }
    }
}
