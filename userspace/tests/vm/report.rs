//! The report to the host.

use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::Mutex;

/// The last panic's message: the panicking thread may be another than the one that runs the check.
static LAST: Mutex<String> = Mutex::new(String::new());

/// The serial port to the host.
pub(crate) struct Report(Mutex<File>);

impl Report {
    /// Opens the file that XSTUN_VM_REPORT names, by default standard output, and records panics from here on.
    pub(crate) fn open() -> Self {
        set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
            let payload = panic.payload();
            let message = payload.downcast_ref::<&str>().copied();
            let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let message = message.unwrap_or("a panic without a message");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            eprintln!("{location}: {message}");
            *LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                format!("{message} ({location})");
        }));
        let path = std::env::var("XSTUN_VM_REPORT").unwrap_or_else(|_| "/dev/stdout".to_owned());
        let file = File::options().append(true).open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Report(Mutex::new(file))
    }

    /// Writes one record as a line.
    pub(crate) fn write(&self, record: &Value) {
        writeln!(self.0.lock().unwrap(), "{record}").expect("the report is writable");
    }

    /// Writes the last record.
    pub(crate) fn end(&self) {
        self.write(&json!({ "end": true }));
    }

    /// Runs a check, which panics if it fails, and writes its result; returns its value, or `None` if it failed.
    pub(crate) fn check<T>(
        &self,
        case: &str,
        asked: &str,
        name: &str,
        check: impl FnOnce() -> (T, String),
    ) -> Option<T> {
        eprintln!("{case}, requested mode {asked}: {name}");
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok((value, summary)) => {
                self.write(&json!({ "case": case, "asked": asked, "check": name, "summary": summary }));
                Some(value)
            }
            Err(_) => {
                let message = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                self.write(&json!({ "case": case, "asked": asked, "check": name, "fault": message }));
                None
            }
        }
    }
}
