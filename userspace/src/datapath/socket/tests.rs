use super::{BoundSocket, adopt, bind, sockopt};
use crate::config::collide;
use crate::error::{FailureKind, Result};
use std::net::{SocketAddr, UdpSocket};

/// Binds an address once for each worker, as for `--listen`.
pub(super) fn bind_one(address: SocketAddr, workers: usize) -> Result<Vec<BoundSocket>> {
    bind(address, workers, "--listen", false)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_port_in_use_is_refused_with_the_name_of_who_has_it() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let failure = bind_one(taken, 2).unwrap_err();
    assert_eq!(failure.errno(), Some(libc::EADDRINUSE));
    assert_eq!(failure.kind(), FailureKind::System);
    let text = failure.to_string();
    let start = format!("cannot bind UDP {taken} (--listen): Address already in use (os error 98); ");
    assert!(text.starts_with(&start), "{text}");
    let end = format!("process {}, has it: stop that process, or listen elsewhere", std::process::id());
    assert!(text.ends_with(&end), "{text}");
}

#[test]
fn a_port_that_another_server_shares_is_refused_and_not_joined() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    sockopt::set_socket_reuseport(&other, true).unwrap();
    let failure = bind_one(other.local_addr().unwrap(), 2).unwrap_err();
    assert_eq!(failure.errno(), Some(libc::EADDRINUSE));
}

#[test]
fn an_address_of_another_host_is_refused_with_the_remedy() {
    // 192.0.2.0/24 is for documentation (RFC 5737).
    let failure = bind_one(address("192.0.2.77:0"), 1).unwrap_err();
    assert_eq!(failure.errno(), Some(libc::EADDRNOTAVAIL));
    assert!(failure.to_string().contains("no interface has this address"), "{failure}");
}

#[test]
fn a_link_local_address_without_interface_is_refused_with_the_remedy() {
    let failure = bind_one(address("[fe80::1]:0"), 1).unwrap_err();
    assert!(failure.to_string().contains("[fe80::1%2]"), "{failure}");
}

#[test]
fn each_worker_has_a_socket_on_the_address() {
    for listen in [address("127.0.0.1:0"), address("[::1]:0"), address("127.0.0.2:0")] {
        let locals: Vec<_> = bind_one(listen, 3).unwrap().iter().map(BoundSocket::local).collect();
        assert_eq!((locals.len(), locals[0].ip()), (3, listen.ip()));
        assert!(locals.iter().all(|local| *local == locals[0] && local.port() != 0), "{locals:?}");
    }
}

#[test]
fn endpoints_collide_where_the_kernel_would_refuse_the_second() {
    for (one, other, expected) in [
        ("127.0.0.1:1", "127.0.0.1:1", true),
        ("127.0.0.1:1", "127.0.0.1:2", false),
        ("127.0.0.1:1", "127.0.0.2:1", false),
        ("[::]:1", "[::1]:1", true),
        ("[::]:1", "0.0.0.0:1", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        assert_eq!(collide(&address(one), &address(other)), expected, "{one} {other}");
    }
}

#[test]
fn forged_path_mtu_messages_are_ignored() {
    let v4 = bind_one(address("127.0.0.1:0"), 1).unwrap();
    assert_eq!(sockopt::ip_mtu_discover(&v4[0]).unwrap(), sockopt::Ipv4PathMtuDiscovery::OMIT);
    let v6 = bind_one(address("[::1]:0"), 1).unwrap();
    assert_eq!(sockopt::ipv6_mtu_discover(&v6[0]).unwrap(), sockopt::Ipv6PathMtuDiscovery::OMIT);
    assert!(sockopt::ipv6_v6only(&v6[0]).unwrap());
}

/// The process that takes the socket over knows it too.
#[test]
fn pktinfo_is_on_only_where_the_destination_could_be_another_address() {
    for (bound, pktinfo) in [
        ("127.0.0.1:0", false),
        ("[::1]:0", false),
        ("0.0.0.0:0", true),
        ("[::]:0", true),
        ("127.0.0.2:0", true),
    ] {
        let socket = bind_one(address(bound), 1).unwrap().remove(0);
        let expected = (!pktinfo).then(|| socket.local().ip());
        assert_eq!(socket.fixed_destination(), expected, "{bound}");
        assert_eq!(adopt(socket.socket).unwrap().fixed_destination(), expected, "{bound}");
    }
}
