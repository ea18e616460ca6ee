//! The hand-over: a running server, the predecessor, hands its sockets to a new process, its successor, and
//! exits once that serves.
//!
//! 1. The successor asks to take over; the predecessor sends duplicates of its UDP sockets, listeners and
//!    attachments. From here on both receive from the same queues of the kernel.
//! 2. For each interface the successor replaces the predecessor's XDP program by its own, whose map of
//!    sockets is empty: frames pass to the sockets. The predecessor answers what its queues hold, closes
//!    them and confirms; the successor binds the queues and enters them into its map.
//! 3. The successor reports that it serves; the predecessor confirms, stops receiving, and exits when its
//!    connections have ended.
//!
//! Should the successor end before step 3, the predecessor restores its programs and goes on. No timeout
//! abandons a successor: only one of the two may believe that it serves.

mod predecessor;
mod successor;

pub(super) use predecessor::hand_over;
pub(super) use successor::TakeOver;

use super::request::ControlRequest;

/// How far a successor is in taking over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HandOver {
    /// There is no successor.
    #[default]
    None,
    /// A successor has duplicates of everything that this server serves with, and may come to serve.
    Begun,
    /// The successor serves; only open connections are left here.
    Done,
}

impl HandOver {
    /// Returns the state after `request`.
    ///
    /// # Errors
    /// Why this state refuses it.
    pub(super) fn after(self, request: &ControlRequest) -> Result<HandOver, &'static str> {
        use ControlRequest::{Abandon, Complete, Drain, Release, TakeOver};
        match (self, request) {
            (HandOver::None, TakeOver(_)) => Ok(HandOver::Begun),
            (HandOver::Begun, Release(..)) => Ok(HandOver::Begun),
            (HandOver::Begun, Complete) => Ok(HandOver::Done),
            (HandOver::Begun, Abandon) => Ok(HandOver::None),
            (state, Drain(_)) => Ok(state),
            (HandOver::None, Release(..) | Complete | Abandon) => Err("no server is taking over from it"),
            (HandOver::Begun, TakeOver(_)) => Err("another server is taking over from it"),
            // Sent to a socket that the successor's has replaced in the file system.
            (HandOver::Done, _) => Err("another server has taken over from it"),
        }
    }

    /// Whether the configuration may be reloaded. A successor shares the sockets, which a reload could close
    /// to datagrams for good; and systemd forbids READY after STOPPING.
    pub(super) fn may_reload(self) -> bool {
        self == HandOver::None
    }

    /// Whether the successor serves.
    pub(super) fn is_done(self) -> bool {
        self == HandOver::Done
    }
}

#[cfg(test)]
mod tests {
    use super::HandOver::{self, Begun, Done, None};
    use crate::control::request::ControlRequest;
    use std::sync::mpsc::sync_channel;

    fn requests() -> [(&'static str, ControlRequest); 5] {
        [
            ("take over", ControlRequest::TakeOver(sync_channel(1).0)),
            ("release", ControlRequest::Release(7, sync_channel(1).0)),
            ("complete", ControlRequest::Complete),
            ("abandon", ControlRequest::Abandon),
            ("drain", ControlRequest::Drain(sync_channel(1).0)),
        ]
    }

    #[test]
    fn every_state_accepts_or_refuses_every_request() {
        let table: [(HandOver, [Option<HandOver>; 5]); 3] = [
            (None, [Some(Begun), Option::None, Option::None, Option::None, Some(None)]),
            (Begun, [Option::None, Some(Begun), Some(Done), Some(None), Some(Begun)]),
            (Done, [Option::None, Option::None, Option::None, Option::None, Some(Done)]),
        ];
        for (state, expected) in table {
            for ((name, request), next) in requests().iter().zip(expected) {
                assert_eq!(state.after(request).ok(), next, "{name} in {state:?}");
            }
        }
    }

    #[test]
    fn only_a_server_without_a_successor_reloads() {
        assert_eq!([None, Begun, Done].map(HandOver::may_reload), [true, false, false]);
        assert_eq!([None, Begun, Done].map(HandOver::is_done), [false, false, true]);
    }
}
