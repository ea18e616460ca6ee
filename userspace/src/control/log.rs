//! The log: on standard error as text or JSON, or sent to journald.

mod journal;
mod repeats;

pub use repeats::tell_repeats;

use crate::cli::{LogFormat, LogLevel};
use crate::error::Result;
use journal::Journal;
use repeats::Repeats;
use std::fmt::{Debug, Write as _};
use std::io::IsTerminal as _;
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The running log.
pub struct Log(Handle<Targets, Registry>);

impl Log {
    /// Sets another level from here on.
    pub(super) fn set_level(&self, level: LogLevel, xdp_log: bool) {
        // Fails only when the log itself is gone.
        let _ = self.0.reload(filter(level, xdp_log));
    }
}

fn filter(level: LogLevel, xdp_log: bool) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // The XDP program's lines are at debug level: who asks for them wants to see them.
    let level = if xdp_log { level.max(Level::DEBUG) } else { level };
    // The loader tells of each relocation at debug level, which buries what the operator asked for.
    Targets::new().with_default(level).with_target("aya", Level::WARN).with_target("aya_obj", Level::WARN)
}

/// Starts the log. To be called once.
///
/// # Errors
/// journald is asked for and does not listen.
pub fn start(level: LogLevel, format: LogFormat, xdp_log: bool) -> Result<Log> {
    let format_layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let format_layer = match format {
        LogFormat::Text => format_layer.boxed(),
        LogFormat::Json => format_layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Journald => Journal::open()?.boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(level, xdp_log));
    tracing_subscriber::registry().with(format_layer.with_filter(filter.and(Repeats))).init();
    Ok(Log(handle))
}

/// An event as one line of text: its message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    /// Whether a signal brought it about.
    answers_an_order: bool,
}

impl Line {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            // What the log crate's events carry beside their message.
            name if name.contains('.') => {}
            name => {
                self.answers_an_order |= name == "signal";
                // Writing to a string does not fail.
                let _ = write!(self.fields, " {name}={value}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
