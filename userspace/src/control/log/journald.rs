//! The native protocol of journald: one datagram per event, each field of the event a field of the entry, so
//! that `journalctl XSTUN_INTERFACE=eth0` finds it.

use crate::error::{Failure, Result};
use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Most bytes of a value that are sent. More would need a sealed memfd instead of a datagram; no log line comes
/// near it.
const LONGEST: usize = 16 << 10;

/// Sends events to journald.
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journald {
    /// Checks that journald listens.
    ///
    /// # Errors
    /// System: it does not.
    pub(super) fn open() -> Result<Self> {
        Self::at(SOCKET.into()).map_err(|error| {
            Failure::system(format!("cannot reach journald at {SOCKET} (--log-format journald)"))
                .of_value("--log-format", "journald")
                .because(error)
                .remedy("use --log-format text or json, which write to standard error")
        })
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(&path)?;
        // Not connected, so that a journald that restarts is found again. Nonblocking, so that a journald that
        // does not read cannot block the control loop.
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Journald { socket, path })
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = entry(event);
        // A failure cannot be logged anywhere else.
        let _ = self.socket.send_to(&entry, &self.path);
    }
}

/// Returns the event as an entry. MESSAGE is the whole line, since `journalctl` shows only that by default.
fn entry(event: &Event<'_>) -> Vec<u8> {
    let mut line = super::LogLine::default();
    event.record(&mut line);
    let mut fields = Fields(Vec::new());
    fields.add("MESSAGE", &line.text());
    fields.add("PRIORITY", priority(*event.metadata().level()));
    fields.add("SYSLOG_IDENTIFIER", "xstun");
    event.record(&mut fields);
    fields.0
}

/// Returns the priority of syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        let mut end = value.len().min(LONGEST);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let value = &value[..end];
        self.0.extend_from_slice(name.as_bytes());
        // A value of several lines is preceded by its length.
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Fields of events from the log crate have a dot in their name.
        if field.name() != "message" && !field.name().contains('.') {
            self.add(&format!("XSTUN_{}", field.name().to_ascii_uppercase()), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Journald, LONGEST};
    use std::os::unix::net::UnixDatagram;
    use tracing_subscriber::layer::SubscriberExt as _;
    use xstun_testkit::wait::{LIMIT, uninterrupted};

    #[test]
    fn an_event_is_one_entry_with_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        journald.set_read_timeout(Some(LIMIT)).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journald::at(path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(interface = "eth0", queues = 4, "two\nlines");
        });
        let mut buffer = [0; 4096];
        let length = uninterrupted(|| journald.recv(&mut buffer)).expect("an entry comes");
        let message = "two\nlines interface=eth0 queues=4";
        let mut expected = b"MESSAGE\n".to_vec();
        expected.extend_from_slice(&(message.len() as u64).to_le_bytes());
        expected.extend_from_slice(message.as_bytes());
        expected.extend_from_slice(
            b"\nPRIORITY=4\nSYSLOG_IDENTIFIER=xstun\nXSTUN_INTERFACE=eth0\nXSTUN_QUEUES=4\n",
        );
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn a_missing_journald_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Journald::at(directory.path().join("journal")).is_err());
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        let mut fields = Fields(Vec::new());
        fields.add("A", &"é".repeat(LONGEST));
        assert_eq!(fields.0.len(), "A=\n".len() + LONGEST);
        let odd = format!("x{}", "é".repeat(LONGEST));
        let mut fields = Fields(Vec::new());
        fields.add("A", &odd);
        assert_eq!(fields.0.len(), "A=\n".len() + LONGEST - 1);
    }
}
