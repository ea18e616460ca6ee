//! The endpoints of a request.

use std::net::SocketAddr;

/// Source and destination of a request, and the server's other endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RequestEndpoints {
    /// The endpoint that sends the request.
    pub source: SocketAddr,
    /// The server's endpoint that receives it.
    pub server: SocketAddr,
    /// The server's endpoint that differs in address and port, under NAT behaviour discovery.
    pub other: SocketAddr,
}

/// Returns the endpoints of a request from `source` to a server at addresses reserved for documentation.
pub fn endpoints(source: SocketAddr) -> RequestEndpoints {
    let [server, other] = match source.ip().to_canonical().is_ipv4() {
        true => ["192.0.2.1:3478", "192.0.2.2:3479"],
        false => ["[2001:db8::1]:3478", "[2001:db8::2]:3479"],
    };
    RequestEndpoints { source, server: server.parse().unwrap(), other: other.parse().unwrap() }
}
