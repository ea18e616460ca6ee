//! Many datagrams a system call: `recvmmsg` into memory that is laid out once, `sendmmsg` out of the
//! same memory. The one leaf of the socket path with unsafe code.
#![allow(unsafe_code)]

use crate::stun::REPLY_ROOM;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};

/// Datagrams in a batch, as AF_XDP programs and NAPI take them.
pub const SIZE: usize = 64;

/// Longest datagram received whole, in bytes. Longer ones are cut and say so.
pub const PAYLOAD: usize = 2048;

/// Not a multiple of the page size, so that the first lines of all buffers do not fall into the same
/// sets of the cache.
const BUFFER: usize = PAYLOAD + REPLY_ROOM;

/// How often one `send` begins anew after a signal before it calls the socket full.
const INTERRUPTIONS: u32 = 8;

#[repr(C)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

#[repr(C)]
union Info {
    v4: libc::in_pktinfo,
    v6: libc::in6_pktinfo,
}

/// Room for the one control message that is asked for. What the kernel writes here on receipt is,
/// with the interface taken out, what `sendmmsg` wants in order to answer from the same address.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    info: Info,
}

const _: () = {
    // SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
    let (start, space) = unsafe { (libc::CMSG_LEN(0), libc::CMSG_SPACE(size_of::<Info>() as u32)) };
    assert!(offset_of!(Control, info) == start as usize);
    assert!(size_of::<Control>() == space as usize);
};

/// All memory of a batch. The headers point into the arrays beside them.
struct Storage {
    received: [libc::mmsghdr; SIZE],
    outgoing: [libc::mmsghdr; SIZE],
    spans: [libc::iovec; SIZE],
    names: [Name; SIZE],
    controls: [Control; SIZE],
    buffers: [[u8; BUFFER]; SIZE],
}

/// Up to [`SIZE`] datagrams received, and those of them that shall leave as replies.
pub struct Batch {
    storage: NonNull<Storage>,
    addressed: bool,
    received: usize,
    /// Headers from the first on that a system call or a mark has changed.
    touched: usize,
    marks: [u8; SIZE],
    marked: usize,
}

/// One received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The whole buffer: the datagram, and at least [`REPLY_ROOM`] bytes after it.
    pub buffer: &'a mut [u8],
    /// Bytes of the datagram.
    pub length: usize,
    /// Sender, an IPv4-mapped address turned into the IPv4 address that it is.
    pub source: SocketAddr,
    /// Address of this host that was asked. `None` for what can be no reply's source: a multicast or
    /// broadcast address.
    pub destination: Option<IpAddr>,
    /// The datagram was longer than [`PAYLOAD`].
    pub truncated: bool,
}

/// What became of one datagram that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Left,
    /// The kernel has no room now.
    Full,
    /// The kernel refused this one, with this errno.
    Refused(i32),
}

impl Batch {
    /// A batch for unconnected sockets that ask for the destination (see [`ask_destination`]).
    pub fn new() -> Self {
        Batch::lay_out(true)
    }

    /// A batch for connected sockets: no addresses come or go with its datagrams.
    pub fn connected() -> Self {
        Batch::lay_out(false)
    }

