//! One table of rules, held against every way into the server: the core function, frames through
//! `answer`, and the program itself over AF_XDP and over sockets. The same bytes get the same reply on
//! each, up to the address of who asks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

#[cfg(feature = "af-xdp")]
#[allow(dead_code, reason = "the laboratory has more than this table needs")]
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/frames.rs"]
mod frames;
#[path = "../common/judge.rs"]
mod judge;
#[path = "../common/messages.rs"]
mod messages;
#[path = "../common/reference.rs"]
mod reference;

mod framed;
mod memory;
#[cfg(feature = "af-xdp")]
mod streamed;
// By its path, as the fuzzers' corpus includes it: its modules stand beside it then.
#[path = "table/rows.rs"]
mod table;
#[cfg(feature = "af-xdp")]
mod wired;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use table::{Asked, ELSEWHERE_V4, ELSEWHERE_V6, NAME, PASSWORD, PUBLIC_V4, PUBLIC_V6, Setting, USER};
use xstun_core::stun::credentials::{Credentials, ShortTerm};
use xstun_core::stun::{AlternateServer, Discovery, Extras, Policy, Software};

/// `source` asks a server at the documentation's addresses.
fn asked(source: SocketAddr) -> Asked {
    let [server, other] = match source.ip().to_canonical().is_ipv4() {
        true => ["192.0.2.1:3478", "192.0.2.2:3479"],
        false => ["[2001:db8::1]:3478", "[2001:db8::2]:3479"],
    };
    Asked { source, server: server.parse().unwrap(), other: other.parse().unwrap() }
}

fn users() -> Arc<Credentials> {
    Arc::new(Credentials::ShortTerm(ShortTerm::new([(USER.as_bytes(), PASSWORD.as_bytes())])))
}

/// As what clients know both addresses under [`Setting::Advertised`].
fn public(v4: bool) -> [IpAddr; 2] {
    if v4 { PUBLIC_V4.map(IpAddr::from) } else { PUBLIC_V6.map(IpAddr::from) }
}

/// The setting as the core knows it, where these endpoints are the server's.
fn policy(setting: Setting, asked: &Asked) -> Policy {
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
                for (local, public) in locals.into_iter().zip(public(asked.server.is_ipv4())) {
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
