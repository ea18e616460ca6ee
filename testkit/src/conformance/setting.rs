//! What the operator switched on for a row, as the core knows it.

use super::asked::Asked;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use xstun_core::stun::credentials::{Credentials, ShortTerm};
use xstun_core::stun::{AlternateServer, Discovery, Extras, Policy, Software};

/// The name under [`Setting::Software`].
pub const NAME: &str = "a server of tests";
/// Who may ask under [`Setting::ShortTerm`]: the user of RFC 5769, but for the colon in the name, which a
/// file of users cannot have.
pub const USER: &str = "evtj";
/// The password of [`USER`].
pub const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
/// Where [`Setting::Elsewhere`] sends clients over IPv4.
pub(super) const ELSEWHERE_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 3478);
/// Where [`Setting::Elsewhere`] sends clients over IPv6.
pub(super) const ELSEWHERE_V6: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9), 3478, 0, 0);
const PUBLIC_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const PUBLIC_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 2)];

/// What the operator switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing.
    Default,
    /// Classic requests off.
    NoClassic,
    /// Transaction IDs of zeros get silence.
    NoZeroTransaction,
    /// The server tells its [`NAME`].
    Software,
    /// As under [`Setting::ShortTerm`], and who may ask shall go to `ELSEWHERE_V4` or `ELSEWHERE_V6`.
    Elsewhere,
    /// NAT behaviour discovery at four endpoints.
    Discovery,
    /// The same behind a NAT that maps one to one, by which clients know other addresses.
    Advertised,
    /// Only [`USER`] may ask, who proves a short-term credential.
    ShortTerm,
}

impl Setting {
    /// The same source at each endpoint that serves under this setting: the four of NAT behaviour discovery, else
    /// the one.
    pub fn at_each_endpoint(self, asked: Asked) -> Vec<Asked> {
        let Asked { server, other, .. } = asked;
        let at = |address: SocketAddr, port: SocketAddr| SocketAddr::new(address.ip(), port.port());
        let (next, across) = (at(server, other), at(other, server));
        let pairs = match self {
            Setting::Discovery => vec![(server, other), (other, server), (next, across), (across, next)],
            // Which address is known under which public one is said by that of the server.
            Setting::Advertised => vec![(server, other), (next, across)],
            _ => vec![(server, other)],
        };
        pairs.into_iter().map(|(server, other)| Asked { server, other, ..asked }).collect()
    }

    /// Every setting.
    pub const ALL: [Setting; 8] = [
        Setting::Default,
        Setting::NoClassic,
        Setting::NoZeroTransaction,
        Setting::Software,
        Setting::Elsewhere,
        Setting::Discovery,
        Setting::Advertised,
        Setting::ShortTerm,
    ];

    /// The flags of `xstun serve` that switch it on, without those that name what a test must make first: a
    /// file of users, or further addresses of the host.
    pub fn flags(self) -> Vec<String> {
        let (v4, v6) = (ELSEWHERE_V4.to_string(), ELSEWHERE_V6.to_string());
        let flags: &[&str] = match self {
            Setting::Default | Setting::Discovery | Setting::Advertised | Setting::ShortTerm => &[],
            Setting::NoClassic => &["--no-classic"],
            Setting::NoZeroTransaction => &["--drop-zero-transaction"],
            Setting::Software => &["--software", NAME],
            Setting::Elsewhere => &["--alternate-server", &v4, "--alternate-server", &v6],
        };
        flags.iter().map(|&flag| flag.to_owned()).collect()
    }

    /// Most bytes that it adds to a success, where an attribute with an address has `address` bytes. Integrity
    /// is not counted.
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

/// As what clients know the server's two addresses under [`Setting::Advertised`].
pub fn public_addresses(v4: bool) -> [IpAddr; 2] {
    if v4 { PUBLIC_V4.map(IpAddr::from) } else { PUBLIC_V6.map(IpAddr::from) }
}

/// The setting as the core knows it, where these endpoints are the server's.
pub fn policy(setting: Setting, asked: &Asked) -> Policy {
    let mut classic = true;
    let mut extras = Extras::default();
    match setting {
        Setting::Default => return Policy::default(),
        Setting::NoClassic => classic = false,
        Setting::NoZeroTransaction => extras.drop_zero_transaction = true,
        Setting::Software => extras.software = Software::new(NAME),
        Setting::Elsewhere => {
            extras.credentials = Some(users());
            extras.alternate_server = AlternateServer { v4: Some(ELSEWHERE_V4), v6: Some(ELSEWHERE_V6) };
        }
        Setting::ShortTerm => extras.credentials = Some(users()),
        Setting::Discovery | Setting::Advertised => {
            let mut discovery = Discovery::new(asked.server, asked.other).unwrap();
            if setting == Setting::Advertised {
                let locals = [asked.server.ip(), asked.other.ip()];
                for (local, public) in locals.into_iter().zip(public_addresses(asked.server.is_ipv4())) {
                    assert!(discovery.advertise(local, public));
                }
            }
            let place =
                if asked.server.is_ipv4() { &mut extras.discovery_v4 } else { &mut extras.discovery_v6 };
            *place = Some(discovery);
        }
    }
    let extras = (extras != Extras::default()).then_some(extras);
    Policy { classic, extras }
}