    fn lay_out(addressed: bool) -> Self {
        let layout = Layout::new::<Storage>();
        // SAFETY: the layout's size is not zero. All-zero bytes are a valid `Storage`: it consists
        // of integers, of raw pointers and of C structures of these.
        let Some(storage) = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<Storage>()) else {
            handle_alloc_error(layout)
        };
        let all = storage.as_ptr();
        for i in 0..SIZE {
            // SAFETY: `all` is valid and `i` within its arrays. Only places are computed and plain
            // values written; every later reference into the arrays comes from the same pointer, so
            // none invalidates these.
            unsafe {
                let span = &raw mut (*all).spans[i];
                (*span).iov_base = (&raw mut (*all).buffers[i]).cast();
                (*span).iov_len = PAYLOAD as _;
                let header = &raw mut (*all).received[i].msg_hdr;
                (*header).msg_iov = span;
                (*header).msg_iovlen = 1;
                if addressed {
                    (*header).msg_name = (&raw mut (*all).names[i]).cast();
                    (*header).msg_control = (&raw mut (*all).controls[i]).cast();
                }
            }
        }
        Batch { storage, addressed, received: 0, touched: SIZE, marks: [0; SIZE], marked: 0 }
    }

    /// Receives what waits in the socket, up to [`SIZE`] datagrams, without waiting. Gives their
    /// number: 0 when none was there or a signal came between. Marks not sent are forgotten.
    ///
    /// # Errors
    /// Every errno but EAGAIN and EINTR.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let all = self.storage.as_ptr();
        for i in 0..self.touched {
            // SAFETY: `i` is at most SIZE - 1, and nothing else refers to the storage while `self`
            // is borrowed mutably.
            unsafe {
                (*all).spans[i].iov_len = PAYLOAD as _;
                if self.addressed {
                    let header = &raw mut (*all).received[i].msg_hdr;
                    (*header).msg_namelen = size_of::<Name>() as _;
                    (*header).msg_controllen = size_of::<Control>() as _;
                }
            }
        }
        (self.touched, self.received, self.marked) = (0, 0, 0);
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: recvmmsg(2) writes through the headers, whose pointers and lengths describe
        // exactly the arrays of the storage; the file descriptor is borrowed, so it is open.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                (&raw mut (*all).received).cast(),
                SIZE as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => {
                (self.touched, self.received) = (count, count);
                Ok(count)
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(0),
                error => Err(error),
            },
        }
    }

    /// The datagram at `index` of those that the last [`Batch::receive`] gave, on an unconnected
    /// socket.
    ///
    /// # Panics
    /// If `index` is not below what `receive` gave.
    #[inline]
    pub fn datagram(&mut self, index: usize) -> Datagram<'_> {
        assert!(index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: `index` is within the arrays. The headers are copied, and the one reference made
        // is to a buffer, for as long as `self` is borrowed mutably.
        let (buffer, message, source, destination) = unsafe {
            let message = (*all).received[index];
            let buffer: &mut [u8; BUFFER] = &mut (*all).buffers[index];
            (buffer, message, source(&(*all).names[index]), destination(&(*all).controls[index]))
        };
        Datagram {
            buffer,
            length: message.msg_len as usize,
            source,
            // Control data cut short or absent leaves what an earlier datagram had there.
            destination: destination
                .filter(|_| message.msg_hdr.msg_controllen as usize >= size_of_info(&source)),
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Bytes of the datagram at `index` of those that the last [`Batch::receive`] gave.
    ///
    /// # Panics
    /// If `index` is not below what `receive` gave.
    #[inline]
    pub fn payload(&self, index: usize) -> &[u8] {
        assert!(index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: `index` is within the arrays, and nothing writes while `self` is borrowed.
        let (buffer, length): (&[u8; BUFFER], _) =
            unsafe { (&(*all).buffers[index], (*all).received[index].msg_len) };
        &buffer[..length as usize]
    }

    /// The buffer at `index`, below [`SIZE`], to write a datagram into.
    #[inline]
    pub fn buffer(&mut self, index: usize) -> &mut [u8] {
        // SAFETY: the array checks the index; the reference lives while `self` is borrowed mutably.
        let buffer: &mut [u8; BUFFER] = unsafe { &mut (*self.storage.as_ptr()).buffers[index] };
        buffer
    }

    /// Puts the first `length` bytes of the buffer at `index` in line for the next [`Batch::send`]:
    /// as the reply to the datagram received there, from the address that was asked; or, in a batch
    /// for connected sockets, as a datagram to the peer. Each index may be marked once a batch.
    ///
    /// # Panics
    /// If the buffer is shorter, nothing was received at `index` that could be replied to, or the
    /// batch is full.
    #[inline]
    pub fn mark(&mut self, index: usize, length: usize) {
        assert!(length <= BUFFER, "{length} bytes do not fit in the buffer");
        assert!(!self.addressed || index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: the arrays check both indices, and nothing else refers to the storage while
        // `self` is borrowed mutably. Of the union the field is used that the family tells.
        unsafe {
            (*all).spans[index].iov_len = length as _;
            if self.addressed {
                let info = &raw mut (*all).controls[index].info;
                if libc::c_int::from((*all).names[index].family) == libc::AF_INET {
                    // The routing table, not the interface the request came in by, says how to the
                    // client. The source, `ipi_spec_dst`, is there already.
                    (*info).v4.ipi_ifindex = 0;
                } else if !is_link_local(&(*info).v6.ipi6_addr.s6_addr) {
                    (*info).v6.ipi6_ifindex = 0;
                }
            }
            (*all).outgoing[self.marked].msg_hdr = (*all).received[index].msg_hdr;
        }
        self.marks[self.marked] = index as u8;
        self.marked += 1;
        self.touched = self.touched.max(index + 1);
    }

    /// Sends what is marked, without waiting, and tells of each index once how it ended. A datagram
    /// that the kernel refuses is skipped: whoever sent the request can be the reason, and the others
    /// shall not suffer for it. Gives the number of system calls made.
    pub fn send(&mut self, socket: impl AsFd, mut ended: impl FnMut(usize, Sent)) -> u64 {
        let socket = socket.as_fd().as_raw_fd();
        let all = self.storage.as_ptr();
        let (mut next, mut calls, mut interruptions) = (0, 0, 0);
        while next < self.marked {
            // SAFETY: sendmmsg(2) reads through the first `marked` outgoing headers, which are
            // copies of received ones and so describe arrays of the storage; it writes only the
            // headers' `msg_len`. The file descriptor is borrowed, so it is open.
            let count = unsafe {
                let first: *mut libc::mmsghdr = (&raw mut (*all).outgoing).cast();
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                libc::sendmmsg(socket, first.add(next), (self.marked - next) as _, flags as _)
            };
            calls += 1;
            if count > 0 {
                let left = (count as usize).min(self.marked - next);
                self.marks[next..next + left].iter().for_each(|&index| ended(index.into(), Sent::Left));
                next += left;
                continue;
            }
            match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
                libc::EINTR if interruptions < INTERRUPTIONS => interruptions += 1,
                libc::EINTR | libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => break,
                errno => {
                    ended(self.marks[next].into(), Sent::Refused(errno));
                    next += 1;
                }
            }
        }
        self.marks[next..self.marked].iter().for_each(|&index| ended(index.into(), Sent::Full));
        self.marked = 0;
        calls
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch::new()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `lay_out` with this layout, and freed only here. Nothing in it has a
        // destructor.
        unsafe { dealloc(self.storage.as_ptr().cast(), Layout::new::<Storage>()) }
    }
}

/// Asks the kernel to tell each datagram's destination (IP_PKTINFO; IPV6_RECVPKTINFO, RFC 3542 §6.1).
///
/// # Errors
/// The kernel's own.
pub(super) fn ask_destination(socket: impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: libc::c_int = 1;
    // SAFETY: setsockopt(2) reads as many bytes as the length says, here those of one int.
    let result = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value, size_of_val(&on) as _)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Length of the control data that comes with a datagram of this family.
fn size_of_info(source: &SocketAddr) -> usize {
    offset_of!(Control, info)
        + match source {
            SocketAddr::V4(_) => size_of::<libc::in_pktinfo>(),
            SocketAddr::V6(_) => size_of::<libc::in6_pktinfo>(),
        }
}

#[inline]
fn source(name: &Name) -> SocketAddr {
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

#[inline]
fn destination(control: &Control) -> Option<IpAddr> {
    // SAFETY: every bit pattern is valid for every field, and the header says which one was written.
    unsafe {
        match (control.header.cmsg_level, control.header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = control.info.v4;
                // The kernel names another address to reply from where the one that was asked is a
                // multicast or broadcast address.
                (info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr)
                    .then(|| Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let ip = Ipv6Addr::from(control.info.v6.ipi6_addr.s6_addr);
                (!ip.is_multicast()).then_some(ip.into())
            }
            _ => None,
        }
    }
}

/// fe80::/10, where an address means nothing without its interface (RFC 4007 §6).
fn is_link_local(address: &[u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

#[cfg(test)]
mod tests;
