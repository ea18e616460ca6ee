//! One AF_XDP socket that is bound to a queue: its rings as the verbs of [`Queues`], and its options.
#![allow(unsafe_code)]

use super::mode::BindMode;
use super::umem::{Umem, UmemFrame, ring_size};
use crate::kernel;
use rustix::io::Errno;
use rustix::net::sockopt::xdp_options;
use rustix::net::xdp::XdpOptionsFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, SocketConfig};
use xsk_rs::socket::SocketCreateError;
use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, TxQueue};
use xstun_core::rings::{BATCH, Queues};

/// A bound AF_XDP socket with its rings and its packet memory.
#[derive(Debug)]
pub struct XdpSocket {
    fill: FillQueue,
    completion: CompQueue,
    receive: RxQueue,
    transmit: TxQueue,
    umem: Umem,
    scratch: [FrameDesc; BATCH],
}

impl XdpSocket {
    /// Binds to receive queue `queue` of `interface`, in exactly this mode. The attached program stays:
    /// libxdp's own is not loaded.
    ///
    /// # Errors
    /// The kernel's errno is in the source: EBUSY the queue has a socket (or had one a moment ago),
    /// EOPNOTSUPP or EINVAL the mode is not available, EPERM CAP_NET_RAW is missing. The UMEM is returned for
    /// another try.
    pub fn bind(
        umem: Umem,
        interface: &Interface,
        queue: u32,
        mode: BindMode,
    ) -> Result<Self, (Umem, SocketCreateError)> {
        let mode_flag = match mode {
            BindMode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
            BindMode::Copy => BindFlags::XDP_COPY,
        };
        let config = SocketConfig::builder()
            .rx_queue_size(ring_size())
            .tx_queue_size(ring_size())
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(mode_flag | BindFlags::XDP_USE_NEED_WAKEUP)
            .build();
        // SAFETY: contract of `Socket::new`: sockets that share a device and queue need the program
        // load inhibited, which it is; this UMEM is shared with no other socket.
        let bound = unsafe { xsk_rs::Socket::new(config, umem.registered(), interface, queue) };
        match bound {
            Ok((transmit, receive, Some((fill, completion)))) => {
                let scratch = [FrameDesc::default(); BATCH];
                Ok(XdpSocket { fill, completion, receive, transmit, umem, scratch })
            }
            Ok((_, _, None)) => unreachable!("the first socket of a UMEM gets its fill and completion rings"),
            Err(error) => Err((umem, error)),
        }
    }

    /// The packet memory.
    #[inline(always)]
    pub(super) fn umem(&self) -> &Umem {
        &self.umem
    }

    /// All frames of the UMEM, at the first call.
    pub(super) fn take_frames(&mut self) -> Vec<UmemFrame> {
        self.umem.take_frames()
    }

