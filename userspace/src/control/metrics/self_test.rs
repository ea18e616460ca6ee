//! Whether a request would be answered now, on every path. The sockets are sent a request, as a client would;
//! the AF_XDP paths, which no request of the host itself can reach, are judged by the status.

use crate::insecure::AnyCertificate;
use crate::status::{InterfaceStatus, LadderRung, ServerStatus};
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

/// How long a result is reused, so that any number of health checks costs no more than one test per second.
const FRESH: Duration = Duration::from_secs(1);
/// How long a reply to a datagram may take.
const WAIT: Duration = Duration::from_millis(500);
/// How often a datagram is sent.
const TRIES: u32 = 4;

/// Length of a STUN header, and of a Binding request without attributes.
const HEADER: usize = 20;
type Request = [u8; HEADER];

/// The last result.
#[derive(Default)]
pub(super) struct SelfTest(Mutex<Option<(Instant, Vec<String>)>>);

impl SelfTest {
    /// Returns a line for each path that does not answer. Only one test runs at a time; concurrent calls share
    /// its result.
    pub(super) async fn run(&self, status: &ServerStatus) -> Vec<String> {
        let mut last = self.0.lock().await;
        if let Some((at, failures)) = &*last
            && at.elapsed() < FRESH
        {
            return failures.clone();
        }
        let mut failures = visible_failures(status);
        failures.extend(socket_failures(status).await);
        *last = Some((Instant::now(), failures.clone()));
        failures
    }
}

/// Returns the failures of XDP programs and workers that the status shows. Queues that the sockets have taken
/// over are not a failure: the sockets answer.
fn visible_failures(status: &ServerStatus) -> Vec<String> {
    let mut failures = Vec::new();
    let over_af_xdp = |interface: &&InterfaceStatus| {
        interface.queues.iter().any(|(rung, queues)| *rung != LadderRung::Sockets.name() && *queues > 0)
    };
    for interface in status.interfaces.iter().filter(over_af_xdp) {
        let name = &interface.name;
        if interface.attached == Some(false) {
            failures.push(format!("{name}: the XDP program is not attached"));
        }
        if interface.delivering == Some(false) {
            failures.push(format!("{name}: frames that the XDP program redirects do not arrive"));
        }
        let living = status.workers.iter().filter(|worker| !worker.ended);
        for worker in living.filter(|worker| worker.interface.as_ref() == Some(name)) {
            if let (false, Some(queue)) = (worker.ticking, worker.queue) {
                failures.push(format!("{name}: the worker of queue {queue} hangs"));
            }
        }
    }
    for worker in status.workers.iter().filter(|worker| worker.interface.is_none() && !worker.ticking) {
        failures.push(format!("sockets: the worker on core {} hangs", worker.core));
    }
    failures
}

/// Sends a request to every address that sockets listen on, and returns the failures.
async fn socket_failures(status: &ServerStatus) -> Vec<String> {
    let mut tests = JoinSet::new();
    for &address in status.sockets.iter().filter(|address| is_reachable(**address)) {
        tests.spawn(async move { failure("UDP", address, over_udp(target(address)).await) });
    }
    for stream in &status.streams {
        for &address in stream.listen.iter().filter(|address| is_reachable(**address)) {
            if stream.path == "tls" {
                tests.spawn(async move { failure("TLS", address, limited(over_tls(target(address))).await) });
            } else {
                tests.spawn(async move { failure("TCP", address, limited(over_tcp(target(address))).await) });
            }
        }
    }
    let mut failures: Vec<String> = tests.join_all().await.into_iter().flatten().collect();
    failures.sort();
    failures
}

fn failure(transport: &str, address: SocketAddr, result: io::Result<()>) -> Option<String> {
    result.err().map(|error| format!("{transport} {address}: {error}"))
}

/// Whether the host can reach the address. If IPv6 is disabled by sysctl, `[::]` can still be bound, but `::1`
/// does not exist: no client can ask, and that is not a failure.
fn is_reachable(address: SocketAddr) -> bool {
    if !matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
        return true;
    }
    // Connecting a datagram socket sends nothing: it looks up a route and a source address.
    let connected = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(target(address)));
    !connected.is_err_and(|error| {
        matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
    })
}

/// Returns the address to send to: the loopback address for a wildcard.
fn target(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Returns a Binding request (RFC 8489 §5) with a random transaction ID.
fn request() -> io::Result<Request> {
    let mut request = [0; HEADER];
    request[..8].copy_from_slice(&[0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    rustix::rand::getrandom(&mut request[8..], rustix::rand::GetRandomFlags::empty())?;
    Ok(request)
}

/// Whether `reply` answers `request`, with success or, as a server with credentials does, with an error.
fn answers(reply: &[u8], request: &Request) -> bool {
    matches!(reply, [0x01, 0x01 | 0x11, ..]) && reply.get(4..HEADER) == Some(&request[4..])
}

/// Sends from a new port each time, so that each test may reach another of the workers that share an address.
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
    exchange(TcpStream::connect(address).await?).await
}

/// The certificate is not checked: it is our own server.
async fn over_tls(address: SocketAddr) -> io::Result<()> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    exchange(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let request = request()?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    if !answers(&header, &request) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the reply does not match the request"));
    }
    // An orderly close, so that the connection counts as closed by its client.
    stream.shutdown().await
}

/// Limits a test over a connection to the time of one over datagrams.
async fn limited(test: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(WAIT * TRIES, test).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no reply to a Binding request within 2 seconds")
}

#[cfg(test)]
mod tests;
