//! Whether a request would be answered now, on every path: the sockets are asked like a client asks;
//! what serves over AF_XDP, where no request of the host's own can come in, is looked at.

use crate::insecure::Anybody;
use crate::status::{Interface, RUNGS, Status};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

/// For how long a result is told again instead of asking anew, so that no number of health checks costs
/// more than one.
const FRESH: Duration = Duration::from_secs(1);
/// How long an answer is waited for, and how often a datagram is sent within that.
const WAIT: Duration = Duration::from_millis(500);
const TRIES: u32 = 4;

/// Length of a STUN header, and of a Binding request that says nothing more.
const HEADER: usize = 20;
type Asked = [u8; HEADER];

/// The last result.
#[derive(Default)]
pub(super) struct Trial(Mutex<Option<(Instant, Vec<String>)>>);

impl Trial {
    /// Everything that does not answer; nothing if all does. One asks at a time, and the
    /// others wait for its result.
    pub(super) async fn check(&self, status: &Status) -> Vec<String> {
        let mut last = self.0.lock().await;
        if let Some((at, failings)) = &*last
            && at.elapsed() < FRESH
        {
            return failings.clone();
        }
        let mut failings = to_be_seen(status);
        failings.extend(over_sockets(status).await);
        *last = Some((Instant::now(), failings.clone()));
        failings
    }
}

/// What can be seen to be wrong with programs and workers. Queues that the sockets have taken over are
/// no failing: the sockets answer for them.
fn to_be_seen(status: &Status) -> Vec<String> {
    let mut failings = Vec::new();
    let over_af_xdp = |interface: &&Interface| {
        interface.queues.iter().any(|(rung, queues)| *rung != RUNGS[3] && *queues > 0)
    };
    for interface in status.interfaces.iter().filter(over_af_xdp) {
        let name = &interface.name;
        if interface.attached == Some(false) {
            failings.push(format!("{name}: the XDP program is not attached"));
        }
        if interface.delivering == Some(false) {
            failings.push(format!("{name}: frames that the XDP program hands over do not arrive"));
        }
        let living = status.workers.iter().filter(|worker| !worker.ended);
        for worker in living.filter(|worker| worker.interface.as_ref() == Some(name)) {
            if let (false, Some(queue)) = (worker.ticking, worker.queue) {
                failings.push(format!("{name}: the worker of queue {queue} stands still"));
            }
        }
    }
    for worker in status.workers.iter().filter(|worker| worker.interface.is_none() && !worker.ticking) {
        failings.push(format!("sockets: the worker on core {} stands still", worker.core));
    }
    failings
}

/// Asks every address that sockets listen on.
async fn over_sockets(status: &Status) -> Vec<String> {
    let mut asking = JoinSet::new();
    for &address in status.sockets.iter().filter(|address| can_be_asked(**address)) {
        asking.spawn(async move { told("UDP", address, over_udp(own(address)).await) });
    }
    for stream in &status.streams {
        for &address in stream.listen.iter().filter(|address| can_be_asked(**address)) {
            if stream.path == "tls" {
                asking.spawn(async move { told("TLS", address, limited(over_tls(own(address))).await) });
            } else {
                asking.spawn(async move { told("TCP", address, limited(over_tcp(own(address))).await) });
            }
        }
    }
    let mut failings: Vec<String> = asking.join_all().await.into_iter().flatten().collect();
    failings.sort();
    failings
}

fn told(transport: &str, address: SocketAddr, result: io::Result<()>) -> Option<String> {
    result.err().map(|error| format!("{transport} {address}: {error}"))
}

/// Whether the host has the address to ask. Where IPv6 is switched off by sysctl, `[::]` can be bound all
/// the same, and `::1` is not there: nobody can ask, and nothing is amiss.
fn can_be_asked(address: SocketAddr) -> bool {
    if !matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
        return true;
    }
    // This sends nothing: it looks for a route and a source.
    let connected =
        std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect(own(address)));
    !connected.is_err_and(|error| {
        matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
    })
}

/// The address to ask where a wildcard is listened on: the loopback, where there is one.
fn own(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// A Binding request (RFC 8489 §5) with a transaction ID that nobody can guess.
fn request() -> io::Result<Asked> {
    let mut request = [0; HEADER];
    request[..8].copy_from_slice(&[0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    rustix::rand::getrandom(&mut request[8..], rustix::rand::GetRandomFlags::empty())?;
    Ok(request)
}

/// Whether this answers `request`: with success, or with an error, as a server with credentials does.
fn answers(reply: &[u8], request: &Asked) -> bool {
    matches!(reply, [0x01, 0x01 | 0x11, ..]) && reply.get(4..HEADER) == Some(&request[4..])
}

/// Asks from a port that is new each time, which so finds another of the workers that share a port.
async fn over_udp(address: SocketAddr) -> io::Result<()> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let request = request()?;
    let mut reply = [0; 1024];
    for _ in 0..TRIES {
        socket.send(&request).await?;
        let answered = timeout(WAIT, async {
            loop {
                let length = socket.recv(&mut reply).await?;
                if answers(&reply[..length], &request) {
                    return Ok(());
                }
            }
        });
        if let Ok(result) = answered.await {
            return result;
        }
    }
    Err(late())
}

async fn over_tcp(address: SocketAddr) -> io::Result<()> {
    converse(TcpStream::connect(address).await?).await
}

/// Whom the certificate names is not asked: it is our own server.
async fn over_tls(address: SocketAddr) -> io::Result<()> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    converse(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let request = request()?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    if !answers(&header, &request) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not to what was asked"));
    }
    // In good order, so that the connection ends as its peer's own wish.
    stream.shutdown().await
}

/// As long as a datagram is waited for.
async fn limited(asking: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(WAIT * TRIES, asking).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer to a Binding request within two seconds")
}

#[cfg(test)]
mod tests;
