//! How many connections there may be, in all and from one source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits, and what is open. It remembers a source only while that has a connection, so its
/// memory is bounded by the limit in all.
#[derive(Debug)]
pub(super) struct Admission {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    most: usize,
    most_of_source: usize,
    all: usize,
    of_source: HashMap<Source, usize>,
}

/// What counts as one source: an IPv4 address, or the network of 64 bits that a host on IPv6 can
/// take any address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    V6([u8; 8]),
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Source::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The limit that a connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Source,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    source: Source,
}

impl Admission {
    pub(super) fn new(most: usize, most_of_source: usize) -> Self {
        let open = Open { most, most_of_source, all: 0, of_source: HashMap::new() };
        Admission { open: Mutex::new(open) }
    }

    /// Sets other limits. Connections that are open beyond them stay.
    pub(super) fn limit(&self, most: usize, most_of_source: usize) {
        let mut open = self.open();
        (open.most, open.most_of_source) = (most, most_of_source);
    }

    /// Connections that are open.
    pub(super) fn count(&self) -> usize {
        self.open().all
    }

    /// Takes a place for a connection from `ip`.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        let source = Source::from(ip);
        let mut open = self.open();
        if open.all >= open.most {
            return Err(Full::All);
        }
        let of_source = open.of_source.get(&source).copied().unwrap_or(0);
        if of_source >= open.most_of_source {
            return Err(Full::Source);
        }
        open.of_source.insert(source, of_source + 1);
        open.all += 1;
        Ok(Place { admission: Arc::clone(self), source })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.all -= 1;
        if let Some(count) = open.of_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.of_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Full};
    use std::net::IpAddr;
    use std::sync::Arc;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_its_limit_and_a_place_is_free_again_when_dropped() {
        let admission = Arc::new(Admission::new(10, 2));
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _mapped = admission.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), Full::Source);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        drop(first);
        admission.admit(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn other_limits_hold_for_those_who_come() {
        let admission = Arc::new(Admission::new(2, 2));
        let _places = [1, 2].map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap());
        admission.limit(1, 1);
        assert_eq!((admission.count(), admission.admit(ip("10.0.0.3")).unwrap_err()), (2, Full::All));
        admission.limit(4, 1);
        let _third = admission.admit(ip("10.0.0.3")).unwrap();
        assert_eq!(admission.admit(ip("10.0.0.3")).unwrap_err(), Full::Source);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_source() {
        let admission = Arc::new(Admission::new(10, 1));
        let _one = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8::ffff:2")).unwrap_err(), Full::Source);
        admission.admit(ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn the_limit_in_all_holds_and_nothing_is_remembered_of_who_is_gone() {
        let admission = Arc::new(Admission::new(3, 3));
        let places: Vec<_> =
            (1..=3).map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap()).collect();
        assert_eq!(admission.admit(ip("10.0.0.9")).unwrap_err(), Full::All);
        assert_eq!(admission.open().of_source.len(), 3);
        drop(places);
        assert_eq!(admission.open().all, 0);
        assert!(admission.open().of_source.is_empty());
    }
}
