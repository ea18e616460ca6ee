//! The table over TCP and TLS, each row on a connection of its own.

use crate::wired::{flags, other};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName,
};
use xstun_core::outcome::Outcome;
use xstun_testkit::conformance::{Asked, Diverted, Owed, Row, Setting, rows};
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::server::{Counters, Server};
use xstun_testkit::lab::{Lab, Namespace};
use xstun_testkit::messages::{BINDING_ERROR, BINDING_REQUEST, message};

const LIMIT: Duration = Duration::from_secs(60);
const TLS_PORT: u16 = 5349;
const NAME: &str = "stun.example.net";

/// Whether the bytes are one message by their own length field.
fn is_one_message(request: &[u8]) -> bool {
    let length = request.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    length.is_some_and(|length| length + 20 == request.len() && length % 4 == 0)
}

/// Settings of NAT behaviour discovery.
const DISCOVERS: [Setting; 2] = [Setting::Discovery, Setting::Advertised];

/// The rules of a setting that are ones of streams too. Of NAT behaviour discovery these are the addresses
/// that it tells; what it does for datagrams is rejected.
fn of_streams(setting: Setting) -> Vec<Row> {
    let discovers = DISCOVERS.contains(&setting);
    let is_kept = |row: &Row| {
        let Diverted { address, port, to } = row.diverted;
        let is_diverted = address || port || to.is_some();
        let tells = matches!(row.owed, Owed::Discovery | Owed::ClassicDiscovery) && !is_diverted;
        row.setting == setting && is_one_message(&row.request) && (tells || !discovers)
    };
    let kept = rows().into_iter().filter(is_kept);
    let further = if discovers { rejected(setting) } else { Vec::new() };
    kept.chain(further).collect()
}

/// A stream has no other endpoint to send from, no other port to send to, and no fragments.
fn rejected(setting: Setting) -> Vec<Row> {
    const CHANGE_REQUEST: u16 = 0x0003;
    const PADDING: u16 = 0x0026;
    const RESPONSE_PORT: u16 = 0x0027;
    const UNKNOWN: u16 = 0x7ff0;
    const ERROR_CODE: u16 = 0x0009;
    const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    let change = |flags: u8| (CHANGE_REQUEST, vec![0, 0, 0, flags]);
    let port = || (RESPONSE_PORT, vec![0x9c, 0x41, 0, 0]);
    let requests = [
        ("change port", vec![change(2)]),
        ("change IP", vec![change(4)]),
        ("change both", vec![change(6)]),
        ("RESPONSE-PORT", vec![port()]),
        ("RESPONSE-PORT of three bytes", vec![(RESPONSE_PORT, vec![0x9c, 0x41, 0])]),
        ("RESPONSE-PORT 0", vec![(RESPONSE_PORT, vec![0; 4])]),
        ("PADDING", vec![(PADDING, Vec::new())]),
        ("RESPONSE-PORT and a change", vec![port(), change(6)]),
        ("an unknown attribute and a change", vec![(UNKNOWN, Vec::new()), change(6)]),
    ];
    let row = |rule, attributes: Vec<(u16, Vec<u8>)>| {
        let types: Vec<u8> = attributes.iter().flat_map(|(kind, _)| kind.to_be_bytes()).collect();
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        let reply = message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, &types)]);
        let request = message(BINDING_REQUEST, &attributes);
        Row {
            section: "RFC 8489 §6.3.1",
            rule,
            setting,
            request,
            outcome: Outcome::UnknownAttribute,
            owed: Owed::Bytes(reply),
            diverted: Diverted::default(),
        }
    };
    requests.into_iter().map(|(rule, attributes)| row(rule, attributes)).collect()
}

/// The endpoints of `server` that are asked over TCP, each with the one that differs in address and port.
fn endpoints(server: SocketAddr, setting: Setting) -> Vec<(SocketAddr, SocketAddr)> {
    let other = other(server.ip());
    let at = |address: SocketAddr, port: SocketAddr| SocketAddr::new(address.ip(), port.port());
    let (next, across) = (at(server, other), at(other, server));
    match setting {
        Setting::Discovery => vec![(server, other), (other, server), (next, across), (across, next)],
        // The table knows which address is which by that of the server.
        Setting::Advertised => vec![(server, other), (next, across)],
        _ => vec![(server, server)],
    }
}

/// What the row is under TLS. Its port is none of the four endpoints; and nobody is sent elsewhere there: RFC
/// 8489 §10 has a client keep its transport, and the port that the operator names is one for UDP and TCP.
fn under_tls(row: Row) -> Row {
    let row = match row.owed {
        Owed::Discovery => Row { owed: Owed::Address, ..row },
        Owed::ClassicDiscovery => Row { owed: Owed::ClassicAddress, ..row },
        _ => row,
    };
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
        let rows = of_streams(setting);
        let tls_rows: Vec<Row> = of_streams(setting).into_iter().map(under_tls).collect();
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
                for (server, other) in endpoints(tcp, setting) {
                    let stream = connect(&lab.client, server);
                    let owed = row.reply(&Asked { source: stream.local_addr().unwrap(), server, other });
                    let reply = over_tcp(stream, &row.request);
                    assert_eq!(reply, owed, "{} over TCP at {server}", row.name());
                }
                let stream = connect(&lab.client, tls);
                let asked = Asked { source: stream.local_addr().unwrap(), server: tls, other: tls };
                let reply = over_tls(stream, &row.request, &trusted);
                assert_eq!(reply, tls_row.reply(&asked), "{} over TLS", row.name());
            }
        }
        let of_tcp = endpoints(SocketAddr::new(link.server_v4.into(), PORT), setting).len();
        let counters = server.stop();
        check_counters(&counters, "tcp", &rows, of_tcp);
        check_counters(&counters, "tls", &tls_rows, 1);
    }
}

/// Each row is counted once for each endpoint that was asked over either version of IP, under its own end.
fn check_counters(counters: &Counters, path: &str, rows: &[Row], endpoints: usize) {
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *expected.entry(row.outcome.name()).or_default() += 2;
    }
    for name in Outcome::ALL.map(Outcome::name) {
        let owed = expected.get(name).copied().unwrap_or_default() * endpoints as u64;
        assert_eq!(counters.get(path, name), owed, "{name} over {path}:\n{}", counters.log);
    }
}
