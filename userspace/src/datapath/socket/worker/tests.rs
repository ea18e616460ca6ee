use super::super::tests::bind_one;
use super::super::{PAYLOAD, SIZE};
use super::{WorkerSockets, destination_address};
use crate::datapath::socket::BoundSocket;
use crate::datapath::socket::batch::ReceivedDatagram;
use crate::stats::WorkerStats;
use crate::stop::Stop;
use arc_swap::ArcSwap;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Discovery, Extras, Policy};
use xstun_testkit::wait::{LIMIT, uninterrupted};

/// A worker over sockets that do not change.
fn run(
    sockets: Vec<BoundSocket>,
    policy: &ArcSwap<Policy>,
    stats: &WorkerStats,
    stop: &Stop,
) -> std::io::Result<()> {
    let sockets = WorkerSockets::new(sockets.into_iter().map(Arc::new).collect())?;
    super::run(&sockets, policy, stats, stop)
}

/// Real workers, each in its thread, stopped when dropped.
struct Responder {
    stop: Arc<Stop>,
    workers: Vec<(JoinHandle<std::io::Result<()>>, Arc<WorkerStats>)>,
    policy: Arc<ArcSwap<Policy>>,
}

impl Responder {
    /// One worker for each of `sockets`.
    fn start(sockets: Vec<BoundSocket>) -> Self {
        let stop = Arc::new(Stop::new().unwrap());
        let policy = Arc::new(ArcSwap::from_pointee(Policy::default()));
        let start = |socket| {
            let stats = Arc::new(WorkerStats::default());
            let (stop, stats_of_worker, policy) = (stop.clone(), stats.clone(), policy.clone());
            let worker = thread::spawn(move || run(vec![socket], &policy, &stats_of_worker, &stop));
            (worker, stats)
        };
        let workers = sockets.into_iter().map(start).collect();
        Responder { stop, workers, policy }
    }

    /// Stops the workers, which have then received everything sent before, and returns their counters.
    fn stop(mut self) -> Vec<Arc<WorkerStats>> {
        self.stop.order();
        let ended = |(worker, stats): (JoinHandle<std::io::Result<()>>, _)| {
            worker.join().unwrap().unwrap();
            stats
        };
        self.workers.drain(..).map(ended).collect()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.order();
        self.workers.drain(..).for_each(|(worker, _)| drop(worker.join()));
    }
}

fn listen(address: &str) -> (Vec<BoundSocket>, u16) {
    let sockets = bind_one(address.parse().unwrap(), 1).unwrap();
    let port = sockets[0].local().port();
    (sockets, port)
}

fn client(local: &str, server: impl std::net::ToSocketAddrs) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.connect(server).unwrap();
    // Only a failing test waits this long.
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// A Binding request without attributes, whose transaction ID contains `number`.
fn request(number: u32) -> [u8; 20] {
    let mut request = [0; 20];
    request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    request[16..].copy_from_slice(&number.to_be_bytes());
    request
}

/// Asserts that a success response came; returns its number and length.
fn reply_to(socket: &UdpSocket) -> (u32, usize) {
    let mut reply = [0; 2048];
    let length = uninterrupted(|| socket.recv(&mut reply)).unwrap();
    assert_eq!(reply[..2], [1, 1]);
    (u32::from_be_bytes(reply[16..20].try_into().unwrap()), length)
}

fn total(stats: &WorkerStats) -> u64 {
    stats.outcomes().map(|(_, count)| count).sum()
}

#[test]
fn a_wildcard_socket_answers_from_the_address_that_received_the_request() {
    let (sockets, port) = listen("0.0.0.0:0");
    let responder = Responder::start(sockets);
    for destination in ["127.0.0.1", "127.0.0.2", "127.8.7.6"] {
        // A connected socket receives only from that address.
        let client = client("127.0.0.1:0", (destination, port));
        client.send(&request(5)).unwrap();
        assert_eq!(reply_to(&client), (5, 32));
    }
    let stats = responder.stop();
    assert_eq!((stats[0].received.get(), stats[0].outcome(Outcome::Answered)), (3, 3));
}

