//! The attachment of an XDP program: a bpf_link, which exists as long as a file descriptor of it is open in
//! any process. Made by system calls of our own, because aya does not give out the descriptor.
#![allow(unsafe_code)]

use super::mode::XdpMode;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// `BPF_LINK_CREATE`, `BPF_LINK_UPDATE` and `BPF_XDP` of linux/bpf.h.
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;
const XDP: u32 = 37;
/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// The attachment of a program, for as long as this or a duplicate of it is open in any process.
#[derive(Debug)]
pub(super) struct BpfLink(OwnedFd);

/// The arguments of both commands: four numbers, and zeros for the fields that newer kernels know.
#[repr(C)]
struct Arguments {
    words: [u32; 4],
    rest: [u64; 14],
}

impl BpfLink {
    /// Attaches a loaded program to the interface with this index.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, mode: XdpMode) -> io::Result<Self> {
        let flags = match mode {
            XdpMode::Native => NATIVE,
            XdpMode::Generic => GENERIC,
        };
        let link = bpf(LINK_CREATE, [fd(program), interface, XDP, flags])?;
        // SAFETY: the kernel has just opened this descriptor for us, and nothing else owns it.
        Ok(BpfLink(unsafe { OwnedFd::from_raw_fd(link) }))
    }

    /// Replaces the running program by a loaded one, atomically: every frame meets exactly one program.
    ///
    /// # Errors
    /// The kernel's refusal: ENOLINK the interface was removed.
    pub(super) fn replace(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        bpf(LINK_UPDATE, [fd(self.0.as_fd()), fd(program), 0, 0]).map(drop)
    }

    /// Duplicates the descriptor of the attachment.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl From<OwnedFd> for BpfLink {
    /// Takes over what [`BpfLink::duplicate`] returned in another process.
    fn from(link: OwnedFd) -> Self {
        BpfLink(link)
    }
}

fn fd(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn bpf(command: u32, words: [u32; 4]) -> io::Result<i32> {
    let arguments = Arguments { words, rest: [0; 14] };
    // SAFETY: bpf(2) reads as many bytes of the arguments as the last argument says, which is their size, and
    // with these commands writes none. Bytes beyond those that the kernel knows are zero, as it requires.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const arguments, size_of::<Arguments>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
