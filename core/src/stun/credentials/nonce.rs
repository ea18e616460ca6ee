//! Nonces that the server need not remember: each is a function of a secret, the client's address and
//! port, and coarse time.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Seconds for which the same client is given the same nonce. One is accepted in the period in which it
/// was given and in the next.
pub(crate) const NONCE_PERIOD: u64 = 600;

/// Bytes of a nonce. With 11 characters behind the cookie, 66 bits, two clients will never be given the
/// same (RFC 8489 §9.2.4), and the attribute needs no padding.
pub(super) const LENGTH: usize = COOKIE.len() + 11;

/// "obMatJos2", and in base64 the 24 bits of the security features that are in use (RFC 8489 §9.2,
/// §18.1): password algorithms, bit 0, and username anonymity, bit 1. Bit 0 is the least significant one,
/// as erratum 6290 and the vector of appendix B.1 have it.
pub(super) const COOKIE: &[u8; 13] = b"obMatJos2AAAD";

/// Prefix of a nonce from any server that knows RFC 8489.
const COOKIE_START: &[u8] = b"obMatJos2";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Seconds, as somebody else counts them: told by one who has a clock, read by all who copied it. It
/// need not agree with anybody's time, but must not go back.
#[derive(Clone, Debug, Default)]
pub struct CoarseClock(Arc<AtomicU64>);

impl CoarseClock {
    /// Tells the time, in seconds.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds, Relaxed);
    }

    /// The time as last told, in seconds.
    pub fn seconds(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl PartialEq for CoarseClock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CoarseClock {}

/// What nonces are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonces {
    secret: [u8; 32],
    clock: CoarseClock,
}

impl Nonces {
    /// `secret` is random, and nobody else's to know: who has it can foretell nonces. Nonces outlive a
    /// change of the credentials where both keep their secret and clock.
    pub fn new(secret: [u8; 32], clock: CoarseClock) -> Self {
        Nonces { secret, clock }
    }

    /// The nonce for a client at `source`, at this time.
    pub(super) fn current(&self, source: &SocketAddr) -> [u8; LENGTH] {
        nonce(&self.secret, source, self.clock.seconds() / NONCE_PERIOD)
    }

    /// Whether `nonce` was given to a client at `source`, in this period or the one before.
    pub(super) fn is_valid(&self, given: &[u8], source: &SocketAddr) -> bool {
        let period = self.clock.seconds() / NONCE_PERIOD;
        let is_of = |period| given.ct_eq(&nonce(&self.secret, source, period));
        (is_of(period) | is_of(period.wrapping_sub(1))).into()
    }
}

/// Whether a nonce has the cookie and in it the bit that says that its server listed password algorithms.
pub(super) fn promises_algorithms(nonce: &[u8]) -> bool {
    let features = nonce.strip_prefix(COOKIE_START).and_then(<[u8]>::first_chunk::<4>);
    let digit = |character| BASE64.iter().position(|digit| digit == character);
    // The whole of it must be base64, or it is no cookie.
    features.is_some_and(|features| {
        features.iter().all(|character| digit(character).is_some())
            && digit(&features[3]).is_some_and(|last| last & 1 == 1)
    })
}

fn nonce(secret: &[u8; 32], source: &SocketAddr, period: u64) -> [u8; LENGTH] {
    let ip = match source.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).expect("an HMAC takes a key of any length");
    mac.update(&ip.octets());
    mac.update(&source.port().to_be_bytes());
    mac.update(&period.to_be_bytes());
    let mac = mac.finalize().into_bytes();

    let mut nonce = [0; LENGTH];
    let (cookie, characters) = nonce.split_at_mut(COOKIE.len());
    cookie.copy_from_slice(COOKIE);
    // Six bits of each byte: a MAC has more of them than are needed.
    for (character, byte) in characters.iter_mut().zip(mac) {
        *character = BASE64[usize::from(byte % 64)];
    }
    nonce
}
