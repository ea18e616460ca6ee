//! When a request over UDP is sent again, and when the client gives up (RFC 8489 §6.2.1).

use std::time::Duration;

/// Retransmission timeout: the wait after the first request; it doubles after each.
const RTO: Duration = Duration::from_millis(500);
/// Requests sent altogether.
const RC: u32 = 7;
/// The wait after the last request, in multiples of RTO.
const RM: u32 = 16;

/// The times at which the requests of one transaction are due, counted from its start.
pub(super) struct Retransmissions {
    due: Vec<Duration>,
    /// When the client gives up.
    pub(super) give_up: Duration,
}

/// What to do next in a transaction.
pub(super) enum NextAction {
    /// Send the request (again).
    Send,
    /// Wait at most this long for a reply.
    Wait(Duration),
    /// Give up.
    GiveUp,
}

impl Retransmissions {
    /// The schedule of RFC 8489, cut off at `timeout` if that is set.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let mut due: Vec<_> = (0..RC).map(|doublings| RTO * ((1 << doublings) - 1)).collect();
        let give_up = timeout.unwrap_or(due[due.len() - 1] + RTO * RM);
        due.retain(|due| *due < give_up);
        Retransmissions { due, give_up }
    }

    /// What to do after `sent` requests, `elapsed` after the start.
    pub(super) fn next(&self, sent: u32, elapsed: Duration) -> NextAction {
        if elapsed >= self.give_up {
            return NextAction::GiveUp;
        }
        let next = self.due.get(sent as usize).copied().unwrap_or(self.give_up);
        if elapsed >= next { NextAction::Send } else { NextAction::Wait(next - elapsed) }
    }
}

#[cfg(test)]
mod tests {
    use super::{NextAction, Retransmissions};
    use std::time::Duration;

    #[test]
    fn requests_are_due_as_the_rfc_says() {
        let Retransmissions { due, give_up } = Retransmissions::new(None);
        let due: Vec<_> = due.iter().map(Duration::as_millis).collect();
        assert_eq!(due, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(give_up.as_millis(), 39_500);
        let Retransmissions { due, give_up } = Retransmissions::new(Some(Duration::from_millis(1_500)));
        assert_eq!((due.len(), give_up.as_millis()), (2, 1_500));
        assert_eq!(Retransmissions::new(Some(Duration::from_secs(60))).due.len(), 7);
    }

    #[test]
    fn the_client_sends_then_waits_then_gives_up() {
        let schedule = Retransmissions::new(Some(Duration::from_millis(600)));
        let next = |sent, milliseconds| match schedule.next(sent, Duration::from_millis(milliseconds)) {
            NextAction::Send => "send".to_owned(),
            NextAction::Wait(time) => format!("wait {}", time.as_millis()),
            NextAction::GiveUp => "give up".to_owned(),
        };
        assert_eq!(next(0, 0), "send");
        assert_eq!(next(1, 100), "wait 400");
        assert_eq!(next(1, 500), "send");
        assert_eq!(next(2, 550), "wait 50");
        assert_eq!(next(2, 600), "give up");
    }
}
