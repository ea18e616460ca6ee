//! Which server certificates the client trusts.

use crate::cli::ProbeArgs;
use crate::error::{Failure, Result};
use crate::insecure::AnyCertificate;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore};

/// Returns a TLS connection before its handshake. It accepts `host` if a certificate of `--ca`, or by
/// default one of the system's, vouches for it; with `--insecure` it accepts any certificate.
///
/// # Errors
/// Usage: `--ca` has no valid certificate, or `host` cannot be in a certificate. System: the system has
/// no certificates.
pub(super) fn connection(args: &ProbeArgs, host: &str) -> Result<ClientConnection> {
    let failed = |error: rustls::Error| Failure::system("cannot begin TLS").because(error);
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let mut config = if args.insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth()
    } else {
        let roots = args.ca.as_deref().map_or_else(system_roots, roots_of)?;
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    // STUN for NAT discovery (RFC 7443 §3).
    config.alpn_protocols = vec![b"stun.nat-discovery".to_vec()];
    let name = ServerName::try_from(host.split('%').next().unwrap_or(host).to_owned()).map_err(|error| {
        Failure::usage(format!("'{host}' cannot be the name of a TLS server")).because(error)
    })?;
    ClientConnection::new(Arc::new(config), name).map_err(failed)
}

/// Reads the certificates of `--ca`.
fn roots_of(file: &Path) -> Result<RootCertStore> {
    let invalid = || Failure::usage(format!("--ca {} has no valid certificate", file.display()));
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid().because(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| invalid().because(error))?;
    }
    if roots.is_empty() {
        return Err(invalid().remedy("name a PEM file with BEGIN CERTIFICATE"));
    }
    Ok(roots)
}

/// Reads the certificates that the system trusts.
fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::system("this system has no certificates to trust").remedy(
            "install ca-certificates, name a file with --ca, or accept any certificate with --insecure",
        ));
    }
    Ok(roots)
}
