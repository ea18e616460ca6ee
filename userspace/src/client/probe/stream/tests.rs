use super::super::probe;
use crate::cli::{Cli, Command};
use crate::client::Ending;
use crate::error::{Kind, Result};
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

/// Takes one connection on loopback and hands it to `serve`, with the client's address.
fn server(serve: impl FnOnce(TcpStream, SocketAddr) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, source) = listener.accept().unwrap();
        serve(stream, source);
    });
    address
}

/// Reads a bare request and writes a success response, byte by byte, behind `before`.
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

fn ask(server: impl ToString, flags: &[&str]) -> (Result<Ending>, Value) {
    let server = server.to_string();
    let line = [&["xstun", "probe", &server, "--json"], flags].concat();
    let Command::Probe(args) = Cli::try_parse_from(line).unwrap().command else { panic!("a probe") };
    let mut out = Vec::new();
    let ending = probe(&args, &mut out, &mut Vec::new(), false);
    (ending, serde_json::from_slice(&out).unwrap())
}

#[test]
fn an_answer_over_tcp_is_told_and_other_messages_are_ignored() {
    let indication = [&[0, 0x11, 0, 4][..], &[9; 20]].concat();
    let server = server(move |stream, source| answer(stream, source, &indication));
    let (ending, told) = ask(server, &["--tcp"]);
    assert_eq!(ending.unwrap(), Ending::Answered, "{told}");
    assert_eq!((&told["transport"], &told["ignored"]), (&"tcp".into(), &1.into()));
    assert_eq!(told["mapped"], told["local"]);
    assert_eq!(told["server"], server.to_string());
}

#[test]
fn a_server_that_hangs_up_refuses_and_a_mute_one_does_not_answer() {
    let hangs_up = server(|mut stream, _| stream.read_exact(&mut [0; 20]).unwrap());
    let (ending, told) = ask(hangs_up, &["--tcp"]);
    assert_eq!(ending.unwrap(), Ending::Refused);
    let message = told["error"]["message"].as_str().unwrap();
    assert!(message.contains("closed the connection without a reply"), "{message}");

    let mute = server(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let (ending, told) = ask(mute, &["--tcp", "--timeout", "0.2"]);
    assert_eq!(ending.unwrap(), Ending::NoAnswer, "{told}");
}

#[test]
fn a_closed_port_refuses() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ending, told) = ask(closed, &["--tcp"]);
    assert_eq!((ending.unwrap(), &told["error"]["kind"]), (Ending::Refused, &"unreachable".into()));
    assert_eq!(told["local"], Value::Null);
}

/// A server over TLS as 127.0.0.1, and the file with its certificate.
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
fn an_answer_over_tls_is_told_to_who_trusts_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (server, ca) = tls_server(&directory);
    let (ending, told) = ask(server, &["--tls", "--ca", ca.to_str().unwrap()]);
    assert_eq!((ending.unwrap(), &told["transport"]), (Ending::Answered, &"tls".into()), "{told}");
    let (server, _) = tls_server(&directory);
    assert_eq!(ask(server, &["--tls", "--insecure"]).0.unwrap(), Ending::Answered);

    let (server, _) = tls_server(&directory);
    let other = tempfile::tempdir().unwrap();
    let (_, other) = tls_server(&other);
    let (ending, told) = ask(server, &["--tls", "--ca", other.to_str().unwrap()]);
    assert_eq!(ending.unwrap_err().kind(), Kind::System);
    let message = told["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("cannot agree on TLS with 127.0.0.1:"), "{message}");
    assert!(message.contains("--insecure"), "{message}");
}

#[test]
fn a_file_without_certificates_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("words");
    std::fs::write(&file, "words").unwrap();
    for file in [file.to_str().unwrap(), "/nosuch"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ending, _) = ask(listener.local_addr().unwrap(), &["--tls", "--ca", file]);
        let failure = ending.unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage);
        let expected = format!("--ca {file} holds no good certificate");
        assert!(failure.to_string().starts_with(&expected), "{failure}");
    }
}
