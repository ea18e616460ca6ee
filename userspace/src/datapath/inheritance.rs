//! The descriptors that one server hands over to its successor: sockets, listeners and attachments.

use crate::interface::NapiSettings;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Everything that a server hands over to its successor. The kernel's queues belong to the descriptors,
/// so whatever has arrived in them is handed over too.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// UDP sockets by the address that they are bound to.
    pub(crate) udp: Vec<(SocketAddr, Vec<OwnedFd>)>,
    /// TCP listeners by name (`tcp`, `tls`, or another service's) and address.
    pub(crate) listeners: Vec<(String, SocketAddr, OwnedFd)>,
    /// Attachments of XDP programs.
    pub(crate) links: Vec<InheritedLink>,
}

/// The attachment of an XDP program to one interface.
#[derive(Debug)]
pub(crate) struct InheritedLink {
    /// The interface's name.
    pub(crate) interface: String,
    /// Its index.
    pub(crate) index: u32,
    /// Whether the driver runs the program.
    pub(crate) native: bool,
    /// The interface's NAPI settings before `--busy-poll` changed them.
    pub(crate) napi: Option<NapiSettings>,
    /// The bpf_link.
    pub(crate) link: OwnedFd,
}

impl Inheritance {
    /// Takes out the UDP sockets of an address.
    pub(super) fn take_udp(&mut self, address: &SocketAddr) -> Vec<OwnedFd> {
        let found = self.udp.iter().position(|(inherited, _)| inherited == address);
        found.map_or_else(Vec::new, |index| self.udp.swap_remove(index).1)
    }

    /// Takes out a listener.
    pub(crate) fn take_listener(&mut self, name: &str, address: &SocketAddr) -> Option<OwnedFd> {
        let found = self.listeners.iter().position(|(n, inherited, _)| n == name && inherited == address)?;
        Some(self.listeners.swap_remove(found).2)
    }

    /// Takes out the attachment to an interface.
    pub(super) fn take_link(&mut self, index: u32) -> Option<InheritedLink> {
        let found = self.links.iter().position(|link| link.index == index)?;
        Some(self.links.swap_remove(found))
    }
}
