//! Who asks whom.

use super::setting::Setting;
use std::net::SocketAddr;

/// Who asks whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where the request comes from.
    pub source: SocketAddr,
    /// The endpoint that is asked.
    pub server: SocketAddr,
    /// The server's endpoint that differs in address and port, where it has one.
    pub other: SocketAddr,
}

impl Asked {
    /// The same source at each endpoint that serves under this setting: the four of NAT behaviour discovery, else
    /// the one.
    pub fn at_each_endpoint(self, setting: Setting) -> Vec<Asked> {
        let Asked { server, other, .. } = self;
        let at = |address: SocketAddr, port: SocketAddr| SocketAddr::new(address.ip(), port.port());
        let (next, across) = (at(server, other), at(other, server));
        let pairs = match setting {
            Setting::Discovery => vec![(server, other), (other, server), (next, across), (across, next)],
            // Which address is known under which public one is said by that of the server.
            Setting::Advertised => vec![(server, other), (next, across)],
            _ => vec![(server, other)],
        };
        pairs.into_iter().map(|(server, other)| Asked { server, other, ..self }).collect()
    }
}

/// `source` asks a server at the documentation's addresses.
pub fn asked(source: SocketAddr) -> Asked {
    let [server, other] = match source.ip().to_canonical().is_ipv4() {
        true => ["192.0.2.1:3478", "192.0.2.2:3479"],
        false => ["[2001:db8::1]:3478", "[2001:db8::2]:3479"],
    };
    Asked { source, server: server.parse().unwrap(), other: other.parse().unwrap() }
}
