//! How many connections may be open, in total and for each source, and which one is evicted for another.

use super::stats::RefusalReason;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The limits, and the open connections. A source is remembered only while it has a connection, so the total
/// limit bounds the memory.
///
/// Clients that keep connections open must not lock others out. So a new connection evicts the one that has
/// been silent for longest, of the source with the most connections, if that source has more than the new
/// one's. A source without a connection is therefore always admitted.
#[derive(Debug)]
pub(super) struct ConnectionAdmission {
    open: Mutex<OpenConnections>,
    /// Messages and connections so far: a logical clock.
    clock: AtomicU64,
}

#[derive(Debug)]
struct OpenConnections {
    limit: usize,
    source_limit: usize,
    total: usize,
    of_source: HashMap<Source, Vec<Arc<ConnectionState>>>,
}

#[derive(Debug)]
struct ConnectionState {
    /// The time of its last complete message, or of its admission, by the logical clock.
    active: AtomicU64,
    evicted: Notify,
}

/// What counts as one source: an IPv4 address, or an IPv6 prefix of 64 bits, since a host can use any address
/// of its prefix.
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

/// The slot of one open connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    admission: Arc<ConnectionAdmission>,
    source: Source,
    state: Arc<ConnectionState>,
}

impl ConnectionSlot {
    /// Notes that the connection sent a complete message.
    pub(super) fn touch(&self) {
        self.state.active.store(self.admission.tick(), Ordering::Relaxed);
    }

    /// Waits until the slot is given to another connection.
    pub(super) async fn evicted(&self) {
        self.state.evicted.notified().await;
    }
}

impl ConnectionAdmission {
    pub(super) fn new(limit: usize, source_limit: usize) -> Self {
        let open = OpenConnections { limit, source_limit, total: 0, of_source: HashMap::new() };
        ConnectionAdmission { open: Mutex::new(open), clock: AtomicU64::new(0) }
    }

    /// Changes the limits. Open connections beyond them stay until others come.
    pub(super) fn limit(&self, limit: usize, source_limit: usize) {
        let mut open = self.open();
        (open.limit, open.source_limit) = (limit, source_limit);
    }

    /// The number of open connections.
    pub(super) fn count(&self) -> usize {
        self.open().total
    }

    /// Takes a slot for a connection from `ip`, from another connection if necessary.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionSlot, RefusalReason> {
        let source = Source::from(ip);
        let mut open = self.open();
        let of_source = open.of_source.get(&source).map_or(0, Vec::len);
        if of_source >= open.source_limit {
            return Err(if open.total >= open.limit {
                RefusalReason::Limit
            } else {
                RefusalReason::SourceLimit
            });
        }
        while open.total >= open.limit {
            let evicted = open.evict(of_source).ok_or(RefusalReason::Limit)?;
            evicted.evicted.notify_one();
        }
        let active = AtomicU64::new(self.tick());
        let state = Arc::new(ConnectionState { active, evicted: Notify::new() });
        open.of_source.entry(source).or_default().push(Arc::clone(&state));
        open.total += 1;
        Ok(ConnectionSlot { admission: Arc::clone(self), source, state })
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Removes a connection to admit one of a source that has `held` already. Visits every connection, but only
    /// when the limit is reached.
    fn evict(&mut self, held: usize) -> Option<Arc<ConnectionState>> {
        let larger = self.of_source.iter().filter(|(_, states)| states.len() > held);
        let all = larger.flat_map(|(source, states)| states.iter().map(move |state| (source, states, state)));
        let silent_longest = all
            .max_by_key(|(_, states, state)| (states.len(), Reverse(state.active.load(Ordering::Relaxed))));
        let (source, state) = silent_longest.map(|(source, _, state)| (*source, Arc::clone(state)))?;
        self.remove(&source, &state);
        Some(state)
    }

    /// Removes this connection, if it is still there.
    fn remove(&mut self, source: &Source, state: &Arc<ConnectionState>) {
        let Some(states) = self.of_source.get_mut(source) else { return };
        let Some(index) = states.iter().position(|other| Arc::ptr_eq(other, state)) else { return };
        states.swap_remove(index);
        self.total -= 1;
        if states.is_empty() {
            self.of_source.remove(source);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.admission.open().remove(&self.source, &self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionAdmission, ConnectionSlot, RefusalReason};
    use std::net::IpAddr;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_its_limit_and_a_slot_is_free_again_when_dropped() {
        let admission = Arc::new(ConnectionAdmission::new(10, 2));
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _mapped = admission.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), RefusalReason::SourceLimit);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        drop(first);
        admission.admit(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn changed_limits_hold_for_new_connections() {
        let admission = Arc::new(ConnectionAdmission::new(2, 2));
        let _slots = [1, 2].map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap());
        admission.limit(1, 1);
        assert_eq!(
            (admission.count(), admission.admit(ip("10.0.0.2")).unwrap_err()),
            (2, RefusalReason::Limit)
        );
        admission.limit(4, 1);
        let _third = admission.admit(ip("10.0.0.3")).unwrap();
        assert_eq!(admission.admit(ip("10.0.0.3")).unwrap_err(), RefusalReason::SourceLimit);
        admission.limit(1, 1);
        let _fourth = admission.admit(ip("10.0.0.4")).unwrap();
        assert_eq!(admission.count(), 1, "the next admission enforces the limit");
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_source() {
        let admission = Arc::new(ConnectionAdmission::new(10, 1));
        let _one = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8::ffff:2")).unwrap_err(), RefusalReason::SourceLimit);
        admission.admit(ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn the_total_limit_holds_and_sources_without_connections_are_forgotten() {
        let admission = Arc::new(ConnectionAdmission::new(3, 3));
        let slots: Vec<_> =
            (1..=3).map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap()).collect();
        assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err(), RefusalReason::Limit);
        assert_eq!(admission.open().of_source.len(), 3);
        drop(slots);
        assert_eq!(admission.open().total, 0);
        assert!(admission.open().of_source.is_empty());
    }

    /// Whether the slot was given to another connection.
    fn is_evicted(slot: &ConnectionSlot) -> bool {
        pin!(slot.evicted()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_new_connection_evicts_the_longest_silent_one_of_the_largest_source() {
        let admission = Arc::new(ConnectionAdmission::new(5, 3));
        let few = admission.admit(ip("192.0.2.1")).unwrap();
        let many = [(); 3].map(|()| admission.admit(ip("192.0.2.2")).unwrap());
        let last = admission.admit(ip("192.0.2.3")).unwrap();
        many[0].touch();
        let new = admission.admit(ip("192.0.2.9")).unwrap();
        assert_eq!(
            [&few, &many[0], &many[1], &many[2], &last].map(is_evicted),
            [false, false, true, false, false]
        );
        // A source evicts connections only of one that has more.
        let _second = admission.admit(ip("192.0.2.9")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.9")).unwrap_err(), RefusalReason::Limit);
        assert!(is_evicted(&many[2]) && !is_evicted(&new));
        assert_eq!(admission.count(), 5);
        // Dropping an evicted connection frees no other slot.
        drop(many);
        assert_eq!(admission.count(), 4);
    }

    #[test]
    fn any_number_of_sources_cannot_lock_another_out() {
        let admission = Arc::new(ConnectionAdmission::new(4, 2));
        let slots: Vec<_> =
            (1..=4).map(|last| admission.admit(IpAddr::from([10, 0, 0, last])).unwrap()).collect();
        slots[0].touch();
        let _new = admission.admit(ip("10.0.0.9")).unwrap();
        assert_eq!(slots.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false, false]);
    }
}
