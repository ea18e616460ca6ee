//! Slow, silent, greedy and many peers do not disturb others.

use super::{
    CloseReason, RefusalReason, StreamConfig, StreamService, ask_over, at, config, connect, connect_to,
    expect_end, read_message, request, start, stats, success, wait_for, wait_until,
};
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use xstun_core::outcome::Outcome;

const SHORT: Duration = Duration::from_millis(300);

/// Whether the server has refused this connection.
fn is_refused(stream: &TcpStream) -> bool {
    let written = (&*stream).write_all(&request(1));
    let read = (&*stream).read_exact(&mut [0; 32]);
    // The first call that fails reports the reset.
    let Some(error) = written.and(read).err() else { return false };
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "refused by a reset, not by {error}"
    );
    true
}

/// Connects with a small receive buffer, which does not grow as the default would: by megabytes for a peer that
/// does not read. Set before connecting, since shrinking an offered window makes the kernel drop segments, also
/// those that open the window of the other direction.
fn connect_with_small_buffer(service: &StreamService) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    rustix::net::connect(&socket, &service.transports()[0].addresses[0]).unwrap();
    socket.into()
}

#[test]
fn silent_peers_delay_no_other() {
    let service = start(&config());
    let silent: Vec<_> = (0..300).map(|_| connect(&service)).collect();
    let dripping: Vec<_> = (0..100)
        .map(|_| {
            let stream = connect(&service);
            (&stream).write_all(&request(1)[..7]).unwrap();
            stream
        })
        .collect();
    let stream = connect(&service);
    for number in 0..20 {
        ask_over(&stream, number);
    }
    // They are still served when they send.
    ask_over(&silent[0], 1);
    (&dripping[0]).write_all(&request(1)[7..]).unwrap();
    assert_eq!(read_message(&mut &dripping[0]), success(1, dripping[0].local_addr().unwrap()));
}

#[test]
fn an_idle_connection_is_closed_and_one_that_drips_too() {
    let service = start(&StreamConfig { idle: SHORT, ..config() });
    let stats = stats(&service);
    let silent = connect(&service);
    let asked = connect(&service);
    ask_over(&asked, 1);
    let dripping = connect(&service);
    std::thread::scope(|scope| {
        // An endless message, one byte at a time, far more often than the idle time.
        scope.spawn(|| {
            let head = [&[0, 1, 7, 0][..], &[0; 2000]].concat();
            head.iter().all(|byte| {
                std::thread::sleep(SHORT / 30);
                (&dripping).write_all(&[*byte]).is_ok()
            });
        });
        expect_end(&silent);
        expect_end(&asked);
        let mut nothing = [0; 1];
        // Closed normally, or by a reset for the bytes that came after.
        assert!(!matches!((&dripping).read(&mut nothing), Ok(1..)));
        wait_for(&stats, CloseReason::Idle, 3);
        dripping.shutdown(std::net::Shutdown::Both).ok();
    });
    assert_eq!(stats.messages.received.get(), 1);
}

#[test]
fn a_peer_that_never_reads_is_closed_and_costs_one_reply() {
    let service = start(&StreamConfig { idle: SHORT, ..config() });
    let stats = stats(&service);
    let greedy = connect_with_small_buffer(&service);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let many: Vec<u8> = request(1).repeat(1000);
            let mut written = 0u64;
            loop {
                match (&greedy).write(&many) {
                    Ok(count) => written += count as u64,
                    Err(error) => break (error.kind(), written),
                }
            }
        });
        let ended = std::panic::catch_unwind(|| wait_for(&stats, CloseReason::Stalled, 1));
        if ended.is_err() {
            // Otherwise the thread above would keep this one from failing.
            let _ = greedy.shutdown(std::net::Shutdown::Both);
        }
        let (error, written) = flood.join().unwrap();
        assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
        assert!(written > 0);
        ended.unwrap();
    });
    assert_eq!(stats.messages.outcome(Outcome::TransmitFull), 1);
    ask_over(&connect(&service), 1);
}

#[test]
fn a_greedy_peer_does_not_starve_the_others() {
    let service = start(&config());
    let greedy = connect(&service);
    let stream = connect(&service);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let many: Vec<u8> = request(1).repeat(1000);
            while (&greedy).write_all(&many).is_ok() {}
        });
        scope.spawn(|| {
            let mut replies = vec![0; 1 << 16];
            while matches!((&greedy).read(&mut replies), Ok(1..)) {}
        });
        for number in 0..100 {
            ask_over(&stream, number);
        }
        greedy.shutdown(std::net::Shutdown::Both).unwrap();
    });
}

#[test]
fn the_total_limit_refuses_and_a_closed_connection_makes_room() {
    let service = start(&StreamConfig { connections: 3, ..config() });
    let stats = stats(&service);
    let mut open: Vec<_> = (0..3).map(|_| connect(&service)).collect();
    open.iter().for_each(|stream| ask_over(stream, 1));
    assert!(is_refused(&connect(&service)));
    assert_eq!((stats.accepted.get(), stats.refused(RefusalReason::Limit)), (3, 1));
    open.pop();
    wait_for(&stats, CloseReason::ByPeer, 1);
    wait_until("there is room again", || !is_refused(&connect(&service)));
}

#[test]
fn the_source_with_the_most_connections_makes_room_for_another() {
    let mut service = start(&StreamConfig { connections: 3, ..config() });
    let (address, stats) = (service.transports()[0].addresses[0], stats(&service));
    let v6 = at(&[address, SocketAddr::new("::1".parse().unwrap(), address.port())]);
    let bound = service.bind(&v6, &config()).unwrap();
    service.add(bound, &StreamConfig { connections: 3, ..config() }).unwrap();
    let open: Vec<_> = (0..3).map(|_| connect(&service)).collect();
    open.iter().for_each(|stream| ask_over(stream, 1));
    ask_over(&open[0], 2);
    let other = connect_to(v6.addresses[1]);
    ask_over(&other, 3);
    assert!(is_refused(&open[1]), "it was silent longest");
    wait_for(&stats, CloseReason::Evicted, 1);
    [&open[0], &open[2], &other].into_iter().for_each(|stream| ask_over(stream, 4));
    assert_eq!((stats.accepted.get(), stats.refused(RefusalReason::Limit)), (4, 0));
}

#[test]
fn each_source_has_its_own_limit() {
    let service = start(&StreamConfig { per_source: 2, ..config() });
    let stats = stats(&service);
    let open: Vec<_> = (0..2).map(|_| connect(&service)).collect();
    open.iter().for_each(|stream| ask_over(stream, 1));
    assert!(is_refused(&connect(&service)));
    assert_eq!((stats.accepted.get(), stats.refused(RefusalReason::SourceLimit)), (2, 1));
}
