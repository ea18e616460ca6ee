//! Listening sockets, and accepting connections from them.

use super::conversation::{self, reset};
use super::stats::RefusalReason;
use super::stopping::StopSignal;
use super::transport::ConnectionContext;
use crate::datapath::socket::holder::TransportProtocol;
use crate::datapath::socket::refusal;
use crate::error::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use socket2::{SockFilter, SockRef};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use xstun_core::source::{self, NoSourceRules, Seen};

/// Connections that the kernel queues until they are accepted; net.core.somaxconn may lower it.
const BACKLOG: i32 = 1024;
/// Kernel buffers to request for each direction of a connection, in bytes. By default the kernel lets a single
/// one grow to megabytes.
const KERNEL_BUFFER: usize = 8 << 10;
/// Pause after accept failed for lack of a resource, so that the listener, which stays readable, does not
/// spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds and listens. `flag` is the option that `address` comes from. `beside_own`: a listener of this process
/// has the port too, and will be closed.
///
/// # Errors
/// A message for the operator that names `flag`, as for UDP.
pub(in crate::datapath::socket) fn bind(
    flag: &'static str,
    address: SocketAddr,
    beside_own: bool,
) -> Result<StdListener> {
    open(address, beside_own).map_err(|error| refusal(TransportProtocol::Tcp, flag, address, error))
}

fn open(address: SocketAddr, beside_own: bool) -> io::Result<StdListener> {
    let ipv6 = address.is_ipv6();
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if ipv6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // A restart need not wait until earlier connections leave TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Connections inherit both (tcp(7)), and the offered window follows from them.
    sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
    sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER)?;
    sockopt::set_socket_reuseport(&socket, beside_own)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    // Set afterwards, as for UDP: the bind fails if another server has the port, and our own listeners can
    // share it later.
    sockopt::set_socket_reuseport(&socket, true)?;
    Ok(socket.into())
}

/// Makes the kernel drop every SYN to this listener. Handshakes in progress and connections go on. If the
/// kernel refuses the filter, nothing changes.
pub(super) fn quiesce(listener: &StdListener) {
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    const WHOLE: u32 = u32::MAX;
    // A classic BPF program (the kernel's networking/filter.rst). It gets the segment from the TCP header on
    // and returns how many bytes of it to keep. Connections inherit it; an open connection would answer a
    // stray SYN with a challenge ACK at most (RFC 9293 §3.10.7.4).
    let filter = [
        SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, FLAGS),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, 0, 1, SYN),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, WHOLE),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
        tracing::debug!("a TCP listener accepts connections until it is closed: {error}");
    }
}

/// Accepts connections until the order to stop, or until the sender of `close` is dropped, and serves each in
/// its own task, which holds a clone of `alive`.
pub(super) async fn keep(
    listener: TcpListener,
    context: Arc<ConnectionContext>,
    mut close: oneshot::Receiver<()>,
    mut stop: StopSignal,
    alive: mpsc::Sender<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.ordered() => return,
            _ = &mut close => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => admit(stream, source, &context, &stop, &alive),
            Err(error) => {
                context.stats.accept_failed.add(1);
                if !concerns_one_connection(&error) {
                    sleep(PAUSE).await;
                }
            }
        }
    }
    // Clients that have connected already are served. Bounded, since others may go on connecting.
    for _ in 0..BACKLOG {
        match timeout(Duration::ZERO, listener.accept()).await {
            Ok(Ok((stream, source))) => admit(stream, source, &context, &stop, &alive),
            _ => break,
        }
    }
}

/// Serves a connection in its own task, or resets it if its source is refused or a limit is reached.
fn admit(
    stream: TcpStream,
    source: SocketAddr,
    context: &Arc<ConnectionContext>,
    stop: &StopSignal,
    alive: &mpsc::Sender<()>,
) {
    if source::judge(&source.ip(), source.port(), Seen::BySocket, &NoSourceRules).is_err() {
        context.stats.count_refused(RefusalReason::InvalidSource);
        return reset(&stream);
    }
    let slot = match context.settings.admission.admit(source.ip()) {
        Ok(slot) => slot,
        Err(reason) => {
            context.stats.count_refused(reason);
            return reset(&stream);
        }
    };
    context.stats.accepted.add(1);
    // A reply is one small segment, and the next one follows only after its own request.
    let _ = stream.set_nodelay(true);
    let (context, stop, alive) = (Arc::clone(context), stop.clone(), alive.clone());
    tokio::spawn(async move {
        let reason = conversation::serve(stream, source, &context, &slot, stop).await;
        context.stats.count_closed(reason);
        drop((slot, alive));
    });
}

/// Whether an error of accept(2) concerns only the one connection that it removes from the queue. Any other
/// comes from the machine's state and would recur at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    const ERRNOS: [i32; 10] = [
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
    error.raw_os_error().is_some_and(|errno| ERRNOS.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::super::{stats::StreamStats, stopping, transport::StreamSettings};
    use super::{Arc, ConnectionContext, RefusalReason, admit, mpsc};
    use arc_swap::ArcSwap;
    use std::io::{ErrorKind, Read as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use xstun_core::stun::Policy;

    /// A connection is refused by the same rule as a datagram. The kernel accepts none from such an address, but it does
    /// from port 0.
    #[test]
    fn a_connection_from_an_invalid_source_is_reset_and_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
            let context = Arc::new(ConnectionContext {
                stats: Arc::new(StreamStats::default()),
                identity: None,
                settings: StreamSettings::new(&policy),
            });
            let (_order, stop) = stopping::channel();
            let (alive, _all_done) = mpsc::channel(1);
            let rows = [("192.0.2.1:0", 1), ("224.0.0.1:9", 2), ("[ff02::1]:9", 3), ("192.0.2.1:9", 3)];
            for (source, refused) in rows {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (accepted, _) = listener.accept().unwrap();
                accepted.set_nonblocking(true).unwrap();
                let accepted = tokio::net::TcpStream::from_std(accepted).unwrap();
                admit(accepted, source.parse::<SocketAddr>().unwrap(), &context, &stop, &alive);
                assert_eq!(context.stats.refused(RefusalReason::InvalidSource), refused, "{source}");
                if source != "192.0.2.1:9" {
                    let error = client.read(&mut [0; 1]).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{source}");
                }
            }
            assert_eq!(context.stats.accepted.get(), 1);
        });
    }
}
