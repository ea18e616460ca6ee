//! The source addresses and ports of a load: sockets of this host, so that no other program uses them
//! and the kernel knows them.

use super::plan::Flow;
use super::target::is_near;
use crate::error::{Failure, Result};
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Receive buffer of each port, in bytes, as far as the kernel grants it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Opens `ports` sockets towards `server` on each source, or on the address that the route prefers.
/// Ports of different sources take turns. Gives each flow and its socket.
///
/// # Errors
/// Usage: a source that is not of the server's family or not this host's. The system has no more
/// ports or file descriptors.
pub(super) fn open(server: SocketAddr, sources: &[IpAddr], ports: u32) -> Result<Vec<(Flow, UdpSocket)>> {
    for (index, source) in sources.iter().enumerate() {
        if source.is_ipv4() != server.is_ipv4() {
            return Err(Failure::usage(format!("--source {source} is not of the family of {server}")));
        }
        if sources[..index].contains(source) {
            return Err(Failure::usage(format!("--source {source} is given twice")));
        }
    }
    raise_file_limit();
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let sources = if sources.is_empty() { &[any] } else { sources };
    let trusted = is_near(server.ip());
    (0..ports).flat_map(|_| sources).map(|source| open_one(server, *source, trusted)).collect()
}

/// One port towards `server`. Only where no address translator can be in between does its own address
/// say what the replies must tell.
fn open_one(server: SocketAddr, source: IpAddr, trusted: bool) -> Result<(Flow, UdpSocket)> {
    let open = || {
        let socket = UdpSocket::bind((source, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        // Less only loses more under a burst, which the report shows.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
        }
        let source = socket.local_addr()?;
        Ok((Flow { source, mapped: trusted.then_some(source) }, socket))
    };
    open().map_err(|error: io::Error| match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) if !source.is_unspecified() => {
            Failure::usage(format!("--source {source} is no address of this host that reaches {server}"))
                .because(error)
        }
        Some(libc::EMFILE) => Failure::system("cannot open so many ports (--ports)")
            .because(error)
            .remedy("raise the limit on open files: `ulimit -n`"),
        _ => Failure::system(format!("cannot open a port towards {server}"))
            .because(error)
            .remedy("check the route to it, and --ports and --source"),
    })
}

/// Each port is an open file, and the usual limit is meant for programs that use `select`. Where it
/// cannot be raised, opening says so.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some() && current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
