//! A warning that comes again and again is told once, and then once a window with its number.

use super::Line;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// How long the same line is not told again.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines that are remembered at a time. Further ones are told each time: none is lost for want of room.
const LINES: usize = 64;
/// Marks the events that tell how often a line came.
const TARGET: &str = "xstun::repeats";

/// Lines told of late. There is one log in a process.
static BOOK: Mutex<Book> = Mutex::new(Book(Vec::new()));

/// Lets a warning or an error through once a window. What answers an order of the operator's (it has a
/// field `signal`) always goes through.
pub(super) struct Repeats;

impl<S> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::WARN || event.metadata().target() == TARGET {
            return true;
        }
        let mut line = Line::default();
        event.record(&mut line);
        line.answers_an_order || book().admit(level, line.text(), Instant::now())
    }
}

/// Tells of lines that came again in the window that has ended. To be called now and then.
pub fn tell_repeats() {
    // Not while telling, which asks the book.
    let repeated = book().ended(Instant::now());
    for Known { level, text, more, .. } in repeated {
        let seconds = WINDOW.as_secs();
        if level == Level::ERROR {
            tracing::error!(target: TARGET, more, seconds, "again: {text}");
        } else {
            tracing::warn!(target: TARGET, more, seconds, "again: {text}");
        }
    }
}

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Book(Vec<Known>);

struct Known {
    level: Level,
    text: String,
    /// When its window began.
    since: Instant,
    /// How often it came in the window beside the first time.
    more: u64,
}

impl Book {
    /// Whether the line is to be told now.
    fn admit(&mut self, level: Level, text: String, now: Instant) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| known.level == level && known.text == text) {
            known.more += 1;
            return false;
        }
        if self.0.len() < LINES {
            self.0.push(Known { level, text, since: now, more: 0 });
        }
        true
    }

    /// The lines whose window has ended and that came again in it. Those that did are watched for
    /// another window, the others forgotten.
    fn ended(&mut self, now: Instant) -> Vec<Known> {
        let over = |known: &Known| now.saturating_duration_since(known.since) >= WINDOW;
        self.0.retain(|known| !over(known) || known.more > 0);
        let mut repeated = Vec::new();
        for known in self.0.iter_mut().filter(|known| over(known)) {
            let more = std::mem::take(&mut known.more);
            known.since = now;
            repeated.push(Known { level: known.level, text: known.text.clone(), since: now, more });
        }
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, Known, LINES, WINDOW};
    use std::time::{Duration, Instant};
    use tracing::Level;

    fn told(repeated: Vec<Known>) -> Vec<(String, u64)> {
        repeated.into_iter().map(|known| (known.text, known.more)).collect()
    }

    #[test]
    fn a_line_is_told_once_a_window_with_its_number() {
        let mut book = Book(Vec::new());
        let start = Instant::now();
        assert!(book.admit(Level::WARN, "a".into(), start));
        assert!(book.admit(Level::WARN, "b".into(), start));
        assert!(book.admit(Level::ERROR, "a".into(), start), "of another level is another line");
        for second in 1..40 {
            assert!(!book.admit(Level::WARN, "a".into(), start + Duration::from_secs(second)));
        }
        assert!(book.ended(start + WINDOW / 2).is_empty());
        assert_eq!(told(book.ended(start + WINDOW)), [("a".to_owned(), 39)]);
        assert!(book.admit(Level::WARN, "b".into(), start + WINDOW), "what came once is forgotten");
        assert!(!book.admit(Level::WARN, "a".into(), start + WINDOW), "what came often is watched on");
        assert_eq!(told(book.ended(start + WINDOW * 2)), [("a".to_owned(), 1)]);
        assert!(book.ended(start + WINDOW * 3).is_empty());
        assert!(book.0.is_empty());
    }

    #[test]
    fn a_flood_of_different_lines_is_told_and_takes_no_more_room() {
        let mut book = Book(Vec::new());
        let start = Instant::now();
        assert!((0..10 * LINES).all(|number| book.admit(Level::WARN, number.to_string(), start)));
        assert_eq!(book.0.len(), LINES);
    }
}