#[test]
fn both_versions_of_ip_are_served_side_by_side_on_one_port() {
    let (mut sockets, port) = listen("0.0.0.0:0");
    sockets.extend(bind_one(format!("[::]:{port}").parse().unwrap(), 1).unwrap());
    let responder = Responder::start(sockets);
    let over_v4 = client("127.0.0.1:0", ("127.0.0.1", port));
    let over_v6 = client("[::1]:0", ("::1", port));
    over_v4.send(&request(4)).unwrap();
    over_v6.send(&request(6)).unwrap();
    assert_eq!(reply_to(&over_v4), (4, 32));
    assert_eq!(reply_to(&over_v6), (6, 44));
    for stats in responder.stop() {
        assert_eq!(stats.outcome(Outcome::Answered), 1);
    }
}

#[test]
fn each_request_of_a_burst_is_answered_once() {
    const REQUESTS: u32 = 100;
    let (sockets, port) = listen("127.0.0.1:0");
    let client = client("127.0.0.1:0", ("127.0.0.1", port));
    // All are sent before the worker starts, so that the first batch is full.
    (0..REQUESTS).for_each(|number| assert_eq!(client.send(&request(number)).unwrap(), 20));
    let responder = Responder::start(sockets);
    let answered: HashSet<u32> = (0..REQUESTS).map(|_| reply_to(&client).0).collect();
    assert_eq!(answered.len(), REQUESTS as usize);
    let stats = responder.stop();
    assert_eq!(stats[0].outcome(Outcome::Answered), u64::from(REQUESTS));
    assert_eq!(total(&stats[0]), u64::from(REQUESTS));
    assert_eq!(stats[0].batches.get(), u64::from(REQUESTS).div_ceil(SIZE as u64));
}

#[test]
fn workers_share_one_port() {
    let sockets = bind_one("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    assert_eq!(sockets[0].local(), sockets[1].local());
    let server = sockets[0].local();
    let responder = Responder::start(sockets);
    for number in 0..64 {
        let client = client("127.0.0.1:0", server);
        client.send(&request(number)).unwrap();
        assert_eq!(reply_to(&client).0, number);
    }
    let answered: Vec<_> = responder.stop().iter().map(|stats| stats.outcome(Outcome::Answered)).collect();
    assert_eq!(answered.iter().sum::<u64>(), 64);
    assert!(answered.iter().all(|&count| count > 0), "{answered:?}");
}

#[test]
fn garbage_gets_no_reply_and_is_counted() {
    let (sockets, port) = listen("127.0.0.1:0");
    let responder = Responder::start(sockets);
    let client = client("127.0.0.1:0", ("127.0.0.1", port));
    let lengths = (0..64).chain([PAYLOAD - 1, PAYLOAD, PAYLOAD + 1, 9_000, 60_000]);
    let mut garbage = 0;
    for length in lengths {
        client.send(&vec![0xa5; length]).unwrap();
        garbage += 1;
    }
    client.send(&request(1)).unwrap();
    assert_eq!(reply_to(&client), (1, 32));
    let stats = responder.stop();
    assert_eq!(stats[0].received.get(), garbage + 1);
    assert_eq!(total(&stats[0]), garbage + 1);
    assert_eq!(stats[0].outcome(Outcome::Answered), 1);
    assert_eq!(stats[0].outcome(Outcome::BadLength), 3);
    assert_eq!(stats[0].outcome(Outcome::NotStun), garbage - 3);
}

#[test]
fn a_request_to_a_broadcast_address_is_not_answered() {
    for bound in ["0.0.0.0:0", "127.255.255.255:0"] {
        let (sockets, port) = listen(bound);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_broadcast(true).unwrap();
        client.send_to(&request(1), ("127.255.255.255", port)).unwrap();
        let stats = Responder::start(sockets).stop();
        assert_eq!((total(&stats[0]), stats[0].outcome(Outcome::NotServed)), (1, 1), "{bound}");
    }
}

#[test]
fn a_client_that_has_closed_its_socket_does_not_end_the_worker() {
    let (sockets, port) = listen("127.0.0.1:0");
    for number in 0..10 {
        // The reply to it will cause an ICMP error on the server's socket.
        client("127.0.0.1:0", ("127.0.0.1", port)).send(&request(number)).unwrap();
    }
    let responder = Responder::start(sockets);
    let client = client("127.0.0.1:0", ("127.0.0.1", port));
    client.send(&request(77)).unwrap();
    assert_eq!(reply_to(&client).0, 77);
    let stats = responder.stop();
    assert_eq!((stats[0].received.get(), total(&stats[0])), (11, 11));
}

#[test]
fn what_came_before_the_order_to_stop_is_still_answered() {
    let (sockets, port) = listen("[::1]:0");
    let client = client("[::1]:0", ("::1", port));
    client.send(&request(3)).unwrap();
    let stop = Stop::new().unwrap();
    stop.order();
    let stats = WorkerStats::default();
    run(sockets, &ArcSwap::from_pointee(Policy::default()), &stats, &stop).unwrap();
    assert_eq!(reply_to(&client), (3, 44));
    assert_eq!(stats.outcome(Outcome::Answered), 1);
}

#[test]
fn a_sleeping_worker_wakes_to_the_order_to_stop() {
    let (sockets, port) = listen("127.0.0.1:0");
    let responder = Responder::start(sockets);
    // The worker has run its loop once, and sleeps now or will do so without finding more.
    let client = client("127.0.0.1:0", ("127.0.0.1", port));
    client.send(&request(0)).unwrap();
    reply_to(&client);
    assert_eq!(responder.stop()[0].received.get(), 1);
}

#[test]
fn a_new_policy_holds_without_a_restart() {
    let (sockets, port) = listen("127.0.0.1:0");
    let responder = Responder::start(sockets);
    let client = client("127.0.0.1:0", ("127.0.0.1", port));
    let mut classic = request(1);
    classic[4..8].fill(0);
    client.send(&classic).unwrap();
    reply_to(&client);
    responder.policy.store(Arc::new(Policy { classic: false, ..Policy::default() }));
    client.send(&classic).unwrap();
    let stats = responder.stop();
    assert_eq!(stats[0].outcome(Outcome::AnsweredClassic), 1);
    assert_eq!(stats[0].outcome(Outcome::NoCookie), 1);
}

/// Ends a worker even if its test fails.
struct OrderOnDrop<'a>(&'a Stop);

