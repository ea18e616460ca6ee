//! The line that a person at a terminal sees while a load runs.

use super::board::Counts;
use super::report::per_second;
use std::io::Write;
use std::time::Duration;

/// Goes back to the line's start and wipes it (ECMA-48 EL).
const WIPE: &str = "\r\x1b[K";
/// Places of the bar.
const BAR: usize = 20;

/// One line, written over and over.
pub(super) struct Progress<'a> {
    out: Option<&'a mut dyn Write>,
    last: Counts,
    at: Duration,
}

impl<'a> Progress<'a> {
    /// On a terminal; silent on `None`.
    pub(super) fn new(out: Option<&'a mut dyn Write>) -> Self {
        Progress { out, last: Counts::default(), at: Duration::ZERO }
    }

    /// Begins anew: the next counts start from nothing.
    pub(super) fn begin(&mut self) {
        (self.last, self.at) = (Counts::default(), Duration::ZERO);
    }

    /// Shows what was counted up to `at` of a step that takes `whole`.
    pub(super) fn show(&mut self, what: &str, counts: Counts, at: Duration, whole: Duration) {
        let Some(out) = &mut self.out else { return };
        let since = at.saturating_sub(self.at);
        let rate = per_second(counts.received.saturating_sub(self.last.received), since);
        // Nobody is there to read it if this fails.
        let _ = write!(out, "{WIPE}{}", line(what, counts, rate, at, whole)).and_then(|()| out.flush());
        (self.last, self.at) = (counts, at);
    }

    /// Wipes the line.
    pub(super) fn end(&mut self) {
        if let Some(out) = &mut self.out {
            let _ = write!(out, "{WIPE}").and_then(|()| out.flush());
        }
    }
}

fn line(what: &str, counts: Counts, rate: f64, at: Duration, whole: Duration) -> String {
    let part = at.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    let full = ((part * BAR as f64) as usize).min(BAR);
    let Counts { sent, received, wrong } = counts;
    let loss = 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64;
    let wrong = if wrong > 0 { format!(", {wrong} wrong") } else { String::new() };
    format!(
        "{what} [{}{}] {:.1}/{:.1} s: {sent} sent, {received} received, {rate:.0}/s, {loss:.3} % open{wrong}",
        "#".repeat(full),
        " ".repeat(BAR - full),
        at.as_secs_f64(),
        whole.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::{Counts, Progress};
    use std::time::Duration;

    #[test]
    fn a_terminal_sees_one_line_and_a_file_none() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out));
        let counts = Counts { sent: 1000, received: 990, wrong: 0 };
        progress.show("load", counts, Duration::from_secs(1), Duration::from_secs(4));
        progress.show(
            "load",
            Counts { received: 1390, sent: 1400, wrong: 2 },
            Duration::from_secs(3),
            Duration::from_secs(4),
        );
        progress.end();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\r\x1b[Kload [#####               ] 1.0/4.0 s: 1000 sent, 990 received, 990/s, 1.000 % open\
             \r\x1b[Kload [###############     ] 3.0/4.0 s: 1400 sent, 1390 received, 200/s, 0.714 % open, 2 wrong\
             \r\x1b[K"
        );
        let mut silent = Progress::new(None);
        silent.show("load", counts, Duration::ZERO, Duration::ZERO);
        silent.end();
    }
}
