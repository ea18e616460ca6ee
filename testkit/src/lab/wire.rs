//! Raw Ethernet frames sent to and seen on one interface.
#![allow(unsafe_code)]

use super::Namespace;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// An AF_PACKET socket bound to one interface. It does not see what it sends itself.
pub struct Wire {
    socket: OwnedFd,
}

impl Wire {
    /// Opens a socket on an interface of the namespace.
    pub fn open(namespace: &Namespace, interface: &str) -> Self {
        namespace.enter(|| Wire { socket: open(interface).unwrap_or_else(|e| panic!("{interface}: {e}")) })
    }

    /// Sends a whole frame.
    pub fn send(&self, frame: &[u8]) {
        let sent = rustix::net::send(&self.socket, frame, SendFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "a frame of {} bytes leaves", frame.len());
    }

    /// The next frame for which `wanted` returns true; those before it are discarded.
    pub fn wait_for(&self, limit: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        loop {
            while let Some(frame) = self.next() {
                if wanted(&frame) {
                    return Some(frame);
                }
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let timeout = rustix::time::Timespec::try_from(left).expect("a limit is a few seconds");
            let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                // A signal is no frame; the time that is left is counted anew.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => panic!("poll of a packet socket: {error}"),
            }
        }
    }

    /// All frames that are waiting.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The next frame that is waiting, as it was on the wire.
    fn next(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0u8; 65_536];
        let mut control = [0u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: msghdr is plain integers and pointers, for which all zero bytes are valid.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the message names one buffer and one control area, both alive and of the lengths
        // given; recvmsg writes no further.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
        let length = match usize::try_from(length) {
            Ok(length) => length,
            Err(_) => {
                let error = std::io::Error::last_os_error();
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "a packet socket receives: {error}");
                return None;
            }
        };
        frame.truncate(length);
        if let Some([t0, t1, c0, c1]) = stripped_tag(&message) {
            frame.splice(12..12, [t0, t1, c0, c1]);
        }
        Some(frame)
    }
}

/// The VLAN tag that the kernel took out of the frame and reports in a control message.
fn stripped_tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: the header was filled by recvmsg and its control area is alive.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the control area.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA {
            // SAFETY: a message of this type carries one tpacket_auxdata (packet(7)), at no alignment
            // that is promised.
            let data: libc::tpacket_auxdata =
                unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
            if data.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                let [t0, t1] = data.tp_vlan_tpid.to_be_bytes();
                let [c0, c1] = data.tp_vlan_tci.to_be_bytes();
                return Some([t0, t1, c0, c1]);
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; `header` is one that it gave.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

fn open(interface: &str) -> std::io::Result<OwnedFd> {
    // Without a protocol it receives nothing before it is bound: no other interface's frames.
    let socket =
        rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
    for option in [libc::PACKET_AUXDATA, libc::PACKET_IGNORE_OUTGOING] {
        let on: libc::c_int = 1;
        // SAFETY: the option's value is the int pointed to, of the length given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    // SAFETY: sockaddr_ll is plain integers, for which all zero bytes are valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: the address is a whole sockaddr_ll, as AF_PACKET's bind asks, of the length given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(socket)
}
