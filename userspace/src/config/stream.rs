//! TCP and TLS: the flags, checked.

use super::{Listen, each_once};
use crate::cli::StreamArgs;
use crate::error::{Failure, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// IANA's port for STUN over TLS (RFC 8489 §18.6).
pub const STUNS_PORT: u16 = 5349;

/// How connections are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Whether TCP is answered, on every address of `--listen`.
    pub tcp: bool,
    /// TLS, if there is a certificate.
    pub tls: Option<Tls>,
    /// Connections at a time, TCP and TLS together; at least one.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or IPv6 network of 64 bits; at least one.
    pub per_source: usize,
    /// How long a connection may bring no whole message, or take no reply.
    pub idle: Duration,
}

/// Where TLS is answered, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where to listen.
    pub listen: Listen,
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl Stream {
    /// Checks the flags. `listen` is where UDP and TCP listen.
    ///
    /// # Errors
    /// One sentence that names the flag and the value.
    pub(super) fn from_args(args: &StreamArgs, listen: &Listen) -> Result<Self> {
        let tls = match (&args.tls_certificate, &args.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls {
                listen: tls_listen(&args.tls_listen, listen)?,
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (Some(certificate), None) => {
                return Err(Failure::usage(format!(
                    "--tls-certificate {} is of no use without its private key",
                    certificate.display()
                ))
                .remedy("name it with --tls-key"));
            }
            (None, Some(key)) => {
                return Err(Failure::usage(format!(
                    "--tls-key {} is of no use without its certificate",
                    key.display()
                ))
                .remedy("name it with --tls-certificate"));
            }
            (None, None) => match args.tls_listen.first() {
                Some(address) => {
                    return Err(Failure::usage(format!(
                        "--tls-listen {address} cannot be had without a certificate"
                    ))
                    .remedy("name one with --tls-certificate and --tls-key"));
                }
                None => None,
            },
        };
        if let Some(tls) = tls.as_ref().filter(|_| !args.no_tcp) {
            apart(&tls.listen, listen)?;
        }
        Ok(Stream {
            tcp: !args.no_tcp,
            tls,
            connections: args.max_connections.get() as usize,
            per_source: args.max_connections_per_source.get() as usize,
            idle: args.tcp_idle,
        })
    }
}

fn tls_listen(given: &[SocketAddr], listen: &Listen) -> Result<Listen> {
    if !given.is_empty() {
        let addresses = each_once("--tls-listen", given, STUNS_PORT)?;
        return Ok(Listen { addresses, flag: "--tls-listen", by_default: false, alternate: Vec::new() });
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for mut address in listen.addresses.iter().copied() {
        address.set_port(STUNS_PORT);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(Listen { addresses, flag: "--tls-listen", by_default: listen.by_default, alternate: Vec::new() })
}

/// Checks that no port has to speak TLS and plain TCP at once.
fn apart(tls: &Listen, tcp: &Listen) -> Result<()> {
    for one in &tls.addresses {
        let same = |other: &SocketAddr| {
            let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && same_ip
        };
        if let Some(other) = tcp.all().find(same) {
            let flag = tcp.flag(&other);
            return Err(Failure::usage(format!("TLS on {one} and TCP on {other} ({flag}) are one port"))
                .remedy("choose another port with --tls-listen, or leave TCP out with --no-tcp"));
        }
    }
    Ok(())
}
