//! The conformance table over TCP and TLS, with a new connection for each row.

use crate::datagrams::{flags, other};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName,
};
use xstun_core::outcome::Outcome;
use xstun_testkit::conformance::{RequestEndpoints, Row, Setting, stream_rows, tls_row};
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::server::{Counters, Server};
use xstun_testkit::lab::{Lab, Namespace};

const LIMIT: Duration = Duration::from_secs(60);
const TLS_PORT: u16 = 5349;
const NAME: &str = "stun.example.net";

/// The endpoints of a request over TCP to each endpoint that serves. Its source port is 0 until the connection is
/// established.
fn endpoints(server: SocketAddr, setting: Setting) -> Vec<RequestEndpoints> {
    let source = SocketAddr::new(server.ip(), 0);
    setting.at_each_endpoint(RequestEndpoints { source, server, other: other(server.ip()) })
}

fn connect(namespace: &Namespace, server: SocketAddr) -> TcpStream {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&server, LIMIT));
    let stream = stream.unwrap_or_else(|error| panic!("connect to {server}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends the request, closes the sending direction, and returns all bytes that arrive until the server closes.
fn over_tcp(mut stream: TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

/// As [`over_tcp`], over TLS.
fn over_tls(stream: TcpStream, request: &[u8], config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

/// Writes a certificate and its key in `directory`. Returns the server's flags for them, and a client's configuration
/// that trusts the certificate.
fn certificate(directory: &std::path::Path) -> (Vec<String>, Arc<ClientConfig>) {
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let mut flags = Vec::new();
    for (flag, pem) in
        [("--tls-certificate", pair.cert.pem()), ("--tls-key", pair.signing_key.serialize_pem())]
    {
        let file = directory.join(&flag[2..]);
        std::fs::write(&file, pem).unwrap();
        flags.extend([flag.to_owned(), file.to_str().expect("a path in UTF-8").to_owned()]);
    }
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    (flags, Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn tcp_and_tls_keep_every_rule() {
    for setting in Setting::ALL {
        let rows = stream_rows(setting);
        let tls_rows: Vec<Row> = stream_rows(setting).into_iter().map(tls_row).collect();
        let directory = tempfile::tempdir().unwrap();
        let (tls_flags, client_config) = certificate(directory.path());
        let lab = Lab::new(1);
        let link = lab.link();
        let flags: Vec<String> = [flags(setting, &lab, directory.path()), tls_flags].concat();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server =
            Server::start(&lab.server, &[&["--interface", &link.server_interface], &flags[..]].concat());
        for (row, tls_row) in rows.iter().zip(&tls_rows) {
            for ip in [IpAddr::from(link.server_v4), link.server_v6.into()] {
                let (tcp, tls) = (SocketAddr::new(ip, PORT), SocketAddr::new(ip, TLS_PORT));
                for endpoints in endpoints(tcp, setting) {
                    let server = endpoints.server;
                    let stream = connect(&lab.client, server);
                    let expected =
                        row.reply(&RequestEndpoints { source: stream.local_addr().unwrap(), ..endpoints });
                    let reply = over_tcp(stream, &row.request);
                    assert_eq!(reply, expected, "{} over TCP at {server}", row.name());
                }
                let stream = connect(&lab.client, tls);
                let endpoints =
                    RequestEndpoints { source: stream.local_addr().unwrap(), server: tls, other: tls };
                let reply = over_tls(stream, &row.request, &client_config);
                assert_eq!(reply, tls_row.reply(&endpoints), "{} over TLS", row.name());
            }
        }
        let tcp_endpoints = endpoints(SocketAddr::new(link.server_v4.into(), PORT), setting).len();
        let counters = server.stop();
        check_counters(&counters, "tcp", &rows, tcp_endpoints);
        check_counters(&counters, "tls", &tls_rows, 1);
    }
}

/// Checks that each row was counted under its outcome, once for each endpoint and IP version.
fn check_counters(counters: &Counters, path: &str, rows: &[Row], endpoints: usize) {
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *expected.entry(row.outcome.name()).or_default() += 2;
    }
    for name in Outcome::ALL.map(Outcome::name) {
        let expected = expected.get(name).copied().unwrap_or_default() * endpoints as u64;
        assert_eq!(counters.get(path, name), expected, "{name} over {path}:\n{}", counters.log);
    }
}
