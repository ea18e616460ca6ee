//! Many datagrams for each system call: `recvmmsg` into memory that is laid out once, `sendmmsg` out of the
//! same memory. With `batch/address.rs` the only unsafe code of the socket path.
#![allow(unsafe_code)]

mod address;

pub(super) use address::{enable_pktinfo, has_pktinfo};

use address::{
    PeerAddress, PktinfoMessage, destination, forget_interface, make, set_origin, set_port, source,
};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use xstun_core::stun::REPLY_ROOM;

/// Datagrams in a batch: as many as NAPI and AF_XDP programs take.
pub(crate) const SIZE: usize = 64;

/// Longest datagram received completely, in bytes. Longer ones are truncated and marked.
pub(crate) const PAYLOAD: usize = 2048;

/// Bytes of a buffer. Not a multiple of the page size, so that the first cache lines of all buffers do not
/// fall into the same cache sets.
const BUFFER: usize = PAYLOAD + REPLY_ROOM;

/// How often one `send` retries after a signal before it treats the socket as full.
const INTERRUPTIONS: u32 = 8;

/// All memory of a batch. The headers point into the other arrays.
struct Storage {
    received: [libc::mmsghdr; SIZE],
    outgoing: [libc::mmsghdr; SIZE],
    spans: [libc::iovec; SIZE],
    names: [PeerAddress; SIZE],
    controls: [PktinfoMessage; SIZE],
    buffers: [[u8; BUFFER]; SIZE],
}

/// Up to [`SIZE`] received datagrams, and which of them are sent as replies.
pub(crate) struct Batch {
    storage: NonNull<Storage>,
    addressed: bool,
    received: usize,
    /// How many headers, from the first, a system call or a mark has changed.
    touched: usize,
    marks: [u8; SIZE],
    marked: usize,
}

/// One received datagram.
#[derive(Debug)]
pub(super) struct ReceivedDatagram<'a> {
    /// The whole buffer: the datagram, and at least [`REPLY_ROOM`] bytes after it.
    pub buffer: &'a mut [u8],
    /// Bytes of the datagram.
    pub length: usize,
    /// The sender. An IPv4-mapped address is converted to IPv4.
    pub source: SocketAddr,
    /// The address of this host that the datagram was sent to. `None` if no reply can leave from it, as from a
    /// multicast or broadcast address, and on a socket without IP_PKTINFO.
    pub destination: Option<IpAddr>,
    /// The datagram was longer than [`PAYLOAD`].
    pub truncated: bool,
}

/// The result of sending one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel took it.
    Left,
    /// The kernel has no room now.
    Full,
    /// The kernel refused this one, with this errno.
    Refused(i32),
}

impl Batch {
    /// A batch for unconnected sockets, whose datagrams come with addresses.
    pub(crate) fn new() -> Self {
        Batch::lay_out(true)
    }

