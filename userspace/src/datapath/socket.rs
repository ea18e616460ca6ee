//! The socket path: one worker for each core, each with its own sockets on every address, joined by
//! SO_REUSEPORT. Datagrams move in batches, and a reply leaves from the address that received the request.

mod batch;
mod holder;
mod service;
pub mod stream;
mod worker;
mod worker_sockets;

pub use crate::config::Listen;
pub(crate) use batch::{Batch, PAYLOAD, SIZE, Sent};
pub(crate) use service::BoundSockets;
pub use service::SocketService;

use crate::error::{Failure, Result};
use crate::interface;
use holder::TransportProtocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Receive buffer to request, in bytes. As the kernel accounts them it holds some 10,000 requests, which
/// covers a worker that loses its core for a few milliseconds.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    socket: OwnedFd,
    local: SocketAddr,
    /// Whether IP_PKTINFO (IPV6_RECVPKTINFO) is on: the kernel reports each datagram's destination, which
    /// costs a fraction of every datagram. Off for sockets bound to one address, which is the destination.
    pktinfo: bool,
}

impl BoundSocket {
    /// The address and port that it is bound to; with port 0 the kernel has chosen the port.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The address that every datagram was sent to; `None` if the kernel reports it for each.
    fn fixed_destination(&self) -> Option<IpAddr> {
        (!self.pktinfo).then(|| self.local.ip())
    }

    /// Stops the kernel from delivering to this socket, for good: a datagram goes to the next socket that
    /// matches its destination. What was delivered can still be received, and replies can be sent. If the
    /// kernel refuses, as without a route to its own address, nothing changes.
    fn quiesce(&self) {
        // A connected socket receives only from its peer (udp(7)), and its own endpoint sends nothing. A
        // wildcard address becomes the loopback address by this.
        if let Err(error) = rustix::net::connect(&self.socket, &self.local) {
            tracing::debug!("UDP {} receives until it is closed: {error}", self.local);
        }
    }

    /// Whether a datagram sent with this socket can leave from `origin`.
    fn can_send_from(&self, origin: &SocketAddr) -> bool {
        let Self { local, .. } = self;
        let address =
            local.ip() == origin.ip() || local.ip().is_unspecified() && local.is_ipv4() == origin.is_ipv4();
        address && local.port() == origin.port()
    }
}

impl AsRef<BoundSocket> for BoundSocket {
    fn as_ref(&self) -> &BoundSocket {
        self
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds `address` once for each worker. With port 0 the kernel chooses one port for all. An IPv6 socket
/// receives no IPv4. `flag` is the option that `address` comes from. `beside_own`: a socket of this process
/// has the port too, and will be closed.
///
/// # Errors
/// Another server has the port, the address is not one of this host's, or the port is privileged: a message
/// that names `flag`, with [`Failure::errno`]. A host without IPv6 gives EAFNOSUPPORT or EADDRNOTAVAIL.
fn bind(
    address: SocketAddr,
    workers: usize,
    flag: &'static str,
    beside_own: bool,
) -> Result<Vec<BoundSocket>> {
    let refused = |error: io::Error| refusal(TransportProtocol::Udp, flag, address, error);
    let mut sockets: Vec<BoundSocket> = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = match sockets.first() {
            // Without SO_REUSEPORT, so that the bind fails if another server shares the port too: otherwise
            // each would get a part of the datagrams. `open` sets the option afterwards, for the other workers.
            None => open(address, beside_own).map_err(refused)?,
            Some(first) => open(first.local, true).map_err(refused)?,
        };
        sockets.push(socket);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<BoundSocket> {
    let ipv6 = address.is_ipv6();
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    if ipv6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    let pktinfo = !is_own(address.ip());
    if pktinfo {
        batch::enable_pktinfo(&socket, ipv6)?;
    }
    // Anyone can forge an ICMP "packet too big". With OMIT the kernel ignores them for this socket and keeps
    // no path state for it. Replies are far below every MTU anyway, so the option may fail.
    let _ = if ipv6 {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::OMIT)
    } else {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::OMIT)
    };
    // FORCE needs CAP_NET_ADMIN; without it net.core.rmem_max is the limit. A small buffer only loses more
    // in a burst.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    }
    sockopt::set_socket_reuseport(&socket, shared)?;
    rustix::net::bind(&socket, &address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    let local = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(BoundSocket { socket, local, pktinfo })
}

/// Takes over a socket that another process bound.
fn adopt(socket: OwnedFd) -> io::Result<BoundSocket> {
    let local = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    let pktinfo = batch::has_pktinfo(&socket, local.is_ipv6())?;
    Ok(BoundSocket { socket, local, pktinfo })
}

/// Whether an interface has this address. A broadcast address can be bound too, and must not be answered
/// from.
fn is_own(ip: IpAddr) -> bool {
    interface::addresses(None).is_ok_and(|all| all.iter().any(|address| address.ip == ip))
}

/// Whether the host does not have the address family, or no address of it.
fn is_missing_family(failure: &Failure) -> bool {
    matches!(failure.errno(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Binds a TCP socket and listens. `flag` is the option that `address` comes from.
///
/// # Errors
/// A message for the operator that names `flag`.
pub(crate) fn listen_tcp(flag: &'static str, address: SocketAddr) -> Result<std::net::TcpListener> {
    stream::listen::bind(flag, address, false)
}

/// The failure of a bind, with its remedy. `flag` is the option that `address` comes from.
fn refusal(
    protocol: TransportProtocol,
    flag: &'static str,
    address: SocketAddr,
    error: io::Error,
) -> Failure {
    let remedy = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let elsewhere = match (protocol, flag) {
                (TransportProtocol::Udp, _) | (_, "--tls-listen" | "--metrics-listen") => "or listen elsewhere",
                (TransportProtocol::Tcp, _) => "listen elsewhere, or leave TCP out with --no-tcp",
            };
            match holder::find(protocol, address) {
                Some(holder) => format!("{holder}, has it: stop that process, {elsewhere}"),
                None => {
                    format!("stop the other server (`{}` lists them), {elsewhere}", protocol.list_command())
                }
            }
        }
        Some(libc::EACCES) => {
            "ports below 1024 need CAP_NET_BIND_SERVICE, which a running server has given up: restart it as root or with \
             that capability, or choose a higher port"
                .into()
        }
        Some(libc::EADDRNOTAVAIL) => {
            "no interface has this address (`ip address` lists them); add it first, or listen on another"
                .into()
        }
        Some(libc::EINVAL) if is_link_local(&address) => {
            "a link-local address needs its interface: write [fe80::1%2], where 2 is the index that \
             `ip link` shows"
                .into()
        }
        Some(libc::EAFNOSUPPORT) => "this kernel has IPv6 switched off: listen on IPv4 only".into(),
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (`ulimit -n`)".into(),
        _ => String::new(),
    };
    let failure = Failure::system(format!("cannot bind {} {address} ({flag})", protocol.name()))
        .of_value(flag, address)
        .because(error);
    if remedy.is_empty() { failure } else { failure.remedy(remedy) }
}

fn is_link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local())
}

#[cfg(test)]
mod tests;
