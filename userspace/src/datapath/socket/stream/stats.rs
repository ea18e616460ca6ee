//! What is counted of connections.

use crate::stats::{Counter, WorkerStats};

/// How a connection ended. Each that was accepted ends in exactly one way.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed or reset it.
    ByPeer,
    /// No whole message came for the idle time.
    Idle,
    /// The peer did not take a reply for the idle time.
    Stalled,
    /// It brought something that is no STUN message, or a malformed one.
    Malformed,
    /// All places were taken, and another connection was given this one's.
    Evicted,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// The TLS handshake took too long.
    HandshakeLate,
    /// The server stops.
    Stopped,
}

impl Ending {
    /// Every ending, in the order of its number.
    pub const ALL: [Ending; 8] = [
        Ending::ByPeer,
        Ending::Idle,
        Ending::Stalled,
        Ending::Malformed,
        Ending::Evicted,
        Ending::HandshakeFailed,
        Ending::HandshakeLate,
        Ending::Stopped,
    ];

    /// Metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Ending::ByPeer => "closed_by_peer",
            Ending::Idle => "closed_idle",
            Ending::Stalled => "closed_stalled",
            Ending::Malformed => "closed_malformed",
            Ending::Evicted => "closed_evicted",
            Ending::HandshakeFailed => "handshake_failed",
            Ending::HandshakeLate => "handshake_late",
            Ending::Stopped => "closed_at_stop",
        }
    }
}

/// What is counted of one transport, TCP or TLS. Its one writer is the thread of the connections.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Messages, each in one outcome.
    pub messages: WorkerStats,
    /// Connections taken on.
    pub accepted: Counter,
    /// Connections refused because there were as many as there may be, and no source had more than theirs.
    pub refused_limit: Counter,
    /// Connections refused because their source had as many as it may have.
    pub refused_source_limit: Counter,
    /// Times that the kernel could not hand a connection over.
    pub accept_failed: Counter,
    endings: [Counter; Ending::ALL.len()],
}

impl StreamStats {
    /// Counts the end of one connection.
    pub(super) fn end(&self, ending: Ending) {
        self.endings[ending as usize].add(1);
    }

    /// How many connections ended so.
    pub fn ended(&self, ending: Ending) -> u64 {
        self.endings[ending as usize].get()
    }

    /// Every count with its name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let connections = [
            ("accepted", self.accepted.get()),
            ("refused_limit", self.refused_limit.get()),
            ("refused_source_limit", self.refused_source_limit.get()),
            ("accept_failed", self.accept_failed.get()),
        ];
        let endings = Ending::ALL.into_iter().map(|ending| (ending.name(), self.ended(ending)));
        self.messages.named().chain(connections).chain(endings)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, StreamStats};
    use std::collections::HashSet;

    #[test]
    fn each_ending_stands_at_its_number_and_every_count_has_a_name_of_its_own() {
        for (index, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, index, "{ending:?}");
        }
        let stats = StreamStats::default();
        stats.end(Ending::Stalled);
        let named: Vec<_> = stats.named().collect();
        assert!(named.contains(&("closed_stalled", 1)));
        let names: HashSet<_> = named.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), named.len());
    }
}