    /// A batch for connected sockets: its datagrams have no addresses.
    pub(crate) fn connected() -> Self {
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
            // SAFETY: `all` is valid and `i` within its arrays. The block only computes addresses and writes
            // plain values; every later reference into the arrays comes from the same pointer, so none
            // invalidates these.
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

    /// Receives up to [`SIZE`] datagrams without waiting, and returns their number: 0 if none was there or a
    /// signal interrupted the call. Marks that were not sent are discarded.
    ///
    /// # Errors
    /// Every errno but EAGAIN and EINTR.
    pub(crate) fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let all = self.storage.as_ptr();
        for i in 0..self.touched {
            // SAFETY: `i` is at most SIZE - 1, and nothing else refers to the storage while `self`
            // is borrowed mutably.
            unsafe {
                (*all).spans[i].iov_len = PAYLOAD as _;
                if self.addressed {
                    let header = &raw mut (*all).received[i].msg_hdr;
                    (*header).msg_namelen = size_of::<PeerAddress>() as _;
                    (*header).msg_controllen = size_of::<PktinfoMessage>() as _;
                }
            }
        }
        (self.touched, self.received, self.marked) = (0, 0, 0);
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: recvmmsg(2) writes through the headers, whose pointers and lengths describe exactly the
        // arrays of the storage; the file descriptor is borrowed, so it is open.
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

    /// The datagram at `index` of those that the last [`Batch::receive`] took from an unconnected socket.
    ///
    /// # Panics
    /// If `index` is not below the number that `receive` returned.
    #[inline]
    pub(super) fn datagram(&mut self, index: usize) -> ReceivedDatagram<'_> {
        assert!(index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: `index` is within the arrays, and nothing else refers to the storage while `self`
        // is borrowed mutably. Only the reference to the buffer outlives the block.
        unsafe {
            let buffer: &mut [u8; BUFFER] = &mut (*all).buffers[index];
            let message = (*all).received[index];
            ReceivedDatagram {
                buffer,
                length: message.msg_len as usize,
                source: source(&(*all).names[index]),
                destination: destination(&(*all).controls[index], message.msg_hdr.msg_controllen as _),
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            }
        }
    }

    /// The bytes of the datagram at `index` of those that the last [`Batch::receive`] took.
    ///
    /// # Panics
    /// If `index` is not below the number that `receive` returned.
    #[inline]
    pub(crate) fn payload(&self, index: usize) -> &[u8] {
        assert!(index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: `index` is within the arrays, and nothing writes while `self` is borrowed.
        let (buffer, length): (&[u8; BUFFER], _) =
            unsafe { (&(*all).buffers[index], (*all).received[index].msg_len) };
        &buffer[..length as usize]
    }

    /// The buffer at `index`, below [`SIZE`], to write a datagram into.
    #[inline]
    pub(crate) fn buffer(&mut self, index: usize) -> &mut [u8] {
        // SAFETY: the array checks the index; the reference lives while `self` is borrowed mutably.
        let buffer: &mut [u8; BUFFER] = unsafe { &mut (*self.storage.as_ptr()).buffers[index] };
        buffer
    }

    /// Marks the first `length` bytes of the buffer at `index` for the next [`Batch::send`]: as the reply to the
    /// datagram received there, from the address that it was sent to; or, in a batch for connected sockets, as
    /// a datagram to the peer. Each index may be marked once in a batch.
    ///
    /// # Panics
    /// If the buffer is shorter, nothing was received at `index` that could be replied to, or the
    /// batch is full.
    #[inline]
    pub(crate) fn mark(&mut self, index: usize, length: usize) {
        assert!(length <= BUFFER, "{length} bytes do not fit in the buffer");
        assert!(!self.addressed || index < self.received, "no datagram was received at {index}");
        let all = self.storage.as_ptr();
        // SAFETY: the arrays check both indices, and nothing else refers to the storage while
        // `self` is borrowed mutably.
        unsafe {
            (*all).spans[index].iov_len = length as _;
            if self.addressed {
                forget_interface(&mut (*all).controls[index]);
            }
            (*all).outgoing[self.marked].msg_hdr = (*all).received[index].msg_hdr;
        }
        self.marks[self.marked] = index as u8;
        self.marked += 1;
        self.touched = self.touched.max(index + 1);
    }

    /// Like [`Batch::mark`], but the reply leaves from the address `origin`, and goes to port `port` of the
    /// sender if that is given. The batch must be for unconnected sockets, and `origin` of the same IP version
    /// as the address that received the request.
    ///
    /// # Panics
    /// As [`Batch::mark`].
    #[cold]
    pub(crate) fn mark_diverted(
        &mut self,
        index: usize,
        length: usize,
        origin: IpAddr,
        port: Option<NonZeroU16>,
    ) {
        self.mark(index, length);
        let all = self.storage.as_ptr();
        // SAFETY: `mark` checked `index`, and nothing else refers to the storage while `self` is
        // borrowed mutably.
        unsafe {
            let header = &raw mut (*all).outgoing[self.marked - 1].msg_hdr;
            if (*header).msg_controllen == 0 {
                make(&mut (*all).controls[index], origin.is_ipv6());
                (*header).msg_controllen = size_of::<PktinfoMessage>() as _;
            }
            set_origin(&mut (*all).controls[index], origin);
            if let Some(port) = port {
                set_port(&mut (*all).names[index], port.get());
            }
        }
    }

    /// Sends the marked datagrams without waiting, and calls `ended` once for each index with the result. A
    /// datagram that the kernel refuses is skipped: the sender of the request can be the reason, and must not
    /// delay the others. Returns the number of system calls.
    pub(crate) fn send(&mut self, socket: impl AsFd, mut ended: impl FnMut(usize, Sent)) -> u64 {
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

#[cfg(test)]
mod tests;
