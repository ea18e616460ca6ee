//! Addresses that change while the threads run, with std's sockets as clients.

use super::SocketService;
use crate::config::Listen;
use crate::datapath::{Inheritance, cores};
use arc_swap::ArcSwap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use xstun_core::outcome::Outcome;
use xstun_core::stun::Policy;
use xstun_testkit::wait::{LIMIT, uninterrupted, wait_until};

fn at(addresses: &[SocketAddr]) -> Listen {
    Listen { addresses: addresses.to_vec(), flag: "--listen", by_default: false, alternate: Vec::new() }
}

fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn client(server: SocketAddr) -> UdpSocket {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn request(number: u32) -> [u8; 20] {
    let mut request = [0; 20];
    request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    request[16..].copy_from_slice(&number.to_be_bytes());
    request
}

/// Length of the next reply.
fn receive(client: &UdpSocket) -> std::io::Result<usize> {
    uninterrupted(|| client.recv(&mut [0; 100]))
}

fn ask(server: SocketAddr) {
    let socket = client(server);
    socket.send(&request(1)).unwrap();
    assert_eq!(receive(&socket).unwrap(), 32, "{server}");
}

fn is_refused(server: SocketAddr) -> bool {
    let socket = client(server);
    // A request that comes between the last receive and the close gets neither a reply nor an error.
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket.send(&request(1)).unwrap();
    receive(&socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn addresses_come_and_go_and_what_was_sent_before_is_answered() {
    let port = free_port();
    let [first, second, wildcard] =
        ["127.0.0.1", "127.0.0.2", "0.0.0.0"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    let cores = cores::available().unwrap();
    let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
    let mut service =
        SocketService::start(&at(&[first]), &cores, policy, &mut Inheritance::default()).unwrap();
    ask(first);

    let bound = service.bind(&at(&[first, second])).unwrap();
    service.add(bound);
    ask(second);
    ask(first);

    let clients: Vec<_> = (0..50).map(|_| client(first)).collect();
    for client in &clients {
        client.send(&request(2)).unwrap();
    }
    // A busy kernel may deliver even over loopback after `send` has returned.
    std::thread::sleep(Duration::from_millis(500));
    service.retain(&at(&[second]));
    for client in &clients {
        assert_eq!(receive(client).unwrap(), 32);
    }
    wait_until(&format!("{first} is not served any more"), || is_refused(first));
    ask(second);

    // A wildcard beside the address that it covers, and then in place of it.
    let bound = service.bind(&at(&[wildcard])).unwrap();
    service.add(bound);
    service.retain(&at(&[wildcard]));
    ask(first);
    ask(second);
    assert_eq!(service.addresses(), [wildcard]);
    // A reply is counted after it was sent, so it may arrive before.
    let answered = || service.workers().map(|(_, stats)| stats.outcome(Outcome::Answered)).sum::<u64>();
    wait_until("all replies are counted", || answered() >= 56);
}

/// How long the kernel may take to deliver a datagram to the socket that it has chosen, on a busy machine.
const DELIVERY: Duration = Duration::from_millis(50);

/// At whatever moment a socket closes. Requests come without a pause from many ports, so that the kernel spreads
/// them over all sockets.
#[test]
fn a_wildcard_and_an_address_replace_each_other_and_nothing_is_lost() {
    for pair in [["127.0.0.1", "0.0.0.0"], ["::1", "::"]] {
        let port = free_port();
        let [first, wildcard] = pair.map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        replace_each_other(first, wildcard);
    }
}

fn replace_each_other(first: SocketAddr, wildcard: SocketAddr) {
    let cores = cores::available().unwrap();
    let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
    let mut service =
        SocketService::start(&at(&[first]), &cores, policy, &mut Inheritance::default()).unwrap();
    let answered = AtomicUsize::new(0);
    // Dropped even if something fails, which ends the thread.
    let changing = Arc::new(());
    let changed = Arc::downgrade(&changing);
    std::thread::scope(|scope| {
        let changing = changing;
        scope.spawn(|| {
            let clients: Vec<_> = (0..16).map(|_| client(first)).collect();
            while changed.strong_count() > 0 {
                clients.iter().for_each(|client| assert_eq!(client.send(&request(1)).unwrap(), 20));
                clients.iter().for_each(|client| assert!(receive(client).unwrap() >= 32));
                answered.fetch_add(clients.len(), Ordering::Relaxed);
            }
        });
        for address in [wildcard, first].repeat(20) {
            let before = answered.load(Ordering::Relaxed);
            wait_until("requests are answered", || answered.load(Ordering::Relaxed) >= before + 50);
            let listen = at(&[address]);
            let bound = service.bind(&listen).unwrap();
            service.add(bound);
            assert!(service.quiesce(&listen));
            std::thread::sleep(DELIVERY);
            service.retain(&listen);
        }
        drop(changing);
    });
}

#[test]
fn an_address_that_cannot_be_bound_changes_nothing() {
    let other = UdpSocket::bind("127.0.0.3:0").unwrap();
    let taken = other.local_addr().unwrap();
    let first = SocketAddr::new("127.0.0.1".parse().unwrap(), free_port());
    let cores = cores::available().unwrap();
    let service = SocketService::start(
        &at(&[first]),
        &cores,
        Arc::new(ArcSwap::from_pointee(Policy::default())),
        &mut Inheritance::default(),
    )
    .unwrap();
    let second = SocketAddr::new("127.0.0.2".parse().unwrap(), first.port());
    let failure = service.bind(&at(&[second, taken])).unwrap_err().to_string();
    assert!(
        failure.starts_with(&format!("cannot bind UDP {taken} (--listen): Address already in use")),
        "{failure}"
    );
    assert!(is_refused(second));
    ask(first);
}

/// The kernel spreads requests over all sockets, so a socket without a reader would show.
#[test]
fn another_service_goes_on_with_the_same_sockets() {
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), free_port());
    let core = cores::available().unwrap()[0];
    let policy = || Arc::new(ArcSwap::from_pointee(Policy::default()));
    let start = |cores: &[usize], inheritance: &mut Inheritance| {
        SocketService::start(&at(&[address]), cores, policy(), inheritance).unwrap()
    };
    let mut service = start(&[core; 4], &mut Inheritance::default());
    for workers in [1, 3, 8] {
        let mut inheritance = Inheritance { udp: service.duplicate().unwrap(), ..Inheritance::default() };
        let next = start(&vec![core; workers], &mut inheritance);
        assert!(inheritance.udp.is_empty(), "all sockets are taken over");
        service.stop();
        service = next;
        (0..64).for_each(|_| ask(address));
    }
    service.stop();
    UdpSocket::bind(address).expect("a stopped service has no socket any more");
}
