//! The options of the server that a row is sent to.

use super::endpoints::RequestEndpoints;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use xstun_core::stun::credentials::{Credentials, ShortTerm};
use xstun_core::stun::{AlternateServer, Discovery, Extras, Policy, Software};

/// The value of SOFTWARE under [`Setting::Software`].
pub const NAME: &str = "a server of tests";
/// The user under [`Setting::ShortTerm`]: that of RFC 5769 without the colon and what follows it, since a
/// credentials file separates name and password by a colon.
pub const USER: &str = "evtj";
/// The password of [`USER`].
pub const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
/// The alternate server for IPv4 under [`Setting::AlternateServer`].
pub(super) const ALTERNATE_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 3478);
/// The alternate server for IPv6 under [`Setting::AlternateServer`].
pub(super) const ALTERNATE_V6: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9), 3478, 0, 0);
const PUBLIC_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const PUBLIC_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 2)];

/// The options of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The defaults.
    Default,
    /// Classic requests are dropped.
    NoClassic,
    /// Requests with a zero transaction ID are dropped.
    NoZeroTransaction,
    /// Replies have SOFTWARE with [`NAME`].
    Software,
    /// As [`Setting::ShortTerm`], and users are redirected to the alternate server of their IP version.
    AlternateServer,
    /// NAT behaviour discovery at four endpoints.
    Discovery,
    /// As [`Setting::Discovery`], behind a 1:1 NAT: the server advertises its public addresses.
    Advertised,
    /// Only [`USER`] is answered, authenticated by a short-term credential.
    ShortTerm,
}

impl Setting {
    /// The endpoints of a request from the same source to each endpoint that serves under this setting: four with
    /// NAT behaviour discovery, otherwise one.
    pub fn at_each_endpoint(self, endpoints: RequestEndpoints) -> Vec<RequestEndpoints> {
        let RequestEndpoints { server, other, .. } = endpoints;
        let endpoint = |address: SocketAddr, port: SocketAddr| SocketAddr::new(address.ip(), port.port());
        let (other_port, other_address) = (endpoint(server, other), endpoint(other, server));
        let pairs = match self {
            Setting::Discovery => vec![
                (server, other),
                (other, server),
                (other_port, other_address),
                (other_address, other_port),
            ],
            // The public addresses depend on which address is the server's, so that stays.
            Setting::Advertised => vec![(server, other), (other_port, other_address)],
            _ => vec![(server, other)],
        };
        pairs.into_iter().map(|(server, other)| RequestEndpoints { server, other, ..endpoints }).collect()
    }

    /// Every setting.
    pub const ALL: [Setting; 8] = [
        Setting::Default,
        Setting::NoClassic,
        Setting::NoZeroTransaction,
        Setting::Software,
        Setting::AlternateServer,
        Setting::Discovery,
        Setting::Advertised,
        Setting::ShortTerm,
    ];

    /// The flags of `xstun serve` for it, without those that need something which the test creates: a
    /// credentials file, or further addresses of the host.
    pub fn flags(self) -> Vec<String> {
        let (v4, v6) = (ALTERNATE_V4.to_string(), ALTERNATE_V6.to_string());
        let flags: &[&str] = match self {
            Setting::Default | Setting::Discovery | Setting::Advertised | Setting::ShortTerm => &[],
            Setting::NoClassic => &["--no-classic"],
            Setting::NoZeroTransaction => &["--drop-zero-transaction"],
            Setting::Software => &["--software", NAME],
            Setting::AlternateServer => &["--alternate-server", &v4, "--alternate-server", &v6],
        };
        flags.iter().map(|&flag| flag.to_owned()).collect()
    }

    /// Maximum of bytes that it adds to a success response, without integrity, if an attribute with an address
    /// has `address` bytes.
    pub fn adds(self, address: usize) -> usize {
        match self {
            Setting::Software => 4 + NAME.len().next_multiple_of(4),
            Setting::Discovery | Setting::Advertised => 3 * address,
            _ => 0,
        }
    }
}

fn users() -> Arc<Credentials> {
    Arc::new(Credentials::ShortTerm(ShortTerm::new([(USER.as_bytes(), PASSWORD.as_bytes())])))
}

/// The public addresses of the server's two under [`Setting::Advertised`].
pub fn public_addresses(v4: bool) -> [IpAddr; 2] {
    if v4 { PUBLIC_V4.map(IpAddr::from) } else { PUBLIC_V6.map(IpAddr::from) }
}

/// The setting as a policy of the core, for a server with these endpoints.
pub fn policy(setting: Setting, endpoints: &RequestEndpoints) -> Policy {
    let mut classic = true;
    let mut extras = Extras::default();
    match setting {
        Setting::Default => return Policy::default(),
        Setting::NoClassic => classic = false,
        Setting::NoZeroTransaction => extras.drop_zero_transaction = true,
        Setting::Software => extras.software = Software::new(NAME),
        Setting::AlternateServer => {
            extras.credentials = Some(users());
            extras.alternate_server = AlternateServer { v4: Some(ALTERNATE_V4), v6: Some(ALTERNATE_V6) };
        }
        Setting::ShortTerm => extras.credentials = Some(users()),
        Setting::Discovery | Setting::Advertised => {
            let mut discovery = Discovery::new(endpoints.server, endpoints.other).unwrap();
            if setting == Setting::Advertised {
                let locals = [endpoints.server.ip(), endpoints.other.ip()];
                for (local, public) in locals.into_iter().zip(public_addresses(endpoints.server.is_ipv4())) {
                    assert!(discovery.advertise(local, public));
                }
            }
            let field =
                if endpoints.server.is_ipv4() { &mut extras.discovery_v4 } else { &mut extras.discovery_v6 };
            *field = Some(discovery);
        }
    }
    let extras = (extras != Extras::default()).then_some(extras);
    Policy { classic, extras }
}
