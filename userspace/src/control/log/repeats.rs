//! A warning that repeats is logged once, and then once per window with the number of its repeats.

use super::LogLine;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How long the same line is not logged again.
const WINDOW: Duration = Duration::from_secs(60);
/// Most lines that are remembered at a time. Further ones are logged each time; none is lost.
const LINES: usize = 64;
/// Target of the events that report repeats.
const TARGET: &str = "xstun::repeats";

/// Lines logged lately. There is one log in a process.
static RECENT: Mutex<RecentLines> = Mutex::new(RecentLines(Vec::new()));

/// Passes the same warning or error once per window. One that is about a signal of the operator always passes.
pub(super) struct RepeatFilter;

impl<S> Filter<S> for RepeatFilter {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::WARN || event.metadata().target() == TARGET {
            return true;
        }
        let mut line = LogLine::default();
        event.record(&mut line);
        line.is_about_signal || recent().admit(level, line.text(), Instant::now())
    }
}

/// Logs the lines that repeated in a window that has ended. Must be called regularly.
pub(crate) fn report_repeats() {
    // The lock is released before logging, which takes it again.
    let repeated = recent().ended(Instant::now());
    for RecentLine { level, text, more, .. } in repeated {
        let seconds = WINDOW.as_secs();
        if level == Level::ERROR {
            tracing::error!(target: TARGET, more, seconds, "repeated: {text}");
        } else {
            tracing::warn!(target: TARGET, more, seconds, "repeated: {text}");
        }
    }
}

fn recent() -> MutexGuard<'static, RecentLines> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

struct RecentLines(Vec<RecentLine>);

struct RecentLine {
    level: Level,
    text: String,
    /// When its window began.
    since: Instant,
    /// How often it repeated in the window.
    more: u64,
}

impl RecentLines {
    /// Returns whether the line is to be logged now.
    fn admit(&mut self, level: Level, text: String, now: Instant) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| known.level == level && known.text == text) {
            known.more += 1;
            return false;
        }
        if self.0.len() < LINES {
            self.0.push(RecentLine { level, text, since: now, more: 0 });
        }
        true
    }

    /// Returns the lines that repeated in a window that has ended. They get another window; the others are
    /// forgotten.
    fn ended(&mut self, now: Instant) -> Vec<RecentLine> {
        let over = |known: &RecentLine| now.saturating_duration_since(known.since) >= WINDOW;
        self.0.retain(|known| !over(known) || known.more > 0);
        let mut repeated = Vec::new();
        for known in self.0.iter_mut().filter(|known| over(known)) {
            let more = std::mem::take(&mut known.more);
            known.since = now;
            repeated.push(RecentLine { level: known.level, text: known.text.clone(), since: now, more });
        }
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES, RecentLine, RecentLines, WINDOW};
    use std::time::{Duration, Instant};
    use tracing::Level;

    fn repeats(repeated: Vec<RecentLine>) -> Vec<(String, u64)> {
        repeated.into_iter().map(|known| (known.text, known.more)).collect()
    }

    #[test]
    fn a_line_is_logged_once_per_window_with_its_number() {
        let mut lines = RecentLines(Vec::new());
        let start = Instant::now();
        assert!(lines.admit(Level::WARN, "a".into(), start));
        assert!(lines.admit(Level::WARN, "b".into(), start));
        assert!(lines.admit(Level::ERROR, "a".into(), start), "another level makes another line");
        for second in 1..40 {
            assert!(!lines.admit(Level::WARN, "a".into(), start + Duration::from_secs(second)));
        }
        assert!(lines.ended(start + WINDOW / 2).is_empty());
        assert_eq!(repeats(lines.ended(start + WINDOW)), [("a".to_owned(), 39)]);
        assert!(lines.admit(Level::WARN, "b".into(), start + WINDOW), "a line without repeats is forgotten");
        assert!(
            !lines.admit(Level::WARN, "a".into(), start + WINDOW),
            "a line with repeats gets another window"
        );
        assert_eq!(repeats(lines.ended(start + WINDOW * 2)), [("a".to_owned(), 1)]);
        assert!(lines.ended(start + WINDOW * 3).is_empty());
        assert!(lines.0.is_empty());
    }

    #[test]
    fn a_flood_of_different_lines_is_logged_and_takes_no_more_memory() {
        let mut lines = RecentLines(Vec::new());
        let start = Instant::now();
        assert!((0..10 * LINES).all(|number| lines.admit(Level::WARN, number.to_string(), start)));
        assert_eq!(lines.0.len(), LINES);
    }
}
