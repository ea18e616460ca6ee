//! The fastest common use of plain sockets: 64 datagrams per system call, and a reply of fixed form written
//! over the request. IPv4 only, since it is measured with nothing else.
#![allow(unsafe_code)]

use anyhow::{Result, bail};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

const BATCH: usize = 64;
const LENGTH: usize = 256;
const REPLY: usize = 32;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub fn serve(socket: UdpSocket) -> Result<()> {
    if !socket.local_addr()?.is_ipv4() {
        bail!("this baseline serves IPv4 only");
    }
    let mut buffers = [[0u8; LENGTH]; BATCH];
    // SAFETY: all-zero bytes are a valid value of these C structures of integers and pointers.
    let (mut names, mut spans, mut headers): (
        [libc::sockaddr_in; BATCH],
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
    ) = unsafe { std::mem::zeroed() };
    let (buffers_at, names_at, spans_at) = (buffers.as_mut_ptr(), names.as_mut_ptr(), spans.as_mut_ptr());
    loop {
        for (i, header) in headers.iter_mut().enumerate() {
            // SAFETY: `i` is below the length of each array; the arrays outlive the loop and are
            // reached through these pointers alone.
            let (buffer, name, span) = unsafe { (buffers_at.add(i), names_at.add(i), spans_at.add(i)) };
            // SAFETY: as above.
            unsafe { *span = libc::iovec { iov_base: buffer.cast(), iov_len: LENGTH } };
            header.msg_hdr.msg_name = name.cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_hdr.msg_iov = span;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points to a name, a span and a buffer of the lengths that it states.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            bail!("recvmmsg: {}", io::Error::last_os_error());
        };
        let mut replies = 0;
        for i in 0..received {
            // SAFETY: the kernel is done with the buffers and names, and `i` is within the arrays.
            let (buffer, name) = unsafe { (&mut *buffers_at.add(i), &*names_at.add(i)) };
            if write_reply(buffer, headers[i].msg_len as usize, name) {
                // SAFETY: as above.
                unsafe { (*spans_at.add(i)).iov_len = REPLY };
                headers[replies].msg_hdr = headers[i].msg_hdr;
                replies += 1;
            }
        }
        let mut sent = 0;
        while sent < replies {
            // SAFETY: as for `recvmmsg`; the first `replies` headers are those of replies.
            let n = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), headers[sent..].as_mut_ptr(), (replies - sent) as u32, 0)
            };
            // A reply that cannot be sent is lost, like any datagram.
            sent += usize::try_from(n).unwrap_or(1).max(1);
        }
    }
}

/// Writes a Binding success response with XOR-MAPPED-ADDRESS over a Binding request.
fn write_reply(buffer: &mut [u8; LENGTH], length: usize, name: &libc::sockaddr_in) -> bool {
    if length < 20 || buffer[..2] != [0, 1] || buffer[4..8] != COOKIE {
        return false;
    }
    buffer[..4].copy_from_slice(&[0x01, 0x01, 0, 12]);
    buffer[20..26].copy_from_slice(&[0x00, 0x20, 0, 8, 0, 1]);
    let port = name.sin_port.to_ne_bytes();
    let address = name.sin_addr.s_addr.to_ne_bytes();
    for (target, (byte, key)) in buffer[26..28].iter_mut().zip(port.iter().zip(COOKIE)) {
        *target = byte ^ key;
    }
    for (target, (byte, key)) in buffer[28..32].iter_mut().zip(address.iter().zip(COOKIE)) {
        *target = byte ^ key;
    }
    true
}
