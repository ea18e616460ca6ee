//! The log: text or JSON on standard error, or entries sent to journald.

mod journald;
mod repeats;

pub(crate) use repeats::report_repeats;

use crate::cli::{LogFormat, LogLevel};
use crate::error::Result;
use journald::Journald;
use repeats::RepeatFilter;
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
    /// Sets the level from here on.
    pub(super) fn set_level(&self, level: LogLevel, xdp_log: bool) {
        // Fails only if the log itself is gone.
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
    // The lines of the XDP program are at debug level, and --xdp-log asks for them.
    let level = if xdp_log { level.max(Level::DEBUG) } else { level };
    // The BPF loader logs each relocation at debug level, which would bury the lines that matter.
    Targets::new().with_default(level).with_target("aya", Level::WARN).with_target("aya_obj", Level::WARN)
}

/// Starts the log; must be called only once.
///
/// # Errors
/// System: `format` is journald, which does not listen.
pub fn start(level: LogLevel, format: LogFormat, xdp_log: bool) -> Result<Log> {
    let format_layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let format_layer = match format {
        LogFormat::Text => format_layer.boxed(),
        LogFormat::Json => format_layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Journald => Journald::open()?.boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(level, xdp_log));
    tracing_subscriber::registry().with(format_layer.with_filter(filter.and(RepeatFilter))).init();
    Ok(Log(handle))
}

/// An event as one line of text: its message, then its fields.
#[derive(Default)]
struct LogLine {
    message: String,
    fields: String,
    /// Whether it is about a signal of the operator: it has a field `signal`.
    is_about_signal: bool,
}

impl LogLine {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for LogLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            // Fields of events from the log crate have a dot in their name.
            name if name.contains('.') => {}
            name => {
                self.is_about_signal |= name == "signal";
                // Writing to a string does not fail.
                let _ = write!(self.fields, " {name}={value}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
