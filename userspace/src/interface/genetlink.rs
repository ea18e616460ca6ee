//! Generic netlink: families of commands, which have a name and a number that the kernel assigns.

use super::attribute::{Attributes, attribute, number};
use super::netlink::{Netlink, RequestKind};
use netlink_sys::protocols::NETLINK_GENERIC;
use std::io;

/// Length of `struct genlmsghdr`: command, version, two reserved bytes.
const HEADER: usize = 4;

/// A family of commands that this kernel has.
pub(super) struct Family {
    netlink: Netlink,
    kind: u16,
}

impl Family {
    /// Looks up the family with this name.
    ///
    /// # Errors
    /// ENOENT if this kernel does not have it.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        const CONTROLLER: u16 = libc::GENL_ID_CTRL as u16;
        const GET_FAMILY: u8 = libc::CTRL_CMD_GETFAMILY as u8;
        let attributes = Attributes::default().text(libc::CTRL_ATTR_FAMILY_NAME as u16, name);
        let mut controller = Family { netlink: Netlink::open(NETLINK_GENERIC)?, kind: CONTROLLER };
        let answer = controller.request(GET_FAMILY, attributes)?;
        let kind = attribute(&answer, libc::CTRL_ATTR_FAMILY_ID as u16)
            .and_then(number)
            .and_then(|number| u16::try_from(number).ok())
            .ok_or_else(|| {
                io::Error::other(format!("the kernel gave no number for netlink family {name}"))
            })?;
        Ok(Family { netlink: controller.netlink, kind })
    }

    /// Sends `command` and returns the attributes of the answer; empty if there is none.
    ///
    /// # Errors
    /// The kernel's errno for the request, or that of the socket.
    pub(super) fn request(&mut self, command: u8, attributes: Attributes) -> io::Result<Vec<u8>> {
        let mut body = vec![command, 1, 0, 0];
        body.extend(attributes.into_bytes());
        let messages = self.netlink.request(self.kind, RequestKind::Single, &body)?;
        let answer = messages.into_iter().find(|(kind, _)| *kind == self.kind);
        Ok(answer.and_then(|(_, body)| body.get(HEADER..).map(<[u8]>::to_vec)).unwrap_or_default())
    }
}
