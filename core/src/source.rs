//! Which sources may be answered: the one function that frames, datagrams and connections ask.

use crate::outcome::Outcome;
use core::net::IpAddr;

/// How a source address was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// In a frame, which comes from outside the host. Whatever an address means on the host alone is forged
    /// there.
    OnTheWire,
    /// By a socket. The sender may be a program on this host.
    BySocket,
}

/// What the host knows of sources, beyond what their addresses say by themselves.
pub trait SourceRules {
    /// Whether a source with this address is refused, though it may be a valid one elsewhere.
    fn refuses(&self, source: &IpAddr) -> bool;
}

/// No rules: what the address says by itself decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoSourceRules;

impl SourceRules for NoSourceRules {
    #[inline(always)]
    fn refuses(&self, _source: &IpAddr) -> bool {
        false
    }
}

/// Bits of the map in which the XDP program looks refused sources up: see [`refused_bit`].
pub const REFUSED_BITS: u32 = 1 << 16;

/// The bit that stands for `ip`. Sources that share it with a refused one are not answered in the kernel; the
/// worker, which compares whole addresses, answers them.
#[inline(always)]
pub const fn refused_bit(ip: &IpAddr) -> u16 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() as u16,
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            let words = (bits >> 64) as u64 ^ bits as u64;
            let halves = (words >> 32) as u32 ^ words as u32;
            (halves >> 16) as u16 ^ halves as u16
        }
    }
}

/// Decides whether a datagram or connection from `ip` and `port` may be answered.
///
/// # Errors
/// [`Outcome::BadSource`] for an address that is not a single host's, or that `rules` refuse;
/// [`Outcome::SourcePortZero`] for a port at which nobody can receive a reply.
#[inline(always)]
pub fn judge<R: SourceRules + ?Sized>(ip: &IpAddr, port: u16, seen: Seen, rules: &R) -> Result<(), Outcome> {
    if is_invalid(ip, seen) || rules.refuses(ip) {
        return Err(Outcome::BadSource);
    }
    if port == 0 {
        return Err(Outcome::SourcePortZero);
    }
    Ok(())
}

/// True if no single host can own this source address. On the wire, loopback and IPv4-mapped addresses are
/// among them: they mean something on their host alone.
#[inline(always)]
pub(crate) fn is_invalid(ip: &IpAddr, seen: Seen) -> bool {
    let on_the_wire = seen == Seen::OnTheWire;
    match ip {
        // "This network" and loopback (RFC 1122 §3.2.1.3); multicast, class E and broadcast.
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first == 0 || first >= 224 || on_the_wire && first == 127
        }
        // An IPv4-mapped address means something to a socket only (RFC 4942 §2.2).
        IpAddr::V6(ip) => {
            ip.is_multicast()
                || ip.is_unspecified()
                || on_the_wire && (ip.is_loopback() || ip.to_ipv4_mapped().is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NoSourceRules, Seen, SourceRules, is_invalid, judge};
    use crate::outcome::Outcome;
    use core::net::{IpAddr, SocketAddr};

    /// Frames and sockets decide alike, except for what means something on the host alone.
    #[test]
    fn an_invalid_source_is_invalid_on_either_path() {
        let rows = [
            ("0.0.0.0", true, true),
            ("0.1.2.3", true, true),
            ("1.0.0.0", false, false),
            ("127.0.0.1", true, false),
            ("223.255.255.255", false, false),
            ("224.0.0.251", true, true),
            ("240.0.0.1", true, true),
            ("255.255.255.255", true, true),
            ("::", true, true),
            ("::1", true, false),
            ("ff02::fb", true, true),
            ("::ffff:192.0.2.1", true, false),
            ("2001:db8::1", false, false),
        ];
        for (ip, in_frame, in_socket) in rows {
            let source: IpAddr = ip.parse().unwrap();
            let found = (is_invalid(&source, Seen::OnTheWire), is_invalid(&source, Seen::BySocket));
            assert_eq!(found, (in_frame, in_socket), "{ip}");
        }
    }

    struct Refused(IpAddr);

    impl SourceRules for Refused {
        fn refuses(&self, source: &IpAddr) -> bool {
            *source == self.0
        }
    }

    #[test]
    fn the_address_decides_before_the_port() {
        let refused = Refused("192.0.2.1".parse().unwrap());
        let rows = [
            ("192.0.2.1:0", Err(Outcome::BadSource)),
            ("192.0.2.1:9", Err(Outcome::BadSource)),
            ("224.0.0.1:0", Err(Outcome::BadSource)),
            ("192.0.2.2:0", Err(Outcome::SourcePortZero)),
            ("192.0.2.2:9", Ok(())),
            ("[2001:db8::1]:0", Err(Outcome::SourcePortZero)),
        ];
        for (source, expected) in rows {
            let source: SocketAddr = source.parse().unwrap();
            for seen in [Seen::OnTheWire, Seen::BySocket] {
                assert_eq!(judge(&source.ip(), source.port(), seen, &refused), expected, "{source}");
            }
        }
        assert_eq!(judge(&refused.0, 9, Seen::BySocket, &NoSourceRules), Ok(()));
    }
}
