//! What is told to the machine outside.

use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::Mutex;

/// The last panic's words: the thread that panics need not be the one that runs the check.
static LAST: Mutex<String> = Mutex::new(String::new());

/// The line to the outside.
pub(crate) struct Report(Mutex<File>);

impl Report {
    /// Opens the line that the environment names, standard output where it names none, and has panics
    /// kept for it.
    pub(crate) fn open() -> Self {
        set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
            let payload = panic.payload();
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let said = said.unwrap_or("a panic without words");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            eprintln!("{place}: {said}");
            *LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = format!("{said} ({place})");
        }));
        let path = std::env::var("XSTUN_VM_REPORT").unwrap_or_else(|_| "/dev/stdout".to_owned());
        let file = File::options().append(true).open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Report(Mutex::new(file))
    }

    /// One line.
    pub(crate) fn tell(&self, record: &Value) {
        writeln!(self.0.lock().unwrap(), "{record}").expect("the line to the outside stands");
    }

    /// All was done.
    pub(crate) fn end(&self) {
        self.tell(&json!({ "end": true }));
    }

    /// Runs a check, which panics to say no, and tells what came of it; gives what it gave.
    pub(crate) fn check<T>(
        &self,
        case: &str,
        asked: &str,
        name: &str,
        check: impl FnOnce() -> (T, String),
    ) -> Option<T> {
        eprintln!("{case}, asked for {asked}: {name}");
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok((value, told)) => {
                self.tell(&json!({ "case": case, "asked": asked, "check": name, "told": told }));
                Some(value)
            }
            Err(_) => {
                let said = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                self.tell(&json!({ "case": case, "asked": asked, "check": name, "fault": said }));
                None
            }
        }
    }
}
