//! The socket path: one worker a core, each with sockets of its own on every address, joined by
//! SO_REUSEPORT; datagrams move in batches, and a reply leaves from the address that was asked.

mod batch;
mod holder;
mod roster;
mod service;
pub mod stream;
mod worker;

pub use batch::{Batch, Datagram, PAYLOAD, SIZE, Sent};
pub use service::{Bound, Service};
pub use worker::run;

use crate::error::{Failure, Result};
use crate::interface;
use holder::Transport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Receive buffer asked for, in bytes: with the kernel's own reckoning some 10,000 requests, which
/// outlasts a worker that loses its core for a few milliseconds.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A UDP socket that listens.
#[derive(Debug)]
pub struct BoundSocket {
    socket: OwnedFd,
    local: SocketAddr,
    /// Whether the kernel tells each datagram's destination, which costs it and us a fraction of every
    /// datagram. Not where only one address can have been asked.
    told: bool,
}

impl BoundSocket {
    /// The address and port it is bound to; the port is the one the kernel chose if 0 was asked for.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The one address that can be asked by it; none where the kernel tells which was.
    fn only(&self) -> Option<IpAddr> {
        (!self.told).then(|| self.local.ip())
    }

    /// Has the kernel deliver nothing more here, for good: a datagram goes to the socket that is next in
    /// line for its destination. What was delivered can still be received, and replies can be sent. Where
    /// the kernel refuses, as without a route to its own address, it stays as it was.
    fn deafen(&self) {
        // A connected socket receives from its peer alone (udp(7)), and its own endpoint sends nothing. A
        // wildcard turns into the loopback address thereby.
        if let Err(error) = rustix::net::connect(&self.socket, &self.local) {
            tracing::debug!("UDP {} receives until it is closed: {error}", self.local);
        }
    }

    /// Whether a datagram sent through it can leave from `origin`.
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

/// Binds every address of `listen` once for each worker. Gives one vector a worker, in the order of
/// `listen`.
///
/// # Errors
/// Those of [`bind_one`], and usage errors where one address of `listen` covers another.
pub fn bind(listen: &[SocketAddr], workers: usize) -> Result<Vec<Vec<BoundSocket>>> {
    for (index, one) in listen.iter().enumerate() {
        if let Some(other) = listen[..index].iter().find(|other| overlap(one, other)) {
            return Err(Failure::usage(format!("--listen {one} and --listen {other} overlap"))
                .of_value("--listen", one)
                .remedy("leave one of them away"));
        }
    }
    let mut of_worker: Vec<Vec<_>> = (0..workers).map(|_| Vec::with_capacity(listen.len())).collect();
    for &address in listen {
        for (sockets, socket) in of_worker.iter_mut().zip(bind_one(address, workers)?) {
            sockets.push(socket);
        }
    }
    Ok(of_worker)
}

/// Binds `address` once for each worker; with port 0, all to the port that the first is given. An
/// IPv6 address takes no IPv4 traffic.
///
/// # Errors
/// The port is another server's, the address is not this host's, or the port is privileged: a
/// sentence that names `--listen`, with [`Failure::errno`]. A host without IPv6 gives EAFNOSUPPORT
/// or EADDRNOTAVAIL.
pub fn bind_one(address: SocketAddr, workers: usize) -> Result<Vec<BoundSocket>> {
    bind_named(address, workers, "--listen", false)
}

/// [`bind_one`] for an address that another flag asks for. `beside_own`: a socket of this process is in
/// the way and will go.
fn bind_named(
    address: SocketAddr,
    workers: usize,
    flag: &'static str,
    beside_own: bool,
) -> Result<Vec<BoundSocket>> {
    let refused = |error: io::Error| refusal(Transport::Udp, flag, address, error);
    let mut sockets: Vec<BoundSocket> = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = match sockets.first() {
            // Without SO_REUSEPORT, so that a port which another server also shares out is refused
            // instead of halved. The option comes after, for the sockets that follow.
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
    let told = !is_own(address.ip());
    if told {
        batch::ask_destination(&socket, ipv6)?;
    }
    // Anyone can send a forged ICMP "packet too big". With OMIT the kernel believes none on behalf
    // of this socket, and keeps no path state for it; replies are far below every MTU anyway.
    // A kernel that does not know the option serves as well.
    let _ = if ipv6 {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::OMIT)
    } else {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::OMIT)
    };
    // FORCE needs CAP_NET_ADMIN; without it net.core.rmem_max is the limit. A small buffer only
    // loses more under a burst.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    }
    sockopt::set_socket_reuseport(&socket, shared)?;
    rustix::net::bind(&socket, &address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    let local = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(BoundSocket { socket, local, told })
}

/// A socket that another process bound.
fn adopt(socket: OwnedFd) -> io::Result<BoundSocket> {
    let local = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    let told = batch::tells_destination(&socket, local.is_ipv6())?;
    Ok(BoundSocket { socket, local, told })
}

/// Whether it is an interface's own address. A broadcast address can be bound too, and must not answer.
fn is_own(ip: IpAddr) -> bool {
    interface::addresses(None).is_ok_and(|all| all.iter().any(|address| address.ip == ip))
}

/// Whether a socket on one of them would stand in the way of one on the other.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let same_address = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && same_address
}

/// Whether the host has no such address family, or none of its addresses.
fn is_missing_family(failure: &Failure) -> bool {
    matches!(failure.errno(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Binds a TCP socket and listens on it. `flag` is where `address` comes from.
///
/// # Errors
/// A sentence for the operator, as for UDP.
pub fn listen_tcp(flag: &'static str, address: SocketAddr) -> Result<std::net::TcpListener> {
    stream::listen::bind(flag, address, false)
}

/// The sentence for a bind that failed. `flag` is where `address` comes from.
fn refusal(transport: Transport, flag: &'static str, address: SocketAddr, error: io::Error) -> Failure {
    let remedy = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let elsewhere = match (transport, flag) {
                (Transport::Udp, _) | (_, "--tls-listen" | "--metrics-listen") => "or listen elsewhere",
                (Transport::Tcp, _) => "listen elsewhere, or leave TCP out with --no-tcp",
            };
            match holder::of(transport, address) {
                Some(holder) => format!("{holder}, has it: stop that, {elsewhere}"),
                None => {
                    format!("stop the other server (`{}` lists them), {elsewhere}", transport.lister())
                }
            }
        }
        Some(libc::EACCES) => {
            "ports below 1024 need CAP_NET_BIND_SERVICE, which a server that runs has given up: start anew, as root \
             or with that capability, or choose a higher port"
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
    let failure = Failure::system(format!("cannot bind {} {address} ({flag})", transport.name()))
        .of_value(flag, address)
        .because(error);
    if remedy.is_empty() { failure } else { failure.remedy(remedy) }
}

fn is_link_local(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local())
}

#[cfg(test)]
mod tests;
