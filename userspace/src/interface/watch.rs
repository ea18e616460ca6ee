//! Notifications of the kernel that links or addresses changed.

use super::netlink::receive;
use crate::error::{Failure, Result};
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// Becomes readable when a link or an address of this network namespace changes. It reports that something
/// changed, not what: the caller reads the current state, so a lost or unknown message does no harm.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
}

/// What may have changed since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// An interface was added or removed, or changed its state, name, hardware address, MTU or XDP program.
    pub links: bool,
    /// An address was added or removed, or changed its state.
    pub addresses: bool,
}

impl Changed {
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self.links || self.addresses
    }

    const EVERYTHING: Changed = Changed { links: true, addresses: true };
}

/// Datagrams to read in one call. The rest stays readable: a flood of changes cannot block the caller.
const DRAIN_LIMIT: usize = 1024;

impl Watch {
    /// Watches the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn new() -> Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_non_blocking(true)?;
            socket.bind(&SocketAddr::new(0, groups.unsigned_abs()))?;
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Watch { socket }),
            Err(error) => {
                Err(Failure::system("cannot watch links and addresses over netlink").because(error))
            }
        }
    }

    /// Reads what is pending, without waiting.
    ///
    /// # Errors
    /// The socket failed: no further change will be reported.
    pub fn drain(&self) -> Result<Changed> {
        let mut changed = Changed::default();
        for _ in 0..DRAIN_LIMIT {
            match receive(&self.socket, libc::MSG_DONTWAIT) {
                Ok(datagram) => note(&datagram, &mut changed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The queue overflowed: messages are lost.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changed = Changed::EVERYTHING,
                Err(error) => {
                    return Err(Failure::system("cannot read changes of links and addresses").because(error));
                }
            }
        }
        Ok(changed)
    }
}

fn note(mut datagram: &[u8], changed: &mut Changed) {
    while !datagram.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(&datagram) else {
            *changed = Changed::EVERYTHING;
            return;
        };
        match message.message_type() {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => changed.links = true,
            libc::RTM_NEWADDR | libc::RTM_DELADDR => changed.addresses = true,
            _ => {}
        }
        let length = message.length() as usize;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Changed, note};

    fn message(kind: u16) -> Vec<u8> {
        let mut bytes = 17u32.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 11]);
        bytes.resize(20, 0);
        bytes
    }

    fn noted(datagram: &[u8]) -> Changed {
        let mut changed = Changed::default();
        note(datagram, &mut changed);
        changed
    }

    #[test]
    fn each_message_of_a_datagram_is_noted() {
        assert_eq!(noted(&message(libc::RTM_DELADDR)), Changed { links: false, addresses: true });
        let both = [message(libc::RTM_NEWROUTE), message(libc::RTM_NEWLINK), message(libc::RTM_NEWADDR)];
        assert_eq!(noted(&both.concat()), Changed::EVERYTHING);
        assert!(!noted(&message(libc::RTM_NEWROUTE)).any());
    }

    #[test]
    fn an_unreadable_message_counts_as_every_change() {
        assert_eq!(noted(&message(libc::RTM_NEWROUTE)[..9]), Changed::EVERYTHING);
    }
}
