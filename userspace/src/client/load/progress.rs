//! The progress line on the terminal while a load runs.

use super::report::per_second;
use super::tracker::StepCounts;
use std::io::Write;
use std::time::Duration;

/// Returns to the start of the line and erases it (ECMA-48 EL).
const ERASE: &str = "\r\x1b[K";
/// Width of the bar, in characters.
const BAR: usize = 20;

/// One line, rewritten in place.
pub(super) struct ProgressLine<'a> {
    out: Option<&'a mut dyn Write>,
    last: StepCounts,
    at: Duration,
}

impl<'a> ProgressLine<'a> {
    /// Returns a line on a terminal; `None` shows nothing.
    pub(super) fn new(out: Option<&'a mut dyn Write>) -> Self {
        ProgressLine { out, last: StepCounts::default(), at: Duration::ZERO }
    }

    /// Begins a step, whose counts start from 0.
    pub(super) fn begin_step(&mut self) {
        (self.last, self.at) = (StepCounts::default(), Duration::ZERO);
    }

    /// Shows the counts at time `at` of a step that takes `whole`.
    pub(super) fn show(&mut self, what: &str, counts: StepCounts, at: Duration, whole: Duration) {
        let Some(out) = &mut self.out else { return };
        let since = at.saturating_sub(self.at);
        let rate = per_second(counts.received.saturating_sub(self.last.received), since);
        // An error means that the terminal is gone.
        let _ = write!(out, "{ERASE}{}", line(what, counts, rate, at, whole)).and_then(|()| out.flush());
        (self.last, self.at) = (counts, at);
    }

    /// Erases the line.
    pub(super) fn erase(&mut self) {
        if let Some(out) = &mut self.out {
            let _ = write!(out, "{ERASE}").and_then(|()| out.flush());
        }
    }
}

fn line(what: &str, counts: StepCounts, rate: f64, at: Duration, whole: Duration) -> String {
    let fraction = at.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    let full = ((fraction * BAR as f64) as usize).min(BAR);
    let StepCounts { sent, received, wrong } = counts;
    let unanswered = 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64;
    let wrong = if wrong > 0 { format!(", {wrong} wrong") } else { String::new() };
    format!(
        "{what} [{}{}] {:.1}/{:.1} s: {sent} sent, {received} received, {rate:.0}/s, {unanswered:.3} % unanswered{wrong}",
        "#".repeat(full),
        " ".repeat(BAR - full),
        at.as_secs_f64(),
        whole.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::{ProgressLine, StepCounts};
    use std::time::Duration;

    #[test]
    fn a_terminal_shows_one_line_and_a_file_none() {
        let mut out = Vec::new();
        let mut progress = ProgressLine::new(Some(&mut out));
        let counts = StepCounts { sent: 1000, received: 990, wrong: 0 };
        progress.show("load", counts, Duration::from_secs(1), Duration::from_secs(4));
        progress.show(
            "load",
            StepCounts { received: 1390, sent: 1400, wrong: 2 },
            Duration::from_secs(3),
            Duration::from_secs(4),
        );
        progress.erase();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\r\x1b[Kload [#####               ] 1.0/4.0 s: 1000 sent, 990 received, 990/s, 1.000 % unanswered\
             \r\x1b[Kload [###############     ] 3.0/4.0 s: 1400 sent, 1390 received, 200/s, 0.714 % unanswered, 2 wrong\
             \r\x1b[K"
        );
        let mut silent = ProgressLine::new(None);
        silent.show("load", counts, Duration::ZERO, Duration::ZERO);
        silent.erase();
    }
}