impl Drop for OrderOnDrop<'_> {
    fn drop(&mut self) {
        self.0.order();
    }
}

/// How one worker's sockets cover four endpoints.
#[derive(Clone, Copy, Debug)]
enum Cover {
    Exactly,
    Wildcards,
    /// The first port exactly, the second by a wildcard.
    Both,
}

/// 127.0.0.1 and 127.0.0.2 with two ports each.
fn four_endpoints(cover: Cover) -> (Vec<BoundSocket>, Discovery) {
    let bind = |ip: &str, port| bind_one(SocketAddr::new(ip.parse().unwrap(), port), 1);
    let (any, one, two) = ("0.0.0.0", "127.0.0.1", "127.0.0.2");
    let (first, second) = match cover {
        Cover::Exactly => (one, two),
        Cover::Wildcards => (any, any),
        Cover::Both => (one, any),
    };
    for _ in 0..100 {
        let mut sockets = bind(first, 0).unwrap();
        sockets.extend(bind(second, 0).unwrap());
        let ports = [sockets[0].local().port(), sockets[1].local().port()];
        let primary = SocketAddr::from(([127, 0, 0, 1], ports[0]));
        let Some(discovery) = Discovery::new(primary, ([127, 0, 0, 2], ports[1]).into()) else { continue };
        let rest = match cover {
            Cover::Exactly => vec![bind(one, ports[1]), bind(two, ports[0])],
            Cover::Wildcards => vec![],
            Cover::Both => vec![bind(two, ports[0])],
        };
        // Another process may have either port on the other address.
        let Ok(rest) = rest.into_iter().collect::<Result<Vec<_>, _>>() else { continue };
        sockets.extend(rest.into_iter().flatten());
        return (sockets, discovery);
    }
    panic!("no two ports are free on both addresses");
}

