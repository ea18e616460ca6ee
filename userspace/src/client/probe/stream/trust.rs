//! Whom a question over TLS trusts.

use crate::cli::ProbeArgs;
use crate::error::{Failure, Result};
use crate::insecure::Anybody;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore};

/// A connection, not yet begun, that will take `host` for who it says it is if a certificate of
/// `--ca`, else one of the system's, vouches for it; with `--insecure` in any case.
///
/// # Errors
/// The certificates cannot be read, or `host` is no name that a certificate could have.
pub(super) fn connection(args: &ProbeArgs, host: &str) -> Result<ClientConnection> {
    let failed = |error: rustls::Error| Failure::system("cannot begin TLS").because(error);
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let mut config = if args.insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(args)?).with_no_client_auth()
    };
    // STUN for NAT discovery (RFC 7443 §3).
    config.alpn_protocols = vec![b"stun.nat-discovery".to_vec()];
    let name = ServerName::try_from(host.split('%').next().unwrap_or(host).to_owned())
        .map_err(|error| Failure::usage(format!("'{host}' is no name of a TLS server")).because(error))?;
    ClientConnection::new(Arc::new(config), name).map_err(failed)
}

fn roots(args: &ProbeArgs) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &args.ca {
        Some(file) => {
            let wrong = || format!("--ca {} holds no good certificate", file.display());
            let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let found = found.map_err(|error| Failure::usage(wrong()).because(error))?;
            for certificate in found {
                roots.add(certificate).map_err(|error| Failure::usage(wrong()).because(error))?;
            }
            if roots.is_empty() {
                return Err(Failure::usage(wrong()).remedy("a PEM file with BEGIN CERTIFICATE is wanted"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Failure::system("this system has no certificates to trust").remedy(
                    "install ca-certificates, name some with --ca, or ask without trust with --insecure",
                ));
            }
        }
    }
    Ok(roots)
}
