//! The core under any combination of options. Input: a byte of flags (see [`crate::message`]; 128
//! authenticates the message), a byte of options, a byte for the server's endpoint and the transport, a
//! source, the message.

use crate::{FILLER, ROOM, SOURCE, message, source};
use std::net::SocketAddr;
use std::sync::Arc;
use xstun_core::outcome::Outcome;
use xstun_core::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, Realm, ShortTerm};
use xstun_core::stun::integrity::Integrity;
use xstun_core::stun::{
    AlternateServer, Answer, Discovery, Exchange, Extras, Policy, REPLY_ROOM, Software, respond,
};
use xstun_testkit::conformance::Setting;
use xstun_testkit::messages::{COOKIE, ENDPOINTS};

/// Flag of the first byte: the message gets USERNAME and MESSAGE-INTEGRITY of the user.
pub const AUTHENTICATED: u8 = 128;

/// Option: classic requests are dropped.
pub const NO_CLASSIC: u8 = 1;
/// Option: requests with a zero transaction ID are dropped.
pub const NO_ZERO: u8 = 2;
/// Option: replies have SOFTWARE.
pub const SOFTWARE: u8 = 4;
/// Option: NAT behaviour discovery, over both versions of IP.
pub const DISCOVERY: u8 = 8;
/// Option: discovery advertises public addresses.
pub const ADVERTISED: u8 = 16;
/// Option: short-term credentials.
pub const SHORT_TERM: u8 = 32;
/// Option: long-term credentials, which take precedence over short-term ones.
pub const LONG_TERM: u8 = 64;
/// Option: users are redirected to an alternate server.
pub const ALTERNATE_SERVER: u8 = 128;

/// Flag of the third byte: the message comes over a stream. The lowest bit is the version of IP, the next
/// three bits are the index of the server's endpoint.
pub const STREAM: u8 = 128;

/// The user: name (four bytes) and password of the conformance table, so that its message integrity is right.
const USER: (&[u8], &[u8]) = (b"evtj", b"VOkJxbRl1RmTxUk/WvJxBt");
const REALM: &str = "example.org";
const NAME: &str = "fuzzed";

/// Checks the result for `input`.
pub fn run(input: &[u8]) {
    let Some((&[flags, switches, target], input)) = input.split_first_chunk::<3>() else { return };
    let Some((address, request)) = input.split_first_chunk::<SOURCE>() else { return };
    let mut request = request.to_vec();
    message(&mut request, flags);
    if flags & AUTHENTICATED != 0 && request.len() >= 20 {
        request = authenticated(&request);
    }
    let version = usize::from(target & 1);
    let endpoints = ENDPOINTS[version].map(|endpoint| endpoint.parse::<SocketAddr>().unwrap());
    let case = Case {
        source: source(address),
        server: endpoints[usize::from(target >> 1 & 7) % endpoints.len()],
        endpoints,
        stream: target & STREAM != 0,
        switches,
        policy: policy(switches),
    };
    case.check(&request);
}

/// Returns the switches for a setting of the conformance table.
pub fn switches(setting: Setting) -> u8 {
    match setting {
        Setting::Default => 0,
        Setting::NoClassic => NO_CLASSIC,
        Setting::NoZeroTransaction => NO_ZERO,
        Setting::Software => SOFTWARE,
        Setting::AlternateServer => SHORT_TERM | ALTERNATE_SERVER,
        Setting::Discovery => DISCOVERY,
        Setting::Advertised => DISCOVERY | ADVERTISED,
        Setting::ShortTerm => SHORT_TERM,
    }
}

fn policy(switches: u8) -> Policy {
    let on = |switch| switches & switch != 0;
    let discovery = |[one, .., other, _]: [&str; 5], public: [&str; 2]| {
        let (one, other): (SocketAddr, SocketAddr) = (one.parse().unwrap(), other.parse().unwrap());
        let mut discovery = Discovery::new(one, other).unwrap();
        if on(ADVERTISED) {
            for (local, public) in [one, other].into_iter().zip(public) {
                assert!(discovery.advertise(local.ip(), public.parse().unwrap()));
            }
        }
        on(DISCOVERY).then_some(discovery)
    };
    let credentials = match (on(LONG_TERM), on(SHORT_TERM)) {
        (false, false) => None,
        (false, true) => Some(Credentials::ShortTerm(ShortTerm::new([USER]))),
        (true, _) => {
            let nonces = Nonces::new([7; 32], CoarseClock::default());
            Some(Credentials::LongTerm(LongTerm::new([USER], Realm::new(REALM).unwrap(), nonces)))
        }
    };
    let alternate_server = AlternateServer {
        v4: Some("203.0.113.9:3478".parse().unwrap()),
        v6: Some("[2001:db8:9::9]:3478".parse().unwrap()),
    };
    let extras = Extras {
        discovery_v4: discovery(ENDPOINTS[0], ["203.0.113.1", "203.0.113.2"]),
        discovery_v6: discovery(ENDPOINTS[1], ["2001:db8:9::1", "2001:db8:9::2"]),
        software: if on(SOFTWARE) { Software::new(NAME) } else { None },
        drop_zero_transaction: on(NO_ZERO),
        alternate_server: if on(ALTERNATE_SERVER) { alternate_server } else { AlternateServer::default() },
        credentials: credentials.map(Arc::new),
    };
    Policy { classic: !on(NO_CLASSIC), extras: (extras != Extras::default()).then_some(extras) }
}

