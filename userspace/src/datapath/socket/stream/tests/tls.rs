//! TLS, with rustls's client over std's sockets.

use super::{
    CloseReason, LIMIT, RefusalReason, StreamConfig, TlsConfig, ask, ask_over, at, config, connect_to, on,
    read_message, request, start, stats, success, transport, wait_for,
};
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};
use xstun_testkit::wait::uninterrupted;

const NAME: &str = "stun.example.net";

/// A self-signed certificate, in files.
struct Certificate {
    directory: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let mut certificate =
            Certificate { directory: tempfile::tempdir().unwrap(), der: CertificateDer::from(Vec::new()) };
        certificate.renew();
        certificate
    }

    /// Writes another certificate with another key to the same files.
    fn renew(&mut self) {
        let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let tls = self.tls();
        fs::write(tls.certificate, pair.cert.pem()).unwrap();
        fs::write(tls.key, pair.signing_key.serialize_pem()).unwrap();
        self.der = pair.cert.der().clone();
    }

    fn tls(&self) -> TlsConfig {
        let path = |name| self.directory.path().join(name);
        TlsConfig { listen: on("127.0.0.1"), certificate: path("certificate.pem"), key: path("key.pem") }
    }

    fn config(&self) -> StreamConfig {
        StreamConfig { tcp: false, tls: Some(self.tls()), ..config() }
    }

    /// The configuration of a client that trusts only this certificate.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(tcp: TcpStream, config: &Arc<ClientConfig>) -> Client {
    let name = ServerName::try_from(NAME).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), tcp)
}

/// Completes the handshake and one request, and returns the connection.
fn asked(tcp: TcpStream, config: &Arc<ClientConfig>) -> Client {
    let local = tcp.local_addr().unwrap();
    let mut client = connect(tcp, config);
    ask(&mut client, 1, local);
    client
}

/// Why the handshake fails.
fn refusal(tcp: TcpStream, config: &Arc<ClientConfig>) -> std::io::Error {
    let mut client = connect(tcp, config);
    while client.conn.is_handshaking() {
        if let Err(error) = client.conn.complete_io(&mut client.sock) {
            return error;
        }
    }
    // In TLS 1.3 the client finishes before the server has checked anything.
    client.write_all(&request(1)).and_then(|()| client.read_exact(&mut [0; 32])).unwrap_err()
}

#[test]
fn both_versions_are_served_with_and_without_alpn() {
    let certificate = Certificate::new();
    let service = start(&certificate.config());
    for version in [&version::TLS12, &version::TLS13] {
        for alpn in [&[][..], &["stun.nat-discovery"], &["stun.turn", "stun.nat-discovery"]] {
            let tcp = connect_to(transport(&service, "tls").addresses[0]);
            let client = asked(tcp, &certificate.client(&[version], alpn));
            let chosen = (!alpn.is_empty()).then_some(&b"stun.nat-discovery"[..]);
            assert_eq!(client.conn.alpn_protocol(), chosen);
            assert_eq!(client.conn.protocol_version(), Some(version.version));
        }
    }
}

#[test]
fn requests_in_one_record_and_over_several_are_answered_in_order() {
    let certificate = Certificate::new();
    let service = start(&certificate.config());
    let tcp = connect_to(transport(&service, "tls").addresses[0]);
    let local = tcp.local_addr().unwrap();
    let mut client = asked(tcp, &certificate.client(&[&version::TLS13], &[]));
    let many: Vec<u8> = (0..200).flat_map(request).collect();
    client.write_all(&many).unwrap();
    for byte in request(200) {
        client.write_all(&[byte]).unwrap();
    }
    for number in 0..=200 {
        assert_eq!(read_message(&mut client), success(number, local));
    }
}

