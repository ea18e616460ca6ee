//! The upper limit to compare xstun with: a bare AF_XDP loop that swaps addresses and ports and inspects
//! nothing. The XDP program, the rings, the UMEM and the socket options are those of xstun; parsing,
//! checksums, STUN and counters are left out. Not for use: it answers anything.
//!
//! Serves until it is killed.

use clap::Parser;
use rustix::event::{PollFd, PollFlags, poll};
use std::error::Error;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::process;
use xstun::datapath::af_xdp::frame_queue::FrameQueue;
use xstun::datapath::af_xdp::program::XdpProgram;
use xstun::datapath::af_xdp::socket::{XdpSocket, ignore_transient};
use xstun::datapath::af_xdp::umem::Umem;
use xstun::datapath::af_xdp::{BindMode, XdpMode};
use xstun::interface::{self, NapiSettings};
use xstun_core::rings::BATCH;
use xstun_core::served::Served;

/// A bare address-swap loop on queue 0; the caller pins it to a core.
#[derive(Parser)]
struct Arguments {
    /// Interface whose queue 0 is served
    interface: String,
    /// IPv4 address and port whose frames are answered
    address: SocketAddr,
    /// Poll the NIC from the loop, as `xstun serve --busy-poll` does
    #[arg(long)]
    busy_poll: bool,
    /// Run the program in the kernel's generic hook
    #[arg(long)]
    generic: bool,
}

fn main() {
    if let Err(error) = serve(&Arguments::parse()) {
        eprintln!("error: {error}");
        process::exit(1);
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let interface = interface::find(&arguments.interface)?;
    let mode = if arguments.generic { XdpMode::Generic } else { XdpMode::Native };
    let mut program = XdpProgram::load(interface::receive_queues(&interface), false)?;
    program.attach(&interface, mode)?;
    let endpoint = (arguments.address.ip(), arguments.address.port());
    program.serve(&Served::new(interface.mac, [endpoint], []))?;
    if arguments.busy_poll {
        NapiSettings::read(&interface)?.for_busy_polling().write(&interface)?;
    }
    let socket = XdpSocket::bind(Umem::create()?, &arguments.interface.parse()?, 0, BindMode::Copy)
        .map_err(|(_, error)| error)?;
    if arguments.busy_poll {
        socket.prefer_busy_poll(BATCH as i32)?;
    }
    // Before Linux 6.18 there is no such option.
    let _ = socket.set_transmit_budget(BATCH as u32);
    let descriptor = socket.as_raw_fd();
    let mut frames = FrameQueue::new(socket);
    program.enter_socket(0, descriptor)?;
    serve_forever(&mut frames, arguments.busy_poll)
}

fn serve_forever(frames: &mut FrameQueue, busy_poll: bool) -> Result<(), Box<dyn Error>> {
    loop {
        frames.reclaim();
        frames.refill();
        if frames.receive() == 0 {
            if busy_poll || frames.socket().fill_needs_wakeup() {
                frames.socket().wake_receive()?;
            }
            if !busy_poll {
                // The same core may do the receive processing.
                poll(&mut [PollFd::new(frames.socket(), PollFlags::IN)], None)?;
            }
            continue;
        }
        frames.rewrite(|bytes, length| {
            swap(bytes);
            length
        });
        frames.send();
        // Twice if the kernel transmits 32 frames per call.
        for _ in 0..=BATCH / 32 {
            if !(busy_poll || frames.socket().transmit_needs_wakeup()) {
                break;
            }
            match frames.socket().wake_transmit() {
                Err(error) if error.raw_os_error() == Some(EAGAIN) => {}
                other => {
                    ignore_transient(other)?;
                    break;
                }
            }
        }
        if frames.socket().fill_needs_wakeup() {
            frames.socket().wake_receive()?;
        }
    }
}

/// EAGAIN of Linux.
const EAGAIN: i32 = 11;

/// Swaps MAC addresses, IPv4 addresses and ports of an untagged frame. Checksums stay right, since sums do not
/// depend on the order.
fn swap(frame: &mut [u8]) {
    let Some(headers) = frame.first_chunk_mut::<38>() else { return };
    let (macs, rest) = headers.split_at_mut(14);
    swap_halves(&mut macs[..12]);
    swap_halves(&mut rest[12..20]);
    swap_halves(&mut rest[20..24]);
}

#[inline(always)]
fn swap_halves(bytes: &mut [u8]) {
    let (first, second) = bytes.split_at_mut(bytes.len() / 2);
    first.swap_with_slice(second);
}
