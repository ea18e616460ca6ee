//! The server as a person writes it, and its addresses.

use crate::error::{Failure, Result};
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _};

/// Where STUN servers listen (RFC 8489 §18.6).
const DEFAULT_PORT: u16 = 3478;

/// A host, by name or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The version of IP to ask over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    pub(super) fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Version::V4 } else { Version::V6 }
    }
}

impl Server {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address.
    ///
    /// # Errors
    /// A usage error that says what is wrong with `text`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Server::parse_with(text, DEFAULT_PORT)
    }

    /// As [`Server::parse`], with another port where none is written.
    ///
    /// # Errors
    /// The same.
    pub(super) fn parse_with(text: &str, usual_port: u16) -> Result<Self> {
        let wrong = |what: &str| {
            Failure::usage(format!("HOST[:PORT] is '{text}': {what}")).remedy(
                "write a name, an IPv4 address or [an IPv6 address], and :PORT after it if it is not 3478",
            )
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("the bracket is not closed"))?;
            if !is_ipv6(host) {
                return Err(wrong("there is no IPv6 address in the brackets"));
            }
            let port = match rest.strip_prefix(':') {
                None if rest.is_empty() => None,
                None => return Err(wrong("after the bracket comes neither the end nor a port")),
                Some(port) => Some(port),
            };
            (host, port)
        } else if is_ipv6(text) {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(wrong("that is no IPv6 address")),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(wrong("that names no host"));
        }
        let port = match port.map(str::parse) {
            None => usual_port,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(wrong("the port is no number from 1 to 65535")),
        };
        Ok(Server { host: host.to_owned(), port })
    }

    /// The addresses of the host in the order in which the system prefers them (RFC 6724), those of
    /// one version only if one is given.
    ///
    /// # Errors
    /// The name cannot be resolved, or has no address of that version.
    pub(super) fn resolve(&self, version: Option<Version>) -> Result<Vec<SocketAddr>> {
        let found: Vec<_> = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| {
                Failure::system(format!("cannot find the address of '{}'", self.host))
                    .because(error)
                    .remedy("check the name, and the resolver in /etc/resolv.conf")
            })?
            .collect();
        let mut fit: Vec<SocketAddr> = Vec::with_capacity(found.len());
        for address in found {
            if version.is_none_or(|version| version == Version::of(&address)) && !fit.contains(&address) {
                fit.push(address);
            }
        }
        match version {
            _ if !fit.is_empty() => Ok(fit),
            Some(Version::V4) => Err(Failure::usage(format!("'{}' has no IPv4 address", self.host))),
            Some(Version::V6) => Err(Failure::usage(format!("'{}' has no IPv6 address", self.host))),
            None => Err(Failure::system(format!("'{}' has no address", self.host))),
        }
    }
}

/// An IPv6 address, with a zone (`%eth0`) or without.
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{Server, Version};
    use crate::error::Kind;

    #[test]
    fn a_server_is_read_in_every_form_a_person_writes() {
        for (text, host, port) in [
            ("stun.example.net", "stun.example.net", 3478),
            ("stun.example.net:19302", "stun.example.net", 19302),
            ("192.0.2.1", "192.0.2.1", 3478),
            ("192.0.2.1:65535", "192.0.2.1", 65535),
            ("2001:db8::1", "2001:db8::1", 3478),
            ("::1", "::1", 3478),
            ("[::1]", "::1", 3478),
            ("[2001:db8::1]:5349", "2001:db8::1", 5349),
            ("[fe80::1%lo]:1", "fe80::1%lo", 1),
            ("fe80::1%lo", "fe80::1%lo", 3478),
            ("localhost", "localhost", 3478),
        ] {
            assert_eq!(Server::parse(text).unwrap(), Server { host: host.into(), port }, "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_a_usage_error_that_says_why() {
        for (text, why) in [
            ("", "names no host"),
            (":3478", "names no host"),
            ("stun server", "names no host"),
            ("stun://host", "the port is no number"),
            ("host/path", "names no host"),
            ("host:", "the port is no number"),
            ("host:0", "the port is no number"),
            ("host:65536", "the port is no number"),
            ("host:-1", "the port is no number"),
            ("host:stun", "the port is no number"),
            ("1:2:3", "no IPv6 address"),
            ("[::1", "not closed"),
            ("[::1]3478", "neither the end nor a port"),
            ("[::1]:", "the port is no number"),
            ("[127.0.0.1]", "no IPv6 address in the brackets"),
            ("[]:1", "no IPv6 address in the brackets"),
        ] {
            let failure = Server::parse(text).unwrap_err();
            assert_eq!(failure.kind(), Kind::Usage, "{text}");
            assert!(failure.to_string().contains(why), "{text}: {failure}");
        }
    }

    #[test]
    fn an_address_resolves_to_itself_and_to_its_own_version_only() {
        let server = Server::parse("127.0.0.1:5").unwrap();
        assert_eq!(server.resolve(None).unwrap(), ["127.0.0.1:5".parse().unwrap()]);
        assert_eq!(server.resolve(Some(Version::V4)).unwrap().len(), 1);
        let failure = server.resolve(Some(Version::V6)).unwrap_err();
        assert_eq!(failure.to_string(), "'127.0.0.1' has no IPv6 address");
    }
}
