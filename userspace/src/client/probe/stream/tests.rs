use super::super::probe;
use crate::cli::{Cli, Command};
use crate::client::ClientExit;
use crate::error::{FailureKind, Result};
use clap::Parser as _;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Accepts one connection on loopback and passes it to `serve`, with the client's address.
fn server(serve: impl FnOnce(TcpStream, SocketAddr) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, source) = listener.accept().unwrap();
        serve(stream, source);
    });
    address
}

/// Reads a request without attributes. Writes `before` and a success response, byte by byte.
fn answer(mut stream: impl Read + Write, source: SocketAddr, before: &[u8]) {
    let mut request = [0; 20];
    stream.read_exact(&mut request).unwrap();
    let SocketAddr::V4(source) = source else { panic!("a client on IPv4") };
    let mut reply = [before, &[1, 1, 0, 12], &request[4..], &[0, 0x20, 0, 8, 0, 1]].concat();
    reply.extend((source.port() ^ 0x2112).to_be_bytes());
    reply.extend((source.ip().to_bits() ^ 0x2112_a442).to_be_bytes());
    reply.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
    stream.flush().unwrap();
    let _ = stream.read(&mut [0; 1]);
}

fn ask(server: impl ToString, flags: &[&str]) -> (Result<ClientExit>, Value) {
    let server = server.to_string();
    let line = [&["xstun", "probe", &server, "--json"], flags].concat();
    let Command::Probe(args) = Cli::try_parse_from(line).unwrap().command else { panic!("a probe") };
    let mut out = Vec::new();
    let exit = probe(&args, &mut out, &mut Vec::new(), false);
    (exit, serde_json::from_slice(&out).unwrap())
}

#[test]
fn a_reply_over_tcp_is_printed_and_other_messages_are_ignored() {
    let indication = [&[0, 0x11, 0, 4][..], &[9; 20]].concat();
    let server = server(move |stream, source| answer(stream, source, &indication));
    let (exit, json) = ask(server, &["--tcp"]);
    assert_eq!(exit.unwrap(), ClientExit::Answered, "{json}");
    assert_eq!((&json["transport"], &json["ignored"]), (&"tcp".into(), &1.into()));
    assert_eq!(json["mapped"], json["local"]);
    assert_eq!(json["server"], server.to_string());
}

#[test]
fn a_closed_connection_is_a_refusal_and_silence_is_no_answer() {
    let closing = server(|mut stream, _| stream.read_exact(&mut [0; 20]).unwrap());
    let (exit, json) = ask(closing, &["--tcp"]);
    assert_eq!(exit.unwrap(), ClientExit::Refused);
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("closed the connection without a reply"), "{message}");

    let silent = server(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let (exit, json) = ask(silent, &["--tcp", "--timeout", "0.2"]);
    assert_eq!(exit.unwrap(), ClientExit::NoAnswer, "{json}");
}

#[test]
fn a_closed_port_is_a_refusal() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (exit, json) = ask(closed, &["--tcp"]);
    assert_eq!((exit.unwrap(), &json["error"]["kind"]), (ClientExit::Refused, &"unreachable".into()));
    assert_eq!(json["local"], Value::Null);
}

/// Returns a server over TLS whose certificate names 127.0.0.1, and the file with the certificate.
fn tls_server(directory: &tempfile::TempDir) -> (SocketAddr, PathBuf) {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, pair.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"stun.nat-discovery".to_vec()];
    let address = server(move |tcp, source| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        while stream.conn.is_handshaking() {
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return;
            }
        }
        answer(stream, source, &[]);
    });
    (address, file)
}

#[test]
fn a_reply_over_tls_requires_a_trusted_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (server, ca) = tls_server(&directory);
    let (exit, json) = ask(server, &["--tls", "--ca", ca.to_str().unwrap()]);
    assert_eq!((exit.unwrap(), &json["transport"]), (ClientExit::Answered, &"tls".into()), "{json}");
    let (server, _) = tls_server(&directory);
    assert_eq!(ask(server, &["--tls", "--insecure"]).0.unwrap(), ClientExit::Answered);

    let (server, _) = tls_server(&directory);
    let other = tempfile::tempdir().unwrap();
    let (_, other) = tls_server(&other);
    let (exit, json) = ask(server, &["--tls", "--ca", other.to_str().unwrap()]);
    assert_eq!(exit.unwrap_err().kind(), FailureKind::System);
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("cannot complete the TLS handshake with 127.0.0.1:"), "{message}");
    assert!(message.contains("--insecure"), "{message}");
}

#[test]
fn a_file_without_certificates_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("words");
    std::fs::write(&file, "words").unwrap();
    for file in [file.to_str().unwrap(), "/nosuch"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (exit, _) = ask(listener.local_addr().unwrap(), &["--tls", "--ca", file]);
        let failure = exit.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Usage);
        let expected = format!("--ca {file} has no valid certificate");
        assert!(failure.to_string().starts_with(&expected), "{failure}");
    }
}
