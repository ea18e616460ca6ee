//! The endpoints of a request.

use std::net::SocketAddr;

/// Source and destination of a request, and the server's other endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where the request comes from.
    pub source: SocketAddr,
    /// The endpoint that is asked.
    pub server: SocketAddr,
    /// The server's endpoint that differs in address and port, where it has one.
    pub other: SocketAddr,
}

/// A request from `source` to a server at addresses that are reserved for documentation.
pub fn asked(source: SocketAddr) -> Asked {
    let [server, other] = match source.ip().to_canonical().is_ipv4() {
        true => ["192.0.2.1:3478", "192.0.2.2:3479"],
        false => ["[2001:db8::1]:3478", "[2001:db8::2]:3479"],
    };
    Asked { source, server: server.parse().unwrap(), other: other.parse().unwrap() }
}
