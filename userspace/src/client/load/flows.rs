//! The source addresses and ports of a load. Each is a bound socket, so that no other program uses the
//! port and the kernel knows it.

use super::plan::LoadFlow;
use super::target::is_near;
use crate::client::unspecified;
use crate::error::{Failure, Result};
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Receive buffer of each port, in bytes, as far as the kernel grants it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Opens `ports` sockets connected to `server` on each source, or on the address that the route prefers if
/// there is no source. Returns each flow with its socket; the ports of different sources alternate.
///
/// # Errors
/// Usage: a source is not of the server's family, not an address of this host, or named twice. System:
/// there are no ports or file descriptors left.
pub(super) fn open(server: SocketAddr, sources: &[IpAddr], ports: u32) -> Result<Vec<(LoadFlow, UdpSocket)>> {
    for (index, source) in sources.iter().enumerate() {
        if source.is_ipv4() != server.is_ipv4() {
            return Err(Failure::usage(format!("--source {source} is not of the family of {server}")));
        }
        if sources[..index].contains(source) {
            return Err(Failure::usage(format!("--source {source} is given twice")));
        }
    }
    raise_file_limit();
    let any = [unspecified(&server).ip()];
    let sources = if sources.is_empty() { &any } else { sources };
    let no_nat = is_near(server.ip());
    (0..ports).flat_map(|_| sources).map(|source| open_one(server, *source, no_nat)).collect()
}

/// Opens one port. Only if no NAT can be in the path is its own address the expected mapped address.
fn open_one(server: SocketAddr, source: IpAddr, no_nat: bool) -> Result<(LoadFlow, UdpSocket)> {
    let open = || {
        let socket = UdpSocket::bind((source, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        // A smaller buffer only loses more replies in a burst, which the report shows.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
        }
        let source = socket.local_addr()?;
        Ok((LoadFlow { source, mapped: no_nat.then_some(source) }, socket))
    };
    open().map_err(|error: io::Error| match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) if !source.is_unspecified() => {
            Failure::usage(format!("--source {source} is not an address of this host that reaches {server}"))
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

/// Raises the soft limit on open files to the hard limit, because each port is an open file. The usual
/// soft limit exists for programs that use `select`. If it cannot be raised, opening a port fails.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some() && current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
