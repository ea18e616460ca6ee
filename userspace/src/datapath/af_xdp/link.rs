//! The attachment of an XDP program: a bpf_link, which lives by its file descriptors, in whichever
//! process they are.
#![allow(unsafe_code)]

use super::program::XdpMode;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// `BPF_LINK_CREATE`, `BPF_LINK_UPDATE` and `BPF_XDP` of linux/bpf.h.
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;
const XDP: u32 = 37;
/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// A program that is attached for as long as this, or a duplicate of it, is open anywhere.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// The arguments of both commands: four numbers, and zeros for all that the kernel may know beyond.
#[repr(C)]
struct Arguments {
    words: [u32; 4],
    rest: [u64; 14],
}

impl Link {
    /// Attaches a loaded program to the interface of this index.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, mode: XdpMode) -> io::Result<Self> {
        let flags = match mode {
            XdpMode::Native => NATIVE,
            XdpMode::Generic => GENERIC,
        };
        let link = bpf(LINK_CREATE, [fd(program), interface, XDP, flags])?;
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        Ok(Link(unsafe { OwnedFd::from_raw_fd(link) }))
    }

    /// Puts a loaded program into the place of the one that runs. No frame sees neither.
    ///
    /// # Errors
    /// The kernel's refusal: ENOLINK the interface is gone.
    pub(super) fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        bpf(LINK_UPDATE, [fd(self.0.as_fd()), fd(program), 0, 0]).map(drop)
    }

    /// Another handle of the same attachment.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl From<OwnedFd> for Link {
    /// From another process's [`Link::duplicate`].
    fn from(link: OwnedFd) -> Self {
        Link(link)
    }
}

fn fd(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn bpf(command: u32, words: [u32; 4]) -> io::Result<i32> {
    let arguments = Arguments { words, rest: [0; 14] };
    // SAFETY: bpf(2) reads as many bytes of the arguments as it is told, which is their size, and with
    // these commands writes none. Bytes beyond those that it knows are zero, as it demands.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const arguments, size_of::<Arguments>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
