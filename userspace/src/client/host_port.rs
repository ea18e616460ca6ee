//! The server as the command line names it, and its addresses.

use crate::error::{Failure, Result};
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _};

/// Port of STUN over UDP and TCP (RFC 8489 §18.6).
const DEFAULT_PORT: u16 = 3478;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressFamily {
    Ipv4,
    Ipv6,
}

impl AddressFamily {
    pub(super) fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 }
    }
}

impl HostPort {
    /// Parses `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address. The default port is
    /// 3478.
    ///
    /// # Errors
    /// Usage: `text` has none of these forms.
    pub(super) fn parse(text: &str) -> Result<Self> {
        HostPort::parse_with(text, DEFAULT_PORT)
    }

    /// Does what [`HostPort::parse`] does, with another default port.
    ///
    /// # Errors
    /// As [`HostPort::parse`].
    pub(super) fn parse_with(text: &str, default_port: u16) -> Result<Self> {
        let invalid = |reason: &str| {
            Failure::usage(format!("invalid HOST[:PORT] '{text}': {reason}")).remedy(format!(
                "write a name, an IPv4 address or [an IPv6 address], then :PORT unless it is {default_port}"
            ))
        };
        let (host, port) = split(text).map_err(invalid)?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(invalid("not a host name or address"));
        }
        let port = match port.map(str::parse) {
            None => default_port,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(invalid("the port must be a number from 1 to 65535")),
        };
        Ok(HostPort { host: host.to_owned(), port })
    }

    /// Returns the host's addresses in the system's order of preference (RFC 6724), without duplicates.
    /// With `family`, returns only those of that family.
    ///
    /// # Errors
    /// System: the name cannot be resolved. Usage: it has no address of that family.
    pub(super) fn resolve(&self, family: Option<AddressFamily>) -> Result<Vec<SocketAddr>> {
        let resolved = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| {
            Failure::system(format!("cannot resolve '{}'", self.host))
                .because(error)
                .remedy("check the name, and the resolver in /etc/resolv.conf")
        })?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in resolved {
            let is_eligible = family.is_none_or(|family| family == AddressFamily::of(&address));
            if is_eligible && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match family {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(AddressFamily::Ipv4) => Err(Failure::usage(format!("'{}' has no IPv4 address", self.host))),
            Some(AddressFamily::Ipv6) => Err(Failure::usage(format!("'{}' has no IPv6 address", self.host))),
            None => Err(Failure::system(format!("'{}' has no address", self.host))),
        }
    }
}

/// Splits `text` into host and port. The host has no brackets; neither part is checked further.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        if !is_ipv6(host) {
            return Err("no IPv6 address in the brackets");
        }
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err("only :PORT may follow the bracket"),
            Some(port) => Ok((host, Some(port))),
        };
    }
    if is_ipv6(text) {
        return Ok((text, None));
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("not an IPv6 address"),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// Whether `text` is an IPv6 address, with a zone (`%eth0`) or without.
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{AddressFamily, HostPort};
    use crate::error::FailureKind;

    #[test]
    fn every_usual_form_is_parsed() {
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
            assert_eq!(HostPort::parse(text).unwrap(), HostPort { host: host.into(), port }, "{text}");
        }
    }

    #[test]
    fn an_invalid_server_is_a_usage_error_with_a_reason() {
        for (text, reason) in [
            ("", "not a host name"),
            (":3478", "not a host name"),
            ("stun server", "not a host name"),
            ("stun://host", "the port must be a number"),
            ("host/path", "not a host name"),
            ("host:", "the port must be a number"),
            ("host:0", "the port must be a number"),
            ("host:65536", "the port must be a number"),
            ("host:-1", "the port must be a number"),
            ("host:stun", "the port must be a number"),
            ("1:2:3", "not an IPv6 address"),
            ("[::1", "not closed"),
            ("[::1]3478", "only :PORT may follow"),
            ("[::1]:", "the port must be a number"),
            ("[127.0.0.1]", "no IPv6 address in the brackets"),
            ("[]:1", "no IPv6 address in the brackets"),
        ] {
            let failure = HostPort::parse(text).unwrap_err();
            assert_eq!(failure.kind(), FailureKind::Usage, "{text}");
            assert!(failure.to_string().contains(reason), "{text}: {failure}");
        }
    }

    #[test]
    fn an_address_resolves_to_itself_and_to_its_own_family_only() {
        let server = HostPort::parse("127.0.0.1:5").unwrap();
        assert_eq!(server.resolve(None).unwrap(), ["127.0.0.1:5".parse().unwrap()]);
        assert_eq!(server.resolve(Some(AddressFamily::Ipv4)).unwrap().len(), 1);
        let failure = server.resolve(Some(AddressFamily::Ipv6)).unwrap_err();
        assert_eq!(failure.to_string(), "'127.0.0.1' has no IPv6 address");
    }
}
