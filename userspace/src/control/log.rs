//! The log: on standard error, as text or JSON.

use crate::cli::{LogFormat, LogLevel};
use std::io::IsTerminal as _;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log. To be called once.
pub fn start(level: LogLevel, format: LogFormat, xdp_log: bool) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // The XDP program's lines are at debug level: who asks for them wants to see them.
    let level = if xdp_log { level.max(Level::DEBUG) } else { level };
    let format_layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let format_layer = match format {
        LogFormat::Text => format_layer.boxed(),
        LogFormat::Json => format_layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // The loader tells of each relocation at debug level, which buries what the operator asked for.
    let filter = Targets::new()
        .with_default(level)
        .with_target("aya", Level::WARN)
        .with_target("aya_obj", Level::WARN);
    tracing_subscriber::registry().with(format_layer.with_filter(filter)).init();
}
