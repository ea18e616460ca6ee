//! How many connections there may be, in all and from one source, and which one has to go for another.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The limits, and what is open. It remembers a source only while that has a connection, so its
/// memory is bounded by the limit in all.
///
/// A full house must not stay one for ever because some know how to keep a place. So a newcomer is given
/// the place of the connection that has been silent for longest, of the source that holds most, if that
/// holds more than the newcomer's own: nobody is kept out who has no connection yet.
#[derive(Debug)]
pub(super) struct Admission {
    open: Mutex<Open>,
    /// Messages and connections so far: a clock that tells which of two was earlier.
    turns: AtomicU64,
}

#[derive(Debug)]
struct Open {
    most: usize,
    most_of_source: usize,
    all: usize,
    of_source: HashMap<Source, Vec<Arc<Seat>>>,
}

/// What is known of one connection.
#[derive(Debug)]
struct Seat {
    /// The turn of its last whole message, or of its begin.
    spoke: AtomicU64,
    evicted: Notify,
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
    seat: Arc<Seat>,
}

impl Place {
    /// Notes that the connection brought a whole message.
    pub(super) fn speak(&self) {
        self.seat.spoke.store(self.admission.turn(), Ordering::Relaxed);
    }

    /// Waits until another connection has been given this place.
    pub(super) async fn evicted(&self) {
        self.seat.evicted.notified().await;
    }
}

impl Admission {
    pub(super) fn new(most: usize, most_of_source: usize) -> Self {
        let open = Open { most, most_of_source, all: 0, of_source: HashMap::new() };
        Admission { open: Mutex::new(open), turns: AtomicU64::new(0) }
    }

    /// Sets other limits. Connections that are open beyond them stay until others come.
    pub(super) fn limit(&self, most: usize, most_of_source: usize) {
        let mut open = self.open();
        (open.most, open.most_of_source) = (most, most_of_source);
    }

    /// Connections that are open.
    pub(super) fn count(&self) -> usize {
        self.open().all
    }

    /// Takes a place for a connection from `ip`, if need be another's.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        let source = Source::from(ip);
        let mut open = self.open();
        let of_source = open.of_source.get(&source).map_or(0, Vec::len);
        if of_source >= open.most_of_source {
            return Err(if open.all >= open.most { Full::All } else { Full::Source });
        }
        while open.all >= open.most {
            let evicted = open.evict(of_source).ok_or(Full::All)?;
            evicted.evicted.notify_one();
        }
        let seat = Arc::new(Seat { spoke: AtomicU64::new(self.turn()), evicted: Notify::new() });
        open.of_source.entry(source).or_default().push(Arc::clone(&seat));
        open.all += 1;
        Ok(Place { admission: Arc::clone(self), source, seat })
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes a connection out for one of a source that holds `held`. A walk over all of them, and only
    /// when all places are taken.
    fn evict(&mut self, held: usize) -> Option<Arc<Seat>> {
        let greedier = self.of_source.iter().filter(|(_, seats)| seats.len() > held);
        let seats = greedier.flat_map(|(source, seats)| seats.iter().map(move |seat| (source, seats, seat)));
        let last =
            seats.max_by_key(|(_, seats, seat)| (seats.len(), Reverse(seat.spoke.load(Ordering::Relaxed))));
        let (source, seat) = last.map(|(source, _, seat)| (*source, Arc::clone(seat)))?;
        self.remove(&source, &seat);
        Some(seat)
    }

    /// Takes this connection out, if it is still there.
    fn remove(&mut self, source: &Source, seat: &Arc<Seat>) {
        let Some(seats) = self.of_source.get_mut(source) else { return };
        let Some(index) = seats.iter().position(|other| Arc::ptr_eq(other, seat)) else { return };
        seats.swap_remove(index);
        self.all -= 1;
        if seats.is_empty() {
            self.of_source.remove(source);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.open().remove(&self.source, &self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Full, Place};
    use std::net::IpAddr;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

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
        assert_eq!((admission.count(), admission.admit(ip("10.0.0.2")).unwrap_err()), (2, Full::All));
        admission.limit(4, 1);
        let _third = admission.admit(ip("10.0.0.3")).unwrap();
        assert_eq!(admission.admit(ip("10.0.0.3")).unwrap_err(), Full::Source);
        admission.limit(1, 1);
        let _fourth = admission.admit(ip("10.0.0.4")).unwrap();
        assert_eq!(admission.count(), 1, "whoever comes then has the limit kept");
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
        assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err(), Full::All);
        assert_eq!(admission.open().of_source.len(), 3);
        drop(places);
        assert_eq!(admission.open().all, 0);
        assert!(admission.open().of_source.is_empty());
    }

    /// Whether another has been given this place.
    fn is_lost(place: &Place) -> bool {
        pin!(place.evicted()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_who_was_silent_longest_of_the_source_that_holds_most() {
        let admission = Arc::new(Admission::new(5, 3));
        let few = admission.admit(ip("192.0.2.1")).unwrap();
        let many = [(); 3].map(|()| admission.admit(ip("192.0.2.2")).unwrap());
        let last = admission.admit(ip("192.0.2.3")).unwrap();
        many[0].speak();
        let new = admission.admit(ip("192.0.2.9")).unwrap();
        assert_eq!(
            [&few, &many[0], &many[1], &many[2], &last].map(is_lost),
            [false, false, true, false, false]
        );
        // Who holds as many as anybody makes nobody go.
        let _second = admission.admit(ip("192.0.2.9")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.9")).unwrap_err(), Full::All);
        assert!(is_lost(&many[2]) && !is_lost(&new));
        assert_eq!(admission.count(), 5);
        // Dropping what has lost its place frees no other's.
        drop(many);
        assert_eq!(admission.count(), 4);
    }

    #[test]
    fn nobody_is_kept_out_by_sources_however_many() {
        let admission = Arc::new(Admission::new(4, 2));
        let places: Vec<_> =
            (1..=4).map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap()).collect();
        places[0].speak();
        let _new = admission.admit(ip("10.0.0.9")).unwrap();
        assert_eq!(places.iter().map(is_lost).collect::<Vec<_>>(), [false, true, false, false]);
    }
}
