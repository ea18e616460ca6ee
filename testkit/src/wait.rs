//! Waits that take neither a signal nor a slow machine for a result.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest wait for what has to come; generous, since nothing is timed.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `call` until no signal interrupts it.
///
/// A call that waits on a socket with a time limit fails with EINTR whenever the process is stopped and continued
/// (signal(7)), as by a debugger or when a virtual machine is paused; the standard library passes that on.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Calls `receive`, which waits on a socket for at most the socket's time limit; `None` if nothing came in time.
///
/// # Panics
/// It fails for another reason.
pub fn received<T>(receive: impl FnMut() -> io::Result<T>) -> Option<T> {
    match uninterrupted(receive) {
        Ok(received) => Some(received),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
        Err(error) => panic!("cannot receive: {error}"),
    }
}

/// Looks again and again until there is something, and returns it.
///
/// # Panics
/// There is nothing within [`LIMIT`]; the message names `what`.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain for {what}", LIMIT.as_secs());
        sleep(PAUSE);
    }
}

/// Looks again and again until `holds` does.
///
/// # Panics
/// It does not within [`LIMIT`]; the message names `what`.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}