/// Returns `request` with USERNAME before its attributes and MESSAGE-INTEGRITY keyed with the short-term
/// password after them.
fn authenticated(request: &[u8]) -> Vec<u8> {
    let (head, attributes) = request.split_at(20);
    let mut message = [head, &[0, 6, 0, 4], USER.0, attributes].concat();
    let end = message.len();
    message.resize(end + Integrity::Sha1.length(), 0);
    match Integrity::Sha1.append(USER.1, &mut message, end) {
        Some(_) => message,
        None => request.to_vec(),
    }
}

struct Case {
    source: SocketAddr,
    server: SocketAddr,
    endpoints: [SocketAddr; 5],
    stream: bool,
    switches: u8,
    policy: Policy,
}

impl Case {
    /// Returns the answer to `request`, and the buffer afterwards.
    fn answer(&self, request: &[u8]) -> (Answer, Vec<u8>) {
        let mut buffer = request.to_vec();
        buffer.resize(request.len() + ROOM, FILLER);
        let server = || self.server;
        let exchange = match self.stream {
            true => Exchange::stream(&self.source, server),
            false => Exchange::datagram(&self.source, server),
        };
        (respond(&mut buffer, request.len(), exchange, &self.policy), buffer)
    }

    fn check(&self, request: &[u8]) {
        let (answer, buffer) = self.answer(request);
        assert_eq!(answer.outcome.is_reply(), answer.length > 0, "{answer:?}");
        let (reply, rest) = buffer.split_at(answer.length);
        if reply.is_empty() {
            assert_eq!(
                &buffer[..request.len()],
                request,
                "without a reply the buffer is unchanged: {answer:?}"
            );
            assert!(rest[request.len()..].iter().all(|byte| *byte == FILLER));
            assert!(!answer.is_diverted());
            return;
        }
        assert!(buffer[answer.length.max(request.len())..].iter().all(|byte| *byte == FILLER));
        assert!(answer.length <= request.len().max(REPLY_ROOM));
        assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 20);
        assert_eq!(reply[4..20], request[4..20]);
        self.check_origin(&answer);
        let bound = self.bound(request, answer.outcome);
        assert!(answer.length <= bound, "{answer:?} for {} bytes, more than {bound}", request.len());
        if self.switches & (SHORT_TERM | LONG_TERM) != 0 {
            assert_ne!(answer.outcome, Outcome::AnsweredClassic);
            assert_eq!(request[4..8], COOKIE, "a classic request cannot be authenticated");
        }
        let (again, _) = self.answer(reply);
        assert_eq!((again.outcome, again.length), (Outcome::Response, 0), "a reply is never answered");
    }

    /// A reply is sent from one of the four endpoints, and only a datagram from another than the request's.
    fn check_origin(&self, answer: &Answer) {
        let origin = self.policy.origin(&self.server, answer.change);
        if self.stream || self.policy.discovery(&self.server).is_none() {
            assert!(!answer.is_diverted(), "{answer:?}");
        }
        let differs = (origin.ip() != self.server.ip(), origin.port() != self.server.port());
        assert_eq!(differs, (answer.change.address, answer.change.port));
        assert!(self.endpoints.contains(&origin));
    }

    /// Maximum length of a reply with this outcome.
    fn bound(&self, request: &[u8], outcome: Outcome) -> usize {
        let on = |switch| self.switches & switch != 0;
        let length = |address: &SocketAddr| if address.ip().to_canonical().is_ipv4() { 12 } else { 24 };
        // Each is present if requested or enabled. The bound allows for FINGERPRINT if the request may have one.
        let fingerprint = if request.windows(4).any(|word| word == [0x80, 0x28, 0, 4]) { 8 } else { 0 };
        let software = if on(SOFTWARE) { 4 + NAME.len().next_multiple_of(4) } else { 0 };
        let integrity = match (on(LONG_TERM), on(SHORT_TERM)) {
            (false, false) => 0,
            _ => Integrity::Sha256.length(),
        };
        let success = 20 + length(&self.source) + software + integrity + fingerprint;
        match outcome {
            Outcome::Answered | Outcome::AnsweredClassic if self.policy.discovery(&self.server).is_some() => {
                let discovery = success + length(&self.source) + 2 * length(&self.server);
                // PADDING fills the reply up to the request's length, not counting its header.
                (discovery + 4).max(request.len())
            }
            Outcome::Answered | Outcome::AnsweredClassic => success,
            Outcome::UnknownAttribute => request.len().max(36 + integrity + fingerprint),
            Outcome::BadRequest => request.len().max(28 + fingerprint),
            Outcome::Redirected => request.len(),
            Outcome::Unauthenticated if !on(LONG_TERM) => 28 + fingerprint,
            Outcome::Unauthenticated | Outcome::StaleNonce => {
                68 + REALM.len().next_multiple_of(4) + fingerprint
            }
            outcome => panic!("{outcome:?} has a reply"),
        }
    }
}
