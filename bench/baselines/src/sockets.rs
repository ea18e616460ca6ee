//! One socket and one thread for each core.

use anyhow::{Context as _, Result, anyhow};
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::net::{SocketAddr, UdpSocket};
use std::thread;

/// Runs `serve` on each core, each with its own socket of the same address (SO_REUSEPORT if there are
/// several).
///
/// # Errors
/// The error of the first thread in the order of `cores` that returns one.
pub fn on_each_core(address: SocketAddr, cores: &[usize], serve: fn(UdpSocket) -> Result<()>) -> Result<()> {
    let mut threads = Vec::new();
    for &core in cores {
        let socket = open(address, cores.len() > 1)?;
        threads.push(thread::spawn(move || {
            let mut set = CpuSet::new();
            set.set(core);
            sched_setaffinity(None, &set).with_context(|| format!("cannot pin to core {core}"))?;
            serve(socket)
        }));
    }
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a thread panicked"))??;
    }
    Ok(())
}

fn open(address: SocketAddr, shared: bool) -> Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::DGRAM, None)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    // As large as the system allows, so that bursts are not lost.
    sockopt::set_socket_recv_buffer_size(&socket, 4 << 20)?;
    bind(&socket, &address).with_context(|| format!("cannot bind {address}"))?;
    Ok(socket.into())
}
