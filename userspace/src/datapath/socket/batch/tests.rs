use super::{Batch, PAYLOAD, SIZE, Sent, enable_pktinfo};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

fn wildcard() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    enable_pktinfo(&socket, false).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[test]
fn a_datagram_comes_with_its_source_and_the_address_that_received_the_request() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"one", ("127.0.0.1", port)).unwrap();
    client.send_to(b"three", ("127.0.0.3", port)).unwrap();

    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap(), 2);
    for (index, (text, destination)) in
        [(&b"one"[..], [127, 0, 0, 1]), (b"three", [127, 0, 0, 3])].iter().enumerate()
    {
        let datagram = batch.datagram(index);
        assert_eq!(&datagram.buffer[..datagram.length], *text);
        assert_eq!(datagram.source, client.local_addr().unwrap());
        assert_eq!(datagram.destination, Some(IpAddr::V4(Ipv4Addr::from(*destination))));
        assert!(!datagram.truncated);
    }
    assert_eq!(batch.receive(&server).unwrap(), 0);
}

#[test]
fn a_reply_leaves_from_the_address_that_received_the_request() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for last in [1, 2, 9] {
        client.send_to(&[last], (Ipv4Addr::new(127, 0, 0, last), port)).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap(), 3);
    // The first gets no reply: marked indices need not be contiguous.
    batch.mark(1, 1);
    batch.mark(2, 1);
    let mut ends = Vec::new();
    assert_eq!(batch.send(&server, |index, sent| ends.push((index, sent))), 1);
    assert_eq!(ends, [(1, Sent::Left), (2, Sent::Left)]);

    for last in [2, 9] {
        let mut reply = [0; 8];
        let (length, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(reply[..length], [last]);
        assert_eq!(from, SocketAddr::from(([127, 0, 0, last], port)));
    }
}

/// As when the request came to a socket with one address, and the reply leaves by a wildcard's.
#[test]
fn a_reply_leaves_from_an_address_that_the_kernel_did_not_report() {
    for (destination, any, origin) in
        [("127.0.0.1:0", "0.0.0.0:0", "127.0.0.9"), ("[::1]:0", "[::]:0", "::1")]
    {
        let (server, sender) = (UdpSocket::bind(destination).unwrap(), UdpSocket::bind(any).unwrap());
        let client = UdpSocket::bind(destination).unwrap();
        client.send_to(b"?", server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&server).unwrap(), 1);
        assert_eq!(batch.datagram(0).destination, None);
        batch.mark_diverted(0, 1, origin.parse().unwrap(), None);
        batch.send(&sender, |_, sent| assert_eq!(sent, Sent::Left));
        let (_, from) = client.recv_from(&mut [0; 8]).unwrap();
        let port = sender.local_addr().unwrap().port();
        assert_eq!(from, SocketAddr::new(origin.parse().unwrap(), port));
    }
}

#[test]
fn a_broadcast_address_is_no_destination() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_broadcast(true).unwrap();
    client.send_to(b"all", ("127.255.255.255", port)).unwrap();
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap(), 1);
    assert_eq!(batch.datagram(0).destination, None);
}

#[test]
fn a_batch_holds_sixty_four_and_the_next_call_returns_the_rest() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..SIZE + 3 {
        client.send_to(&vec![number as u8; number], ("127.0.0.1", port)).unwrap();
    }
    let mut batch = Batch::new();
    let mut number = 0;
    for count in [SIZE, 3] {
        assert_eq!(batch.receive(&server).unwrap(), count);
        for index in 0..count {
            assert_eq!(batch.payload(index), vec![number as u8; number]);
            number += 1;
        }
    }
}

#[test]
fn a_datagram_longer_than_a_buffer_is_marked_truncated_and_one_that_fits_is_not() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [PAYLOAD, PAYLOAD + 1, 60_000, 5] {
        client.send_to(&vec![7; length], ("127.0.0.1", port)).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(batch.receive(&server).unwrap(), 4);
    let expected = [(PAYLOAD, false), (PAYLOAD, true), (PAYLOAD, true), (5, false)];
    for (index, expected) in expected.into_iter().enumerate() {
        let datagram = batch.datagram(index);
        assert_eq!((datagram.length, datagram.truncated), expected);
    }
}

#[test]
fn a_buffer_shortened_by_a_reply_is_whole_again_for_the_next_datagram() {
    let (server, port) = wildcard();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = Batch::new();
    for length in [3, PAYLOAD] {
        client.send_to(&vec![1; length], ("127.0.0.1", port)).unwrap();
        assert_eq!(batch.receive(&server).unwrap(), 1);
        let datagram = batch.datagram(0);
        assert_eq!((datagram.length, datagram.truncated), (length, false));
        batch.mark(0, 1);
        batch.send(&server, |_, sent| assert_eq!(sent, Sent::Left));
    }
}

#[test]
fn a_full_peer_leaves_the_rest_and_each_is_reported_once() {
    let (one, other) = UnixDatagram::pair().unwrap();
    // The kernel raises this to its minimum, a few datagrams.
    rustix::net::sockopt::set_socket_send_buffer_size(&one, 1).unwrap();
    let mut batch = Batch::connected();
    for index in 0..SIZE {
        batch.buffer(index)[0] = index as u8;
        batch.mark(index, 1);
    }
    let mut ends = Vec::new();
    batch.send(&one, |index, sent| ends.push((index, sent)));
    assert!(ends.iter().map(|(index, _)| *index).eq(0..SIZE));
    let left = ends.iter().take_while(|(_, sent)| *sent == Sent::Left).count();
    assert!(left > 0 && left < SIZE, "{left} datagrams left");
    assert!(ends[left..].iter().all(|(_, sent)| *sent == Sent::Full));

    let mut received = Batch::connected();
    assert_eq!(received.receive(&other).unwrap(), left);
    assert!((0..left).all(|index| received.payload(index) == [index as u8]));
}

#[test]
fn a_refused_datagram_is_skipped_and_the_others_leave() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(closed.local_addr().unwrap()).unwrap();
    drop(closed);
    let mut batch = Batch::connected();
    let mut ends = Vec::new();
    // The first causes an ICMP error on the socket, which the first send of the next call returns.
    for marked in [1, 3] {
        ends.clear();
        (0..marked).for_each(|index| batch.mark(index, 4));
        batch.send(&client, |index, sent| ends.push((index, sent)));
    }
    assert_eq!(ends[0], (0, Sent::Refused(libc::ECONNREFUSED)));
    assert_eq!(ends[1..], [(1, Sent::Left), (2, Sent::Left)]);
}

#[test]
fn a_pending_socket_error_is_returned_once() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(closed.local_addr().unwrap()).unwrap();
    drop(closed);
    client.send(b"?").unwrap();
    let mut batch = Batch::connected();
    assert_eq!(batch.receive(&client).unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
    assert_eq!(batch.receive(&client).unwrap(), 0);
}
