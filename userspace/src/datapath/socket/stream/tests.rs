//! The service on loopback, with std's sockets as clients.

mod limits;
mod messages;
mod tls;

use super::{CloseReason, RefusalReason, StreamService, StreamStats};
use crate::config::{Listen, StreamConfig, TlsConfig};
use crate::datapath::Inheritance;
use arc_swap::ArcSwap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use xstun_core::stun::Policy;
use xstun_testkit::wait::{LIMIT, wait_until};

/// An idle time that no test outlives.
const LONG: Duration = Duration::from_secs(3600);
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn config() -> StreamConfig {
    StreamConfig { tcp: true, tls: None, connections: 2000, per_source: 2000, idle: LONG }
}

fn on(ip: &str) -> Listen {
    Listen {
        addresses: vec![SocketAddr::new(ip.parse().unwrap(), 0)],
        flag: "--listen",
        by_default: false,
        alternate: Vec::new(),
    }
}

fn at(addresses: &[SocketAddr]) -> Listen {
    Listen { addresses: addresses.to_vec(), ..on("127.0.0.1") }
}

fn start(config: &StreamConfig) -> StreamService {
    start_on("127.0.0.1", config)
}

fn start_on(ip: &str, config: &StreamConfig) -> StreamService {
    StreamService::start(
        &on(ip),
        config,
        &Arc::new(ArcSwap::from_pointee(Policy::default())),
        &mut Inheritance::default(),
    )
    .unwrap()
}

fn transport<'a>(service: &'a StreamService, name: &str) -> &'a super::StreamTransport {
    service.transports().iter().find(|transport| transport.name == name).unwrap()
}

fn stats(service: &StreamService) -> Arc<StreamStats> {
    Arc::clone(&service.transports()[0].stats)
}

fn connect(service: &StreamService) -> TcpStream {
    connect_to(service.transports()[0].addresses[0])
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A message of this type whose transaction ID ends in `number`.
fn message(kind: u16, number: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap();
    let mut message = [&kind.to_be_bytes()[..], &length.to_be_bytes(), &COOKIE, &[7; 11], &[number]].concat();
    message.extend(attributes);
    message
}

fn request(number: u8) -> Vec<u8> {
    message(1, number, &[])
}

/// Reads one complete message.
fn read_message(stream: &mut impl Read) -> Vec<u8> {
    let mut message = vec![0; 20];
    stream.read_exact(&mut message).unwrap();
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(20 + length, 0);
    stream.read_exact(&mut message[20..]).unwrap();
    message
}

/// The expected success response with the ID of `number` for a client at `source`.
fn success(number: u8, source: SocketAddr) -> Vec<u8> {
    let mask = [&COOKIE[..], &[7; 11], &[number]].concat();
    let (family, ip) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let port = source.port().to_be_bytes();
    let mut value = vec![0, family, port[0] ^ mask[0], port[1] ^ mask[1]];
    value.extend(ip.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    let length = u8::try_from(value.len()).unwrap();
    message(0x0101, number, &[&[0, 0x20, 0, length], &value[..]].concat())
}

/// Sends a request over any stream, and checks the whole reply.
fn ask(stream: &mut (impl Read + Write), number: u8, local: SocketAddr) {
    stream.write_all(&request(number)).unwrap();
    assert_eq!(read_message(stream), success(number, local));
}

fn ask_over(stream: &TcpStream, number: u8) {
    ask(&mut &*stream, number, stream.local_addr().unwrap());
}

/// Waits for the end of the stream, which must come without another byte.
fn expect_end(stream: &TcpStream) {
    let mut rest = Vec::new();
    (&*stream).read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

fn wait_for(stats: &StreamStats, reason: CloseReason, count: u64) {
    wait_until(&format!("{count} connections close as {reason:?}"), || stats.closed(reason) == count);
}

#[test]
fn a_stop_answers_what_was_received_and_leaves_the_port_free() {
    let service = start(&config());
    let (address, stats) = (service.transports()[0].addresses[0], stats(&service));
    let idle = connect(&service);
    ask_over(&idle, 1);
    let asking = connect(&service);
    ask_over(&asking, 1);
    (&asking).write_all(&[request(2), request(3)].concat()).unwrap();
    drop(service);
    let local = asking.local_addr().unwrap();
    assert_eq!(read_message(&mut &asking), success(2, local));
    assert_eq!(read_message(&mut &asking), success(3, local));
    expect_end(&asking);
    expect_end(&idle);
    assert_eq!(stats.closed(CloseReason::Stopped), 2);
    std::net::TcpListener::bind(address).unwrap();
}

#[test]
fn a_stop_does_not_wait_for_a_peer_that_never_ends() {
    let service = start(&config());
    let stats = stats(&service);
    let stream = connect(&service);
    ask_over(&stream, 1);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            // Until the server has closed the connection.
            while (&stream).write_all(&request(1)).is_ok() {
                let mut reply = [0; 32];
                if (&stream).read_exact(&mut reply).is_err() {
                    break;
                }
            }
        });
        drop(service);
        flood.join().unwrap();
    });
    assert_eq!(stats.closed(CloseReason::Stopped) + stats.closed(CloseReason::ByPeer), 1);
}

