//! A NIC and its peer, each in its own namespace, with addresses.

use crate::case::{Case, Kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use xstun_testkit::lab::{Link, Namespace, ip, mac_text};

/// Port that the server listens on.
const PORT: u16 = 3478;

/// The namespaces of the server and of the client, and the link between them.
pub(crate) struct Stage {
    pub(crate) server: Namespace,
    /// The peer's namespace; none on loopback, where the client is in the server's namespace.
    peer: Option<Namespace>,
    pub(crate) link: Link,
    /// The driver's name in sysfs.
    pub(crate) driver: String,
}

impl Stage {
    /// Moves the case's interfaces to new namespaces, and sets their addresses.
    pub(crate) fn new(case: &Case) -> Self {
        let number = case.number;
        let server = Namespace::new(format!("xstun-t-{}-{number}s", std::process::id()));
        if case.kind == Kind::Loopback {
            return Stage { server, peer: None, link: loopback(), driver: "loopback".to_owned() };
        }
        let peer = Namespace::new(format!("xstun-t-{}-{number}c", std::process::id()));
        let link = Link::numbered(number);
        if case.kind == Kind::Veth {
            make_veth(&link, case.queues);
        }
        let driver = move_in(&server, &link.server_interface, link.server_mac);
        move_in(&peer, &link.client_interface, link.client_mac);
        let stage = Stage { server, peer: Some(peer), link, driver };
        if case.queues > 1 && case.kind == Kind::Nic {
            let queues = case.queues.to_string();
            stage.server.run(&["ethtool", "-L", &stage.link.server_interface, "combined", &queues]);
        }
        stage.raise();
        stage
    }

    /// Brings both ends up with their addresses, at first and after one was down.
    pub(crate) fn raise(&self) {
        self.link.raise(&self.server, self.client());
    }

    /// The client's namespace.
    pub(crate) fn client(&self) -> &Namespace {
        self.peer.as_ref().unwrap_or(&self.server)
    }

    /// The interface of the server.
    pub(crate) fn interface(&self) -> &str {
        &self.link.server_interface
    }

    /// Number of frames that the client's interface has sent so far.
    pub(crate) fn sent(&self) -> u64 {
        let path = format!("/sys/class/net/{}/statistics/tx_packets", self.link.client_interface);
        self.client().run(&["cat", &path]).trim().parse().expect("a number")
    }

    /// The client's and the server's endpoint over IPv4 and IPv6; the client's port is 0.
    pub(crate) fn endpoints(&self) -> [(SocketAddr, SocketAddr); 2] {
        let Link { client_v4, server_v4, client_v6, server_v6, .. } = self.link;
        let pair =
            |client: IpAddr, server: IpAddr| (SocketAddr::new(client, 0), SocketAddr::new(server, PORT));
        [pair(client_v4.into(), server_v4.into()), pair(client_v6.into(), server_v6.into())]
    }
}

fn loopback() -> Link {
    Link {
        server_interface: "lo".to_owned(),
        client_interface: "lo".to_owned(),
        server_mac: [0; 6],
        client_mac: [0; 6],
        server_v4: Ipv4Addr::LOCALHOST,
        client_v4: Ipv4Addr::LOCALHOST,
        server_v6: Ipv6Addr::LOCALHOST,
        client_v6: Ipv6Addr::LOCALHOST,
    }
}

fn make_veth(link: &Link, queues: u32) {
    let queues = queues.to_string();
    let [server, client] = [link.server_mac, link.client_mac].map(mac_text);
    let mut words = vec!["link", "add", "numrxqueues", &queues, "numtxqueues", &queues, "address", &server];
    words.extend([
        "type",
        "veth",
        "peer",
        "numrxqueues",
        &queues,
        "numtxqueues",
        &queues,
        "address",
        &client,
    ]);
    ip(&words);
}

/// Finds an interface by its MAC address, moves it to the namespace, and returns the name of its driver.
fn move_in(namespace: &Namespace, name: &str, mac: [u8; 6]) -> String {
    let mac = mac_text(mac);
    let found = std::fs::read_dir("/sys/class/net").unwrap().flatten().find(|entry| {
        std::fs::read_to_string(entry.path().join("address")).is_ok_and(|address| address.trim() == mac)
    });
    let found = found.unwrap_or_else(|| panic!("there is no NIC with the address {mac}"));
    let driver = std::fs::read_link(found.path().join("device/driver"));
    let driver = driver.ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let old = found.file_name().into_string().unwrap();
    ip(&["link", "set", &old, "down"]);
    ip(&["link", "set", &old, "netns", namespace.name(), "name", name]);
    driver.unwrap_or_else(|| {
        assert!(!Path::new("/sys/class/net").join(&old).join("device").exists(), "{old} has no driver");
        "veth".to_owned()
    })
}
