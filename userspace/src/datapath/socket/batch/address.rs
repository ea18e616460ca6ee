//! The addresses of a datagram, in the kernel's structures.

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _};

/// A peer's address, of either IP version.
#[repr(C)]
pub(super) union PeerAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

#[repr(C)]
union Info {
    v4: libc::in_pktinfo,
    v6: libc::in6_pktinfo,
}

/// Space for the one control message, IP_PKTINFO or IPV6_PKTINFO. What the kernel writes here on receipt is,
/// without the interface, what `sendmmsg` needs in order to answer from the same address.
#[repr(C)]
pub(super) struct PktinfoMessage {
    header: libc::cmsghdr,
    info: Info,
}

const _: () = {
    // SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
    let (start, space) = unsafe { (libc::CMSG_LEN(0), libc::CMSG_SPACE(size_of::<Info>() as u32)) };
    assert!(offset_of!(PktinfoMessage, info) == start as usize);
    assert!(size_of::<PktinfoMessage>() == space as usize);
};

/// Makes the kernel report each datagram's destination (IP_PKTINFO; IPV6_RECVPKTINFO, RFC 3542 §6.1).
///
/// # Errors
/// setsockopt(2) failed.
pub(in crate::datapath::socket) fn enable_pktinfo(socket: impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = option(ipv6);
    let on: libc::c_int = 1;
    // SAFETY: setsockopt(2) reads as many bytes as the length says, here those of one int.
    let result = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value, size_of_val(&on) as _)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether [`enable_pktinfo`] was called for a socket, in any process.
///
/// # Errors
/// getsockopt(2) failed.
pub(in crate::datapath::socket) fn has_pktinfo(socket: impl AsFd, ipv6: bool) -> io::Result<bool> {
    let (level, option) = option(ipv6);
    let mut on: libc::c_int = 0;
    let mut length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: getsockopt(2) writes at most as many bytes as the length says, here those of one int.
    let result = unsafe {
        let value = (&raw mut on).cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, value, &raw mut length)
    };
    if result == 0 { Ok(on != 0) } else { Err(io::Error::last_os_error()) }
}

const fn option(ipv6: bool) -> (libc::c_int, libc::c_int) {
    match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    }
}

/// The sender that the kernel wrote. An IPv4-mapped address is converted to IPv4.
#[inline]
pub(super) fn source(name: &PeerAddress) -> SocketAddr {
    // SAFETY: every bit pattern is valid for every field, and the family says which one was written.
    unsafe {
        if libc::c_int::from(name.family) == libc::AF_INET {
            let ip = Ipv4Addr::from(u32::from_be(name.v4.sin_addr.s_addr));
            return SocketAddrV4::new(ip, u16::from_be(name.v4.sin_port)).into();
        }
        let (ip, port) = (Ipv6Addr::from(name.v6.sin6_addr.s6_addr), u16::from_be(name.v6.sin6_port));
        match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddrV4::new(ip, port).into(),
            None => SocketAddrV6::new(ip, port, name.v6.sin6_flowinfo, name.v6.sin6_scope_id).into(),
        }
    }
}

/// The unicast address that the datagram was sent to, if the `written` bytes of control data contain it. The
/// bytes beyond are left from an earlier datagram.
#[inline]
pub(super) fn destination(control: &PktinfoMessage, written: usize) -> Option<IpAddr> {
    let whole = |size| written >= offset_of!(PktinfoMessage, info) + size;
    // SAFETY: every bit pattern is valid for every field, and the header says which one was written.
    unsafe {
        if is_v4(control) && whole(size_of::<libc::in_pktinfo>()) {
            let info = control.info.v4;
            // For a multicast or broadcast address the kernel gives another address to reply from.
            return (info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr)
                .then(|| Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
        }
        if is_v6(control) && whole(size_of::<libc::in6_pktinfo>()) {
            let ip = Ipv6Addr::from(control.info.v6.ipi6_addr.s6_addr);
            return (!ip.is_multicast()).then_some(ip.into());
        }
    }
    None
}

/// Clears the interface that the request arrived on, and keeps the address to reply from: the routing table
/// decides the way to the client. A link-local address is ambiguous without its interface (RFC 4007 §6), so
/// that is kept.
#[inline]
pub(super) fn forget_interface(control: &mut PktinfoMessage) {
    // SAFETY: every bit pattern is valid for every field, and the header says which one was written.
    unsafe {
        if is_v4(control) {
            control.info.v4.ipi_ifindex = 0;
        } else if is_v6(control) && !Ipv6Addr::from(control.info.v6.ipi6_addr.s6_addr).is_unicast_link_local()
        {
            control.info.v6.ipi6_ifindex = 0;
        }
    }
}

/// Writes the control message that `sendmmsg` needs where the kernel wrote none: on any interface, and from the
/// address that [`set_origin`] writes.
pub(super) fn make(control: &mut PktinfoMessage, ipv6: bool) {
    let (level, kind, length) = match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>()),
        true => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>()),
    };
    control.header.cmsg_level = level;
    control.header.cmsg_type = kind;
    control.header.cmsg_len = (offset_of!(PktinfoMessage, info) + length) as _;
    control.info.v6 = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: 0 };
}

/// Sets the address that the reply leaves from, if it is of the IP version that the kernel wrote.
pub(super) fn set_origin(control: &mut PktinfoMessage, origin: IpAddr) {
    match origin {
        IpAddr::V4(ip) if is_v4(control) => {
            control.info.v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(ip).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
        }
        IpAddr::V6(ip) if is_v6(control) => {
            control.info.v6.ipi6_addr.s6_addr = ip.octets();
        }
        _ => {}
    }
}

/// Sets the port of a peer's address.
pub(super) fn set_port(name: &mut PeerAddress, port: u16) {
    // SAFETY: every bit pattern is valid for every field, and the family says which one was written.
    unsafe {
        if libc::c_int::from(name.family) == libc::AF_INET {
            name.v4.sin_port = port.to_be();
        } else {
            name.v6.sin6_port = port.to_be();
        }
    }
}

fn is_v4(control: &PktinfoMessage) -> bool {
    (control.header.cmsg_level, control.header.cmsg_type) == (libc::IPPROTO_IP, libc::IP_PKTINFO)
}

fn is_v6(control: &PktinfoMessage) -> bool {
    (control.header.cmsg_level, control.header.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
}
