//! The TLS identity: certificate and key from their files, replaceable at run time.

use crate::config::TlsConfig;
use crate::error::{Failure, Result};
use arc_swap::ArcSwap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};
use webpki::{EndEntityCert, KeyUsage};

/// STUN for NAT discovery in ALPN (RFC 7443 §3).
const ALPN: &[u8] = b"stun.nat-discovery";

/// The certificate in force. Open connections keep the one that they began with.
pub(super) struct TlsIdentity(ArcSwap<ServerConfig>);

impl TlsIdentity {
    pub(super) fn new(certificate: ServerConfig) -> Self {
        TlsIdentity(ArcSwap::from_pointee(certificate))
    }

    /// Puts another certificate in force for new connections.
    pub(super) fn replace(&self, certificate: ServerConfig) {
        self.0.store(Arc::new(certificate));
    }

    /// The acceptor for the handshake of one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// Reads certificate and key. Warns if clients will refuse the certificate because of its dates.
///
/// # Errors
/// A message that names the flag and the file.
pub(super) fn read(files: &TlsConfig) -> Result<ServerConfig> {
    let chain = chain(&files.certificate)?;
    let key = key(&files.key)?;
    if let Some(dates) = chain.first().and_then(wrong_dates) {
        tracing::warn!("the certificate in {} (--tls-certificate) {dates}", files.certificate.display());
    }
    let unusable = |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(_) => Failure::usage(format!(
            "the key in {} (--tls-key) does not belong to the certificate in {} (--tls-certificate)",
            files.key.display(),
            files.certificate.display()
        ))
        .of_value("--tls-key", files.key.display())
        .of_value("--tls-certificate", files.certificate.display())
        .remedy("name two files that belong together; the server's own certificate must come first"),
        other => Failure::usage(format!(
            "cannot serve with {} (--tls-certificate) and {} (--tls-key)",
            files.certificate.display(),
            files.key.display()
        ))
        .of_value("--tls-certificate", files.certificate.display())
        .of_value("--tls-key", files.key.display())
        .because(other),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No session resumption: nothing is kept for a closed connection, and a new certificate holds for every
    // new one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = contents("--tls-certificate", file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable("--tls-certificate", file, error))?;
    if chain.is_empty() {
        return Err(Failure::invalid("--tls-certificate", file.display(), "holds no certificate")
            .remedy("give a PEM file with BEGIN CERTIFICATE"));
    }
    Ok(chain)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes = contents("--tls-key", file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&bytes) => {
            Failure::usage(format!("the key in {} (--tls-key) is encrypted", file.display()))
                .of_value("--tls-key", file.display())
                .remedy("`openssl pkey -in FILE -out NEWFILE` removes the passphrase")
        }
        pem::Error::NoItemsFound => Failure::invalid("--tls-key", file.display(), "holds no private key")
            .remedy("give a PEM file with BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"),
        other => unreadable("--tls-key", file, other),
    })
}

fn contents(flag: &'static str, file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file).map_err(|error| {
        Failure::system(format!("cannot read {flag} {}", file.display()))
            .of_value(flag, file.display())
            .because(error)
    })?;
    if bytes.is_empty() {
        return Err(Failure::invalid(flag, file.display(), "is empty"));
    }
    Ok(bytes)
}

fn unreadable(flag: &'static str, file: &Path, error: pem::Error) -> Failure {
    Failure::invalid(flag, file.display(), "is not a valid PEM file").because(error)
}

fn is_encrypted(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("BEGIN ENCRYPTED PRIVATE KEY")
}

/// Returns why a certificate is not valid now, because of its dates.
fn wrong_dates(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let usage = KeyUsage::server_auth();
    // Without trust anchors every certificate fails; its dates are checked before its issuer.
    match certificate.verify_for_usage(&[], &[], &[], UnixTime::now(), usage, None, None).err()? {
        webpki::Error::CertExpired { time, not_after } => Some(format!(
            "expired {} ago: clients will refuse it",
            span(time.as_secs().saturating_sub(not_after.as_secs()))
        )),
        webpki::Error::CertNotValidYet { time, not_before } => Some(format!(
            "is not valid before {} from now: clients refuse it until then",
            span(not_before.as_secs().saturating_sub(time.as_secs()))
        )),
        _ => None,
    }
}

/// Formats seconds as minutes, hours or days.
fn span(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
