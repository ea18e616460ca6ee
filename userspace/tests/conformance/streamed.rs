//! The table over TCP and TLS, each row on a connection of its own.

use crate::common::lab::{Lab, Namespace};
use crate::common::packets::PORT;
use crate::common::server::{Counters, Server};
use crate::table::{Asked, Owed, Row, Setting, rows};
use crate::wired::flags;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName,
};
use xstun::outcome::Outcome;

const LIMIT: Duration = Duration::from_secs(60);
const TLS_PORT: u16 = 5349;
const NAME: &str = "stun.example.net";

/// Whether the rule is one of streams too: the bytes are one message by their own length field, and the
/// setting does not make a stream's replies others than a datagram's (RFC 5780 §6.1).
fn applies(row: &Row) -> bool {
    let length = row.request.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let is_one = length.is_some_and(|length| length + 20 == row.request.len() && length % 4 == 0);
    is_one && ![Setting::Discovery, Setting::Advertised].contains(&row.setting)
}

/// What the row is under TLS, where nobody is sent elsewhere: RFC 8489 §10 has a client keep its transport,
/// and the port that the operator names is one for UDP and TCP.
fn under_tls(row: Row) -> Row {
    match row.outcome {
        Outcome::Redirected => Row { outcome: Outcome::Answered, owed: Owed::Sealed, ..row },
        _ => row,
    }
}

fn connect(namespace: &Namespace, server: SocketAddr) -> TcpStream {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&server, LIMIT));
    let stream = stream.unwrap_or_else(|error| panic!("connect to {server}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends the request and says that no more will come; gives all that came back until the server closed.
fn over_tcp(mut stream: TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

fn over_tls(stream: TcpStream, request: &[u8], trusted: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(Arc::clone(trusted), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

/// A certificate with its key, in files for the server and as what a client trusts.
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
        let of_setting = || rows().into_iter().filter(|row| row.setting == setting && applies(row));
        let (rows, tls_rows): (Vec<Row>, Vec<Row>) =
            (of_setting().collect(), of_setting().map(under_tls).collect());
        if rows.is_empty() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let (tls_flags, trusted) = certificate(directory.path());
        let lab = Lab::new(1);
        let link = lab.link();
        let flags: Vec<String> = [flags(setting, &lab, directory.path()), tls_flags].concat();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        // More connections from one host than a stranger may have at a time: they close as they come.
        let server =
            Server::start(&lab.server, &[&["--interface", &link.server_interface], &flags[..]].concat());
        for (row, tls_row) in rows.iter().zip(&tls_rows) {
            for ip in [IpAddr::from(link.server_v4), link.server_v6.into()] {
                let (tcp, tls) = (SocketAddr::new(ip, PORT), SocketAddr::new(ip, TLS_PORT));
                let stream = connect(&lab.client, tcp);
                let source = stream.local_addr().unwrap();
                let owed = |row: &Row, source, server| row.reply(&Asked { source, server, other: server });
                assert_eq!(over_tcp(stream, &row.request), owed(row, source, tcp), "{} over TCP", row.name());
                let stream = connect(&lab.client, tls);
                let source = stream.local_addr().unwrap();
                let reply = over_tls(stream, &row.request, &trusted);
                assert_eq!(reply, owed(tls_row, source, tls), "{} over TLS", row.name());
            }
        }
        let counters = server.stop();
        check_counters(&counters, "tcp", &rows);
        check_counters(&counters, "tls", &tls_rows);
    }
}

/// Each row is counted once over either version of IP on this path, under its own end.
fn check_counters(counters: &Counters, path: &str, rows: &[Row]) {
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *expected.entry(row.outcome.name()).or_default() += 2;
    }
    for name in Outcome::ALL.map(Outcome::name) {
        let owed = expected.get(name).copied().unwrap_or_default();
        assert_eq!(counters.get(path, name), owed, "{name} over {path}:\n{}", counters.log);
    }
}
