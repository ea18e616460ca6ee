//! TCP and TLS.

use super::listen::{Listen, each_once};
use crate::cli::StreamArgs;
use crate::error::{Failure, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// IANA's port for STUN over TLS (RFC 8489 §18.6).
pub(super) const STUNS_PORT: u16 = 5349;

/// How connections are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamConfig {
    /// Whether TCP is answered, on every address of `--listen`.
    pub(crate) tcp: bool,
    /// TLS, if there is a certificate.
    pub(crate) tls: Option<TlsConfig>,
    /// Most connections open at a time, TCP and TLS together; at least one.
    pub(crate) connections: usize,
    /// Most connections open at a time from one IPv4 address or IPv6 /64 network; at least one.
    pub(crate) per_source: usize,
    /// How long a connection may bring no whole message, or take no reply.
    pub(crate) idle: Duration,
}

/// Where TLS is answered, and with which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// Where to listen.
    pub(crate) listen: Listen,
    /// PEM file with the certificate and its chain.
    pub(crate) certificate: PathBuf,
    /// PEM file with the private key.
    pub(crate) key: PathBuf,
}

impl StreamConfig {
    /// Checks the options. `listen` is where UDP and TCP listen.
    ///
    /// # Errors
    /// Usage: a sentence that names the flag and the value.
    pub(super) fn from_args(args: &StreamArgs, listen: &Listen) -> Result<Self> {
        let StreamArgs {
            no_tcp,
            tls_listen: _,
            tls_certificate: _,
            tls_key: _,
            max_connections,
            max_connections_per_source,
            tcp_idle,
        } = args;
        let tls = tls(args, listen)?;
        if let Some(tls) = tls.as_ref().filter(|_| !no_tcp) {
            check_apart(&tls.listen, listen)?;
        }
        Ok(StreamConfig {
            tcp: !no_tcp,
            tls,
            connections: max_connections.get() as usize,
            per_source: max_connections_per_source.get() as usize,
            idle: *tcp_idle,
        })
    }
}

/// Returns the configuration of TLS, if it is wanted.
fn tls(args: &StreamArgs, listen: &Listen) -> Result<Option<TlsConfig>> {
    let half = |flag: &'static str, file: &Path, other: &str| {
        Err(Failure::invalid(flag, file.display(), format!("requires {other}"))
            .remedy(format!("name the file with {other}")))
    };
    match (&args.tls_certificate, &args.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsConfig {
            listen: tls_listen(&args.tls_listen, listen)?,
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (Some(certificate), None) => half("--tls-certificate", certificate, "--tls-key"),
        (None, Some(key)) => half("--tls-key", key, "--tls-certificate"),
        (None, None) => match args.tls_listen.first() {
            Some(address) => Err(Failure::invalid("--tls-listen", address, "requires a certificate")
                .remedy("name one with --tls-certificate and --tls-key")),
            None => Ok(None),
        },
    }
}

fn tls_listen(given: &[SocketAddr], listen: &Listen) -> Result<Listen> {
    let flag = "--tls-listen";
    if !given.is_empty() {
        let addresses = each_once(flag, given, STUNS_PORT)?;
        return Ok(Listen { addresses, flag, by_default: false, alternate: Vec::new() });
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for mut address in listen.addresses.iter().copied() {
        address.set_port(STUNS_PORT);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(Listen { addresses, flag, by_default: listen.by_default, alternate: Vec::new() })
}

/// Checks that no port would have to speak TLS and plain TCP at once.
fn check_apart(tls: &Listen, tcp: &Listen) -> Result<()> {
    for one in &tls.addresses {
        if let Some((other, flag)) = tcp.overlapping(one) {
            return Err(Failure::usage(format!("TLS on {one} and TCP on {other} ({flag}) share one port"))
                .of_value(flag, other)
                .of_value("--tls-listen", one)
                .remedy("choose another port with --tls-listen, or switch TCP off with --no-tcp"));
        }
    }
    Ok(())
}
