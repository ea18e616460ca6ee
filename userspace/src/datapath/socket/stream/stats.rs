//! Counters of connections.

use crate::stats::{Counter, WorkerStats};
use xstun_core::enumeration;

enumeration! {
    /// Why a connection was closed. Each accepted connection has exactly one reason.
    pub(crate) enum CloseReason {
        /// The peer closed or reset it.
        ByPeer = ("closed_by_peer"),
        /// No complete message came within the idle time.
        Idle = ("closed_idle"),
        /// The peer did not read a reply within the idle time.
        Stalled = ("closed_stalled"),
        /// The peer sent something that is no STUN message, or a malformed one.
        Malformed = ("closed_malformed"),
        /// The limit was reached, and the connection was closed to admit another.
        Evicted = ("closed_evicted"),
        /// The TLS handshake failed.
        HandshakeFailed = ("handshake_failed"),
        /// The TLS handshake took too long.
        HandshakeLate = ("handshake_late"),
        /// The server stops.
        Stopped = ("closed_at_stop"),
    }
    columns {
        /// Metric label.
        name: &'static str,
    }
}

/// Counters of one transport, TCP or TLS. Only the thread of the connections writes them.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Messages, each with one outcome.
    pub messages: WorkerStats,
    /// Accepted connections.
    pub accepted: Counter,
    /// Connections refused because the limit was reached, and no source had more than theirs.
    pub refused_limit: Counter,
    /// Connections refused because their source had reached its limit.
    pub refused_source_limit: Counter,
    /// Connections refused because no client can have their source address or port.
    pub refused_invalid_source: Counter,
    /// Failures of accept(2).
    pub accept_failed: Counter,
    closed: [Counter; CloseReason::COUNT],
}

impl StreamStats {
    /// Counts one closed connection.
    pub(super) fn count_closed(&self, reason: CloseReason) {
        self.closed[reason.index()].add(1);
    }

    /// How many connections were closed for this reason.
    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason.index()].get()
    }

    /// Every count with its name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let connections = [
            ("accepted", self.accepted.get()),
            ("refused_limit", self.refused_limit.get()),
            ("refused_source_limit", self.refused_source_limit.get()),
            ("refused_invalid_source", self.refused_invalid_source.get()),
            ("accept_failed", self.accept_failed.get()),
        ];
        let closed = CloseReason::ALL.into_iter().map(|reason| (reason.name(), self.closed(reason)));
        self.messages.named().chain(connections).chain(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseReason, StreamStats};
    use std::collections::HashSet;

    #[test]
    fn each_reason_has_its_number_and_every_count_its_own_name() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
        let stats = StreamStats::default();
        stats.count_closed(CloseReason::Stalled);
        let named: Vec<_> = stats.named().collect();
        assert!(named.contains(&("closed_stalled", 1)));
        let names: HashSet<_> = named.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), named.len());
    }
}