#[test]
fn every_connection_ends_once_and_every_message_has_one_outcome() {
    let service = start(&config());
    let stats = stats(&service);
    for number in 0..40 {
        let stream = connect(&service);
        match number % 4 {
            0 => ask_over(&stream, number),
            1 => (&stream).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap(),
            2 => (&stream).write_all(&message(0x0011, number, &[])).unwrap(),
            _ => {}
        }
    }
    drop(service);
    let closed: u64 = CloseReason::ALL.into_iter().map(|reason| stats.closed(reason)).sum();
    assert_eq!(stats.accepted.get(), closed);
    let outcomes: u64 = stats.messages.outcomes().map(|(_, count)| count).sum();
    assert_eq!(stats.messages.received.get(), outcomes);
    assert!(outcomes >= 10, "{outcomes}");
}

#[test]
fn no_port_is_open_if_both_transports_are_off() {
    let mut service = start(&StreamConfig { tcp: false, ..config() });
    assert!(service.transports().is_empty());
    assert!(service.failure().is_none());
}

#[test]
fn listeners_come_and_go_and_connections_stay() {
    let mut service = start(&config());
    let first = service.transports()[0].addresses[0];
    let second = SocketAddr::new("127.0.0.2".parse().unwrap(), first.port());
    let old = connect_to(first);
    ask_over(&old, 1);

    let both = at(&[first, second]);
    let bound = service.bind(&both, &config()).unwrap();
    service.add(bound, &config()).unwrap();
    ask_over(&connect_to(second), 2);
    ask_over(&connect_to(first), 3);
    assert_eq!(service.transports()[0].addresses, [first, second]);

    // Connected and not accepted yet: still served.
    let waiting: Vec<_> = (0..20).map(|_| connect_to(first)).collect();
    service.retain(&at(&[second]), &config());
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(first).is_ok() {
        assert!(Instant::now() < deadline, "{first} still accepts connections");
    }
    ask_over(&old, 4);
    waiting.iter().for_each(|stream| ask_over(stream, 5));
    ask_over(&connect_to(second), 6);

    // A wildcard beside the address that it covers, and then in place of it.
    let wildcard = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), first.port());
    let bound = service.bind(&at(&[wildcard]), &config()).unwrap();
    service.add(bound, &config()).unwrap();
    service.retain(&at(&[wildcard]), &config());
    ask_over(&connect_to(first), 7);
    ask_over(&connect_to(second), 8);
    ask_over(&old, 9);
}

/// How long a handshake over loopback may take on a busy machine.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// At whatever moment a listener closes, the other one accepts the connection.
#[test]
fn a_wildcard_and_an_address_replace_each_other_and_no_client_is_refused() {
    let mut service = start(&config());
    let first = service.transports()[0].addresses[0];
    let wildcard = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), first.port());
    let answered = AtomicUsize::new(0);
    // Dropped even if something fails, which ends the threads.
    let changing = Arc::new(());
    let changed = Arc::downgrade(&changing);
    std::thread::scope(|scope| {
        let changing = changing;
        for _ in 0..4 {
            scope.spawn(|| {
                while changed.strong_count() > 0 {
                    ask_over(&connect_to(first), 1);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for address in [wildcard, first, wildcard, first] {
            let before = answered.load(Ordering::Relaxed);
            wait_until("requests are answered", || answered.load(Ordering::Relaxed) > before + 100);
            let listen = at(&[address]);
            let bound = service.bind(&listen, &config()).unwrap();
            service.add(bound, &config()).unwrap();
            assert!(service.quiesce(&listen, &config()));
            std::thread::sleep(HANDSHAKE);
            service.retain(&listen, &config());
        }
        drop(changing);
    });
}

#[test]
fn a_port_in_use_is_refused_with_the_name_of_who_has_it() {
    let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = other.local_addr().unwrap();
    let listen =
        Listen { addresses: vec![taken], flag: "--listen", by_default: false, alternate: Vec::new() };
    let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
    let failure = StreamService::start(&listen, &config(), &policy, &mut Inheritance::default())
        .err()
        .unwrap()
        .to_string();
    let start = format!("cannot bind TCP {taken} (--listen): Address already in use (os error 98); ");
    assert!(failure.starts_with(&start), "{failure}");
    let process = format!("process {}, has it", std::process::id());
    assert!(failure.contains(&process) && failure.ends_with("--no-tcp"), "{failure}");
}
