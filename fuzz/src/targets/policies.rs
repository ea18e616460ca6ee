//! The core under any choice of what can be switched on. Input: a byte of flags (see [`crate::message`]; 128
//! has the user prove who asks), a byte of what is switched on, a byte of who is asked and how, a
//! source, the message.

use crate::{LEAVINGS, ROOM, SOURCE, message, source};
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

/// Flag of the first byte: the message is given a name and a proof by the user.
pub const PROVEN: u8 = 128;

/// Switch: classic requests are off.
pub const NO_CLASSIC: u8 = 1;
/// Switch: transaction IDs of zeros get silence.
pub const NO_ZERO: u8 = 2;
/// Switch: the server tells its name.
pub const SOFTWARE: u8 = 4;
/// Switch: NAT behaviour discovery, over both versions of IP.
pub const DISCOVERY: u8 = 8;
/// Switch: of which clients know other addresses.
pub const ADVERTISED: u8 = 16;
/// Switch: short-term credentials.
pub const SHORT_TERM: u8 = 32;
/// Switch: long-term credentials, before short-term ones.
pub const LONG_TERM: u8 = 64;
/// Switch: clients shall go elsewhere.
pub const ELSEWHERE: u8 = 128;

/// Flag of the third byte: it comes over a stream. The lowest bit is the version of IP, the three above it
/// tell which endpoint is asked.
pub const STREAM: u8 = 128;

/// Who may ask: the name, of four bytes, and the password of the conformance table, so that its proofs hold.
const USER: (&[u8], &[u8]) = (b"evtj", b"VOkJxbRl1RmTxUk/WvJxBt");
const REALM: &str = "example.org";
const NAME: &str = "fuzzed";

/// Judges what is made of `input`.
pub fn run(input: &[u8]) {
    let Some((&[flags, switches, asked], input)) = input.split_first_chunk::<3>() else { return };
    let Some((address, request)) = input.split_first_chunk::<SOURCE>() else { return };
    let mut request = request.to_vec();
    message(&mut request, flags);
    if flags & PROVEN != 0 && request.len() >= 20 {
        request = proven(&request);
    }
    let version = usize::from(asked & 1);
    let endpoints = ENDPOINTS[version].map(|endpoint| endpoint.parse::<SocketAddr>().unwrap());
    let case = Case {
        source: source(address),
        server: endpoints[usize::from(asked >> 1 & 7) % endpoints.len()],
        endpoints,
        stream: asked & STREAM != 0,
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
        Setting::Elsewhere => SHORT_TERM | ELSEWHERE,
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
    let elsewhere = AlternateServer {
        v4: Some("203.0.113.9:3478".parse().unwrap()),
        v6: Some("[2001:db8:9::9]:3478".parse().unwrap()),
    };
    let extras = Extras {
        discovery_v4: discovery(ENDPOINTS[0], ["203.0.113.1", "203.0.113.2"]),
        discovery_v6: discovery(ENDPOINTS[1], ["2001:db8:9::1", "2001:db8:9::2"]),
        software: if on(SOFTWARE) { Software::new(NAME) } else { None },
        drop_zero_transaction: on(NO_ZERO),
        alternate_server: if on(ELSEWHERE) { elsewhere } else { AlternateServer::default() },
        credentials: credentials.map(Arc::new),
    };
    Policy { classic: !on(NO_CLASSIC), extras: (extras != Extras::default()).then_some(extras) }
}

/// `request` with the user's name before its attributes and a proof by the short-term password behind them.
fn proven(request: &[u8]) -> Vec<u8> {
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
    /// The room behind `request`, and what stands in it once it was answered.
    fn answer(&self, request: &[u8]) -> (Answer, Vec<u8>) {
        let mut buffer = request.to_vec();
        buffer.resize(request.len() + ROOM, LEAVINGS);
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
        let (reply, behind) = buffer.split_at(answer.length);
        if reply.is_empty() {
            assert_eq!(&buffer[..request.len()], request, "silence leaves the buffer as it was: {answer:?}");
            assert!(behind[request.len()..].iter().all(|byte| *byte == LEAVINGS));
            assert!(!answer.is_diverted());
            return;
        }
        assert!(buffer[answer.length.max(request.len())..].iter().all(|byte| *byte == LEAVINGS));
        assert!(answer.length <= request.len().max(REPLY_ROOM));
        assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 20);
        assert_eq!(reply[4..20], request[4..20]);
        self.check_origin(&answer);
        let bound = self.bound(request, answer.outcome);
        assert!(answer.length <= bound, "{answer:?} for {} bytes, and {bound} are owed", request.len());
        if self.switches & (SHORT_TERM | LONG_TERM) != 0 {
            assert_ne!(answer.outcome, Outcome::AnsweredClassic);
            assert_eq!(request[4..8], COOKIE, "who has no cookie proves nothing");
        }
        let (again, _) = self.answer(reply);
        assert_eq!((again.outcome, again.length), (Outcome::Response, 0), "a reply is never answered");
    }

    /// A reply leaves from one of the four endpoints, and from elsewhere only as a datagram.
    fn check_origin(&self, answer: &Answer) {
        let origin = self.policy.origin(&self.server, answer.change);
        if self.stream || self.policy.discovery(&self.server).is_none() {
            assert!(!answer.is_diverted(), "{answer:?}");
        }
        let differs = (origin.ip() != self.server.ip(), origin.port() != self.server.port());
        assert_eq!(differs, (answer.change.address, answer.change.port));
        assert!(self.endpoints.contains(&origin));
    }

    /// The most bytes that a reply of this end may have.
    fn bound(&self, request: &[u8], outcome: Outcome) -> usize {
        let on = |switch| self.switches & switch != 0;
        let length = |address: &SocketAddr| if address.ip().to_canonical().is_ipv4() { 12 } else { 24 };
        // Each of these stands where it was asked for or is switched on; a FINGERPRINT is owed to one alone.
        let print = if request.windows(4).any(|word| word == [0x80, 0x28, 0, 4]) { 8 } else { 0 };
        let named = if on(SOFTWARE) { 4 + NAME.len().next_multiple_of(4) } else { 0 };
        let seal = match (on(LONG_TERM), on(SHORT_TERM)) {
            (false, false) => 0,
            _ => Integrity::Sha256.length(),
        };
        let success = 20 + length(&self.source) + named + seal + print;
        match outcome {
            Outcome::Answered | Outcome::AnsweredClassic if self.policy.discovery(&self.server).is_some() => {
                let told = success + length(&self.source) + 2 * length(&self.server);
                // PADDING fills up to the request's length, but for its header.
                (told + 4).max(request.len())
            }
            Outcome::Answered | Outcome::AnsweredClassic => success,
            Outcome::UnknownAttribute => request.len().max(36 + seal + print),
            Outcome::BadRequest => request.len().max(28 + print),
            Outcome::Redirected => request.len(),
            Outcome::Unauthenticated if !on(LONG_TERM) => 28 + print,
            Outcome::Unauthenticated | Outcome::StaleNonce => 68 + REALM.len().next_multiple_of(4) + print,
            outcome => panic!("{outcome:?} has a reply"),
        }
    }
}
