//! Counters of connections.

use crate::stats::{Counter, WorkerStats, named_counters};
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

enumeration! {
    /// Why a connection was reset at once.
    pub(crate) enum RefusalReason {
        /// The limit was reached, and no source had more connections than this one.
        Limit = ("limit", "refused_limit"),
        /// The source had reached its limit.
        SourceLimit = ("source_limit", "refused_source_limit"),
        /// No client can have the source address or port.
        InvalidSource = ("invalid_source", "refused_invalid_source"),
    }
    columns {
        /// Metric label.
        name: &'static str,
        /// Name of its counter.
        counter: &'static str,
    }
}

/// Counters of one transport, TCP or TLS. Only the thread of the connections writes them.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Messages, each with one outcome.
    pub messages: WorkerStats,
    /// Accepted connections.
    pub accepted: Counter,
    /// Failures of accept(2).
    pub accept_failed: Counter,
    refused: [Counter; RefusalReason::COUNT],
    closed: [Counter; CloseReason::COUNT],
}

impl StreamStats {
    /// Counts one refused connection.
    pub(super) fn count_refused(&self, reason: RefusalReason) {
        self.refused[reason.index()].add(1);
    }

    /// How many connections were refused for this reason.
    pub(crate) fn refused(&self, reason: RefusalReason) -> u64 {
        self.refused[reason.index()].get()
    }

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
        let accepted = named_counters!(self, accepted);
        let refused = RefusalReason::ALL.into_iter().map(|reason| (reason.counter(), self.refused(reason)));
        let failed = named_counters!(self, accept_failed);
        let closed = CloseReason::ALL.into_iter().map(|reason| (reason.name(), self.closed(reason)));
        self.messages.named().chain(accepted).chain(refused).chain(failed).chain(closed)
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
