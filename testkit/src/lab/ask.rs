//! A plain UDP client over the standard library's sockets.

use super::Namespace;
use super::transaction::Transaction;
use crate::wait::received;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Requests, half a second apart, after which the server counts as silent.
const TRIES: u32 = 40;

/// A UDP socket inside a namespace.
pub struct Asker {
    socket: UdpSocket,
}

impl Asker {
    /// Binds `source`; port 0 takes any.
    pub fn new(namespace: &Namespace, source: SocketAddr) -> Self {
        let socket = namespace.enter(|| UdpSocket::bind(source));
        Asker { socket: socket.unwrap_or_else(|error| panic!("bind {source}: {error}")) }
    }

    /// The address that a server should see.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Asks until the server answers, and returns the mapped address.
    pub fn ask(&self, server: SocketAddr) -> SocketAddr {
        for _ in 0..TRIES {
            if let Some(mapped) = self.ask_once(server, Duration::from_millis(500)) {
                return mapped;
            }
        }
        panic!("{server} does not answer {}", self.address());
    }

    /// Asks once; `None` if no reply came within `limit`.
    pub fn ask_once(&self, server: SocketAddr, limit: Duration) -> Option<SocketAddr> {
        let transaction = Transaction::with_cookie();
        self.socket.send_to(&transaction.request(&[]), server).expect("a request leaves");
        self.socket.set_read_timeout(Some(limit)).expect("a limit that is not zero");
        let mut buffer = [0; 2048];
        loop {
            let (length, source) = received(|| self.socket.recv_from(&mut buffer))?;
            // A reply to an earlier, slower try is not this one's.
            if source == server
                && let Some(mapped) = transaction.mapped_address(&buffer[..length])
            {
                return Some(mapped);
            }
        }
    }
}