/// RFC 5780 §6.1, table 1: with the right socket of the worker.
#[test]
fn a_reply_leaves_from_the_requested_endpoint_and_goes_to_the_requested_port() {
    for cover in [Cover::Exactly, Cover::Wildcards, Cover::Both] {
        let (sockets, discovery) = four_endpoints(cover);
        let [primary, alternate, ..] = discovery.endpoints();

        let extras = Extras { discovery_v4: Some(discovery), ..Extras::default() };
        let policy = ArcSwap::from_pointee(Policy { extras: Some(extras), ..Policy::default() });
        let (stop, stats) = (Stop::new().unwrap(), WorkerStats::default());
        thread::scope(|scope| {
            scope.spawn(|| run(sockets, &policy, &stats, &stop).unwrap());
            let _ordered = OrderOnDrop(&stop);
            let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
            let hearer = UdpSocket::bind("127.0.0.1:0").unwrap();
            for socket in [&asker, &hearer] {
                socket.set_read_timeout(Some(LIMIT)).unwrap();
            }
            let port = hearer.local_addr().unwrap().port().to_be_bytes();
            for flags in [0u8, 2, 4, 6] {
                for diverted in [false, true] {
                    let mut message = request(u32::from(flags)).to_vec();
                    message.extend([0, 3, 0, 4, 0, 0, 0, flags]);
                    if diverted {
                        message.extend([0, 0x27, 0, 2, port[0], port[1], 0, 0]);
                    }
                    message[3] = message.len() as u8 - 20;
                    asker.send_to(&message, primary).unwrap();
                    let receiver = if diverted { &hearer } else { &asker };
                    let mut reply = [0; 256];
                    let (length, from) = uninterrupted(|| receiver.recv_from(&mut reply)).unwrap();
                    assert_eq!((length, &reply[..2], reply[19]), (68, &[1, 1][..], flags));
                    let ip = if flags & 4 == 0 { primary.ip() } else { alternate.ip() };
                    let port = if flags & 2 == 0 { primary.port() } else { alternate.port() };
                    assert_eq!(from, SocketAddr::new(ip, port), "{cover:?}, flags {flags}");
                }
            }
        });
        assert_eq!(stats.outcome(Outcome::Answered), 8);
    }
}

#[test]
fn a_reply_that_no_socket_can_send_is_counted_as_failed() {
    let (mut sockets, discovery) = four_endpoints(Cover::Exactly);
    let primary = discovery.endpoints()[0];
    sockets.truncate(1);
    let extras = Extras { discovery_v4: Some(discovery), ..Extras::default() };
    let policy = ArcSwap::from_pointee(Policy { extras: Some(extras), ..Policy::default() });
    let (stop, stats) = (Stop::new().unwrap(), WorkerStats::default());
    let client = client("127.0.0.1:0", primary);
    let mut message = request(1).to_vec();
    message.extend([0, 3, 0, 4, 0, 0, 0, 6]);
    message[3] = 8;
    client.send(&message).unwrap();
    client.send(&request(2)).unwrap();
    stop.order();
    run(sockets, &policy, &stats, &stop).unwrap();
    assert_eq!((stats.outcome(Outcome::TransmitFailed), stats.outcome(Outcome::Answered)), (1, 1));
}

#[test]
fn a_file_that_is_no_socket_ends_the_worker_with_an_error() {
    let stop = Stop::new().unwrap();
    let file = BoundSocket {
        socket: std::fs::File::open("/dev/null").unwrap().into(),
        local: "127.0.0.1:9".parse().unwrap(),
        pktinfo: true,
    };
    let policy = ArcSwap::from_pointee(Policy::default());
    let error = run(vec![file], &policy, &WorkerStats::default(), &stop).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
}

#[test]
fn some_datagrams_get_no_reply_whatever_they_contain() {
    let own: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let table: [(&str, Option<IpAddr>, bool, Option<Outcome>); 13] = [
        ("198.51.100.7:40000", Some(own), false, None),
        ("[2001:db8::7]:40000", Some(own), false, None),
        ("127.0.0.1:40000", Some(own), false, None),
        ("198.51.100.7:0", Some(own), false, Some(Outcome::SourcePortZero)),
        ("[2001:db8::7]:0", Some(own), false, Some(Outcome::SourcePortZero)),
        ("0.0.0.0:68", Some(own), false, Some(Outcome::BadSource)),
        ("0.1.2.3:9", Some(own), false, Some(Outcome::BadSource)),
        ("224.0.0.251:5353", Some(own), false, Some(Outcome::BadSource)),
        ("240.0.0.1:9", Some(own), false, Some(Outcome::BadSource)),
        ("255.255.255.255:9", Some(own), false, Some(Outcome::BadSource)),
        ("[ff02::fb]:5353", Some(own), false, Some(Outcome::BadSource)),
        ("198.51.100.7:40000", None, false, Some(Outcome::NotServed)),
        ("198.51.100.7:40000", Some(own), true, Some(Outcome::BadLength)),
    ];
    for (source, destination, truncated, reason) in table {
        let source: SocketAddr = source.parse().unwrap();
        let datagram = ReceivedDatagram { buffer: &mut [], length: 0, source, destination, truncated };
        assert_eq!(destination_address(&datagram, None).err(), reason, "{source}");
        // A socket with one address needs no report of the destination.
        let reason = reason.filter(|reason| *reason != Outcome::NotServed);
        assert_eq!(destination_address(&datagram, Some(own)).err(), reason, "{source}");
    }
}
