//! Stateless nonces: each is a function of a secret, the client's address and port, and coarse time.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Seconds for which the same client gets the same nonce. The server accepts a nonce in the period in which
/// it was issued and in the next.
pub(crate) const NONCE_PERIOD: u64 = 600;

/// Length of a nonce in bytes. The 11 characters after the cookie hold 66 bits of a MAC, so that in practice
/// no two clients get the same nonce (RFC 8489 §9.2.4), and the attribute needs no padding.
pub(super) const LENGTH: usize = COOKIE.len() + 11;

/// The nonce cookie: "obMatJos2", then the 24 security feature bits in base64 (RFC 8489 §9.2, §18.1). Set are
/// bit 0, password algorithms, and bit 1, username anonymity. Bit 0 is the least significant bit, as in
/// erratum 6290 and the test vector of appendix B.1.
pub(super) const COOKIE: &[u8; 13] = b"obMatJos2AAAD";

/// First characters of a nonce from any server that implements RFC 8489.
const COOKIE_START: &[u8] = b"obMatJos2";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A time in seconds, shared by all clones: the owner of a clock sets it, and the nonces read it. Its origin
/// does not matter, but it must never go backwards.
#[derive(Clone, Debug, Default)]
pub struct CoarseClock(Arc<AtomicU64>);

impl CoarseClock {
    /// Sets the time, in seconds.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds, Relaxed);
    }

    /// The time that was set last, in seconds.
    pub fn seconds(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Clocks are equal if they are clones of one clock; their times do not count.
impl PartialEq for CoarseClock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CoarseClock {}

/// The source of nonces: a secret and a clock.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonces {
    secret: [u8; 32],
    clock: CoarseClock,
}

impl Nonces {
    /// `secret` must be random and stay secret: whoever knows it can predict every nonce. Nonces stay valid
    /// across a change of the credentials if the new ones have the same secret and clock.
    pub fn new(secret: [u8; 32], clock: CoarseClock) -> Self {
        Nonces { secret, clock }
    }

    /// The nonce for a client at `source` in the current period.
    pub(super) fn current(&self, source: &SocketAddr) -> [u8; LENGTH] {
        nonce(&self.secret, source, self.clock.seconds() / NONCE_PERIOD)
    }

    /// Whether `received` is the nonce for a client at `source` in the current or the previous period.
    /// Constant-time.
    pub(super) fn is_valid(&self, received: &[u8], source: &SocketAddr) -> bool {
        let period = self.clock.seconds() / NONCE_PERIOD;
        let matches = |period| received.ct_eq(&nonce(&self.secret, source, period));
        (matches(period) | matches(period.wrapping_sub(1))).into()
    }
}

/// Whether a nonce has a cookie with the password algorithms bit set: the server that issued it sent
/// PASSWORD-ALGORITHMS.
pub(super) fn has_algorithms_bit(nonce: &[u8]) -> bool {
    let features = nonce.strip_prefix(COOKIE_START).and_then(<[u8]>::first_chunk::<4>);
    let digit = |character| BASE64.iter().position(|digit| digit == character);
    // All four characters must be base64; otherwise this is not a cookie.
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
    // Six bits of each byte of the MAC, which has more bytes than the nonce needs.
    for (character, byte) in characters.iter_mut().zip(mac) {
        *character = BASE64[usize::from(byte % 64)];
    }
    nonce
}