    /// The mode of the bind, as the kernel reports it (XDP_OPTIONS).
    ///
    /// # Errors
    /// getsockopt(2) failed.
    pub(super) fn bind_mode(&self) -> io::Result<BindMode> {
        let zero_copy = xdp_options(self.as_fd())?.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY);
        Ok(if zero_copy { BindMode::ZeroCopy } else { BindMode::Copy })
    }

    /// The kernel's own counts of this socket (XDP_STATISTICS).
    ///
    /// # Errors
    /// getsockopt(2) failed.
    pub(super) fn statistics(&self) -> io::Result<xsk_rs::socket::XdpStatistics> {
        self.receive.fd().xdp_statistics()
    }

    /// Whether the kernel needs a wake-up for frames in the transmit ring.
    #[inline]
    pub fn transmit_needs_wakeup(&self) -> bool {
        self.transmit.needs_wakeup()
    }

    /// Whether the kernel needs a wake-up for frames in the fill ring.
    #[inline]
    pub fn fill_needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Makes the kernel transmit: one sendto(2). With preferred busy polling it also runs the NIC's NAPI poll.
    ///
    /// # Errors
    /// EAGAIN: the kernel's budget for one call is used up, frames are left. Every other error goes through
    /// [`ignore_transient`].
    #[inline]
    pub fn wake_transmit(&self) -> io::Result<()> {
        send(self.as_fd(), &[], SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// Makes the kernel read the fill ring: one recvfrom(2). With preferred busy polling it runs the NIC's
    /// NAPI poll.
    ///
    /// # Errors
    /// Those that [`ignore_transient`] keeps.
    #[inline]
    pub fn wake_receive(&self) -> io::Result<()> {
        let mut nothing = [0u8; 0];
        let woken = recv(self.as_fd(), &mut nothing[..], RecvFlags::DONTWAIT);
        ignore_transient(woken.map(drop).map_err(io::Error::from))
    }

    /// Switches on preferred busy polling (Linux 5.11): interrupts stay off while user space polls. A poll
    /// takes up to `budget` frames.
    ///
    /// Since Linux 6.13 the kernel polls only if the driver has registered which NAPI instance serves the queue
    /// (netif_queue_set_napi; commit 5ef44b3cb43b). If not, it accepts all options and never polls. Before
    /// 6.13, the first frame identifies the instance.
    ///
    /// # Errors
    /// The errno of the option that the kernel refused; or [`io::ErrorKind::Unsupported`] if nothing would
    /// ever be polled.
    pub fn prefer_busy_poll(&self, budget: i32) -> io::Result<()> {
        const MICROSECONDS: i32 = 20;
        if kernel::running() >= (6, 13) && self.napi_id()? == 0 {
            let why = "the driver does not report to the kernel which NAPI instance serves the queue";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        self.set_option(libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, 1)?;
        self.set_option(libc::SOL_SOCKET, libc::SO_BUSY_POLL, MICROSECONDS)?;
        self.set_option(libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, budget)
    }

    /// Lets one sendto(2) transmit up to `frames` frames in copy mode (Linux 6.18; 32 before).
    ///
    /// # Errors
    /// ENOPROTOOPT on older kernels.
    pub fn set_transmit_budget(&self, frames: u32) -> io::Result<()> {
        /// `XDP_MAX_TX_SKB_BUDGET` of linux/if_xdp.h.
        const XDP_MAX_TX_SKB_BUDGET: i32 = 9;
        self.set_option(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, frames as i32)
    }

    /// The ID of the NAPI instance that a busy poll of this socket runs; 0 if the kernel knows none.
    fn napi_id(&self) -> io::Result<u32> {
        let (mut id, mut length) = (0u32, size_of::<u32>() as u32);
        // SAFETY: getsockopt(2) writes at most as many bytes as the length says, which is that of the live u32.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_INCOMING_NAPI_ID,
                (&raw mut id).cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(id) } else { Err(io::Error::last_os_error()) }
    }

    fn set_option(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        // SAFETY: setsockopt(2) reads four bytes from a live i32 on our own socket.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl XdpSocket {
    /// Appends tokens for the first `n` descriptors in `scratch`, which a ring has just handed over.
    #[inline(always)]
    fn admit(&self, n: usize, frames: &mut Vec<UmemFrame>) {
        // SAFETY: the kernel owned these frames until the ring handed them over, so no token of them exists.
        frames.extend(self.scratch[..n].iter().map(|descriptor| unsafe { UmemFrame::admit(*descriptor) }));
    }
}

impl AsRawFd for XdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.receive.fd().as_raw_fd()
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the rings keep the socket open as long as `self` lives, and the borrow ends before.
        unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
    }
}

impl Queues for XdpSocket {
    type Frame = UmemFrame;

    #[inline]
    fn take_completed(&mut self, frames: &mut Vec<UmemFrame>) -> usize {
        // SAFETY: contract of `consume`: the descriptors are used only with this socket's UMEM, since the
        // tokens made of them below stay in the `FrameQueue` that owns this socket.
        let n = unsafe { self.completion.consume(&mut self.scratch) };
        self.admit(n, frames);
        n
    }

    #[inline]
    fn give_to_fill(&mut self, frames: &mut Vec<UmemFrame>) -> usize {
        let want = frames.len() as u32;
        let n = self.fill.nb_free(want).min(want) as usize;
        let at = frames.len() - n;
        // SAFETY: contract of `produce`: the frames are of this UMEM, since `FrameQueue` holds no others. User
        // space does not touch them again: the tokens of those that the ring took are dropped here.
        let given = unsafe { self.fill.produce(descriptors(&frames[at..])) };
        frames.truncate(frames.len() - given);
        given
    }

    #[inline]
    fn take_received(&mut self, frames: &mut Vec<UmemFrame>) -> usize {
        // SAFETY: as in `take_completed`.
        let n = unsafe { self.receive.consume(&mut self.scratch) };
        self.admit(n, frames);
        n
    }

    #[inline]
    fn give_to_transmit(&mut self, frames: &mut Vec<UmemFrame>) -> usize {
        let want = frames.len() as u32;
        let n = self.transmit.nb_free(want).min(want) as usize;
        // SAFETY: as in `give_to_fill`; each frame's length was set by `Umem::edit` to what it holds.
        let given = unsafe { self.transmit.produce(descriptors(&frames[..n])) };
        frames.drain(..given);
        given
    }
}

/// The descriptors of frames, as xsk-rs takes them.
fn descriptors(frames: &[UmemFrame]) -> &[FrameDesc] {
    // SAFETY: `UmemFrame` is `repr(transparent)` over `FrameDesc`, so both slices have the same layout.
    unsafe { std::slice::from_raw_parts(frames.as_ptr().cast(), frames.len()) }
}

/// Keeps only an error after which no wake-up will ever succeed, such as ENXIO: the interface is gone.
///
/// # Errors
/// `woken`'s, unless the ring is served at the next call or by the driver itself. ENETDOWN passes: the link
/// may come back, and frames stay where they are. So does EBUSY: a queueing discipline dropped a frame,
/// which any flood can bring about.
pub fn ignore_transient(woken: io::Result<()>) -> io::Result<()> {
    match woken {
        Err(error) if !is_transient(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_transient(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::AGAIN | Errno::NOBUFS | Errno::BUSY | Errno::NETDOWN | Errno::INTR | Errno::NOMEM)
    )
}
