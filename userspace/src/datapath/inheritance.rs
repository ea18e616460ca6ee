//! What one process serves with and another can go on with: descriptors of sockets and attachments.

use crate::interface::NapiSettings;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Everything that a server hands over to the one after it. The kernel's queues belong to the
/// descriptors, so that what has arrived there is handed over too.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// UDP sockets by the address that they are bound to.
    pub udp: Vec<(SocketAddr, Vec<OwnedFd>)>,
    /// TCP listeners by transport (`tcp`, `tls`, or what else listens) and address.
    pub listeners: Vec<(String, SocketAddr, OwnedFd)>,
    /// Attachments of XDP programs.
    pub links: Vec<InheritedLink>,
}

/// The attachment of an XDP program to one interface.
#[derive(Debug)]
pub struct InheritedLink {
    /// The interface's name.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Whether the driver runs the program.
    pub native: bool,
    /// What the interface's NAPI settings were before `--busy-poll` changed them.
    pub napi: Option<NapiSettings>,
    /// The bpf_link.
    pub link: OwnedFd,
}

impl Inheritance {
    /// Takes the UDP sockets of an address out.
    pub(super) fn take_udp(&mut self, address: &SocketAddr) -> Vec<OwnedFd> {
        let found = self.udp.iter().position(|(inherited, _)| inherited == address);
        found.map_or_else(Vec::new, |index| self.udp.swap_remove(index).1)
    }

    /// Takes a listener out.
    pub fn take_listener(&mut self, name: &str, address: &SocketAddr) -> Option<OwnedFd> {
        let found = self.listeners.iter().position(|(n, inherited, _)| n == name && inherited == address)?;
        Some(self.listeners.swap_remove(found).2)
    }

    /// Takes the attachment to an interface out.
    pub(super) fn take_link(&mut self, index: u32) -> Option<InheritedLink> {
        let found = self.links.iter().position(|link| link.index == index)?;
        Some(self.links.swap_remove(found))
    }
}