#[test]
fn a_client_of_another_protocol_is_refused() {
    let certificate = Certificate::new();
    let service = start(&certificate.config());
    let stats = stats(&service);
    let address = transport(&service, "tls").addresses[0];
    let error = refusal(connect_to(address), &certificate.client(&[&version::TLS13], &["h2"]));
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    wait_for(&stats, CloseReason::HandshakeFailed, 1);

    // STUN without TLS on the port of TLS.
    let plain = connect_to(address);
    (&plain).write_all(&request(1)).unwrap();
    let _ = (&plain).read_to_end(&mut Vec::new());
    wait_for(&stats, CloseReason::HandshakeFailed, 2);
    asked(connect_to(address), &certificate.client(&[&version::TLS13], &[]));
}

#[test]
fn a_client_without_handshake_is_closed_and_delays_no_other() {
    let certificate = Certificate::new();
    let service = start(&certificate.config());
    let stats = stats(&service);
    let address = transport(&service, "tls").addresses[0];
    let silent: Vec<_> = (0..50).map(|_| connect_to(address)).collect();
    asked(connect_to(address), &certificate.client(&[&version::TLS13], &[]));
    assert_eq!(stats.closed(CloseReason::HandshakeLate), 0);
    wait_for(&stats, CloseReason::HandshakeLate, 50);
    drop(silent);
}

#[test]
fn a_new_certificate_serves_new_connections_and_a_bad_one_changes_nothing() {
    let mut certificate = Certificate::new();
    let mut service = start(&certificate.config());
    let address = transport(&service, "tls").addresses[0];
    // The addresses that are served already, so that nothing new is bound.
    let mut config = certificate.config();
    config.tls = config.tls.map(|tls| TlsConfig { listen: at(&[address]), ..tls });
    let before = certificate.client(&[&version::TLS13, &version::TLS12], &[]);
    let mut old = asked(connect_to(address), &before);

    fs::write(certificate.tls().certificate, "no certificate").unwrap();
    let failure = service.bind(&at(&[]), &config).err().unwrap().to_string();
    assert!(failure.contains("--tls-certificate") && failure.contains("holds no certificate"), "{failure}");
    asked(connect_to(address), &before);

    certificate.renew();
    let renewed = service.bind(&at(&[]), &config).unwrap();
    service.add(renewed, &config).unwrap();
    let after = certificate.client(&[&version::TLS13, &version::TLS12], &[]);
    asked(connect_to(address), &after);
    let error = refusal(connect_to(address), &before);
    let refused = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    assert!(matches!(refused, Some(rustls::Error::InvalidCertificate(_))), "{error}");

    // The open connection stays.
    let local = old.sock.local_addr().unwrap();
    ask(&mut old, 2, local);
}

#[test]
fn tcp_and_tls_are_served_and_counted_apart_under_one_limit() {
    let certificate = Certificate::new();
    let service = start(&StreamConfig { tcp: true, connections: 2, ..certificate.config() });
    let (tcp, tls) = (transport(&service, "tcp"), transport(&service, "tls"));
    let plain = connect_to(tcp.addresses[0]);
    ask_over(&plain, 1);
    let _secure = asked(connect_to(tls.addresses[0]), &certificate.client(&[&version::TLS13], &[]));
    let third = connect_to(tls.addresses[0]);
    third.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(uninterrupted(|| (&third).read(&mut [0; 1])).unwrap_err().kind(), ErrorKind::ConnectionReset);
    for (transport, refused) in [(tcp, 0), (tls, 1)] {
        assert_eq!(transport.stats.accepted.get(), 1);
        assert_eq!(transport.stats.refused(RefusalReason::Limit), refused);
        assert_eq!(transport.stats.messages.received.get(), 1);
    }
}

#[test]
fn a_tls_connection_is_closed_with_close_notify() {
    let certificate = Certificate::new();
    let service = start(&certificate.config());
    let address = transport(&service, "tls").addresses[0];
    let mut client = asked(connect_to(address), &certificate.client(&[&version::TLS13], &[]));
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The end of TCP without close_notify would be an error here.
    assert_eq!(uninterrupted(|| client.read(&mut [0; 1])).unwrap(), 0);
}
