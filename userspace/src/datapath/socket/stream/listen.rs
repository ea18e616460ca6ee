//! Listening sockets, and taking connections from them.

use super::Door;
use super::admission::Full;
use super::conversation;
use super::stopping::Stopping;
use crate::datapath::socket::holder::Transport;
use crate::datapath::socket::refusal;
use crate::error::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use socket2::{SockFilter, SockRef};
use std::io;
use std::net::{SocketAddr, TcpListener as Bound};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Connections that the kernel keeps until they are taken, where net.core.somaxconn lets it.
const BACKLOG: i32 = 1024;
/// Kernel buffers asked for on each side of a connection, in bytes. Left alone the kernel lets a
/// single one grow to megabytes.
const KERNEL_BUFFER: usize = 8 << 10;
/// Wait after the machine refused a connection for want of something, so that the listener, which
/// stays readable, does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds and listens. `flag` is where `address` comes from. `beside_own`: a listener of this process is
/// in the way and will go.
///
/// # Errors
/// A sentence for the operator, as for UDP.
pub(in crate::datapath::socket) fn bind(
    flag: &'static str,
    address: SocketAddr,
    beside_own: bool,
) -> Result<Bound> {
    open(address, beside_own).map_err(|error| refusal(Transport::Tcp, flag, address, error))
}

fn open(address: SocketAddr, beside_own: bool) -> io::Result<Bound> {
    let ipv6 = address.is_ipv6();
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if ipv6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // A restart need not wait until the kernel has forgotten the connections of before.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Connections inherit both (tcp(7)), and the window is offered accordingly.
    sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
    sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER)?;
    sockopt::set_socket_reuseport(&socket, beside_own)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    // As for UDP: a port of another server is refused, and one of our own can change hands.
    sockopt::set_socket_reuseport(&socket, true)?;
    Ok(socket.into())
}

/// Has the kernel drop what would begin a connection with this listener. Handshakes that have begun go on,
/// and so do connections. One that cannot be had leaves the listener as it is.
pub(super) fn deafen(listener: &Bound) {
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    const WHOLE: u32 = u32::MAX;
    // A classic BPF program (the kernel's networking/filter.rst), which is given the segment from its TCP
    // header on and says how much of it to keep. Connections inherit it; one that is open owes a stray SYN no
    // more than a challenge (RFC 9293 §3.10.7.4).
    let filter = [
        SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, FLAGS),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, 0, 1, SYN),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, WHOLE),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
        tracing::debug!("a TCP listener takes connections until it is closed: {error}");
    }
}

/// Takes connections until the order to stop, or until `close` has no sender any more, and serves each in
/// a task of its own that holds a clone of `alive`.
pub(super) async fn keep(
    listener: TcpListener,
    door: Arc<Door>,
    mut close: oneshot::Receiver<()>,
    mut stopping: Stopping,
    alive: mpsc::Sender<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.ordered() => return,
            _ = &mut close => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => take(stream, source, &door, &stopping, &alive),
            Err(error) => {
                door.stats.accept_failed.add(1);
                if !is_the_connections_own(&error) {
                    sleep(PAUSE).await;
                }
            }
        }
    }
    // Who has connected already is not turned away. No more than that: others may go on connecting.
    for _ in 0..BACKLOG {
        match timeout(Duration::ZERO, listener.accept()).await {
            Ok(Ok((stream, source))) => take(stream, source, &door, &stopping, &alive),
            _ => break,
        }
    }
}

fn take(
    stream: TcpStream,
    source: SocketAddr,
    door: &Arc<Door>,
    stopping: &Stopping,
    alive: &mpsc::Sender<()>,
) {
    let place = match door.shared.admission.admit(source.ip()) {
        Ok(place) => place,
        Err(full) => {
            let refused = match full {
                Full::All => &door.stats.refused_limit,
                Full::Source => &door.stats.refused_source_limit,
            };
            refused.add(1);
            return reset(&stream);
        }
    };
    door.stats.accepted.add(1);
    // A reply is one small segment, and another may follow it only when its own request comes.
    let _ = stream.set_nodelay(true);
    let (door, stopping, alive) = (Arc::clone(door), stopping.clone(), alive.clone());
    tokio::spawn(async move {
        let ending = conversation::serve(stream, source, &door, &place, stopping).await;
        door.stats.end(ending);
        drop((place, alive));
    });
}

/// Has the kernel reset the connection when it is dropped, and keep nothing of it.
pub(super) fn reset(stream: impl AsFd) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Whether this failure is used up with the one connection that it tells of (accept(2)). Any other is
/// the machine's condition and would be told again at once.
fn is_the_connections_own(error: &io::Error) -> bool {
    const OWN: [i32; 10] = [
        libc::ECONNABORTED,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::EINTR,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::ENONET,
        libc::ENOPROTOOPT,
        libc::EPERM,
        libc::EPROTO,
    ];
    error.raw_os_error().is_some_and(|errno| OWN.contains(&errno))
}
