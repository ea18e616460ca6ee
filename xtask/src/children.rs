//! Child processes that are waited for with an eye on the clock and on interruption.

use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a waiting loop looks.
const TICK: Duration = Duration::from_millis(20);

/// A child that is killed, and waited for, when it is dropped.
pub(crate) struct Guarded(pub(crate) Child);

impl Guarded {
    /// Waits for the child's end.
    ///
    /// # Errors
    /// It did not end in time, or somebody interrupted; the child still runs then.
    pub(crate) fn wait(&mut self, limit: Duration, interrupt: &Interrupt) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            interrupt.check()?;
            if Instant::now() > deadline {
                bail!("did not end within {} s", limit.as_secs());
            }
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a child printed, and how it ended.
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command to its end and keeps what it prints.
///
/// # Errors
/// It could not be started, did not end in time (its output so far is part of the error), or
/// somebody interrupted.
pub(crate) fn capture(command: &mut Command, limit: Duration, interrupt: &Interrupt) -> Result<Captured> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run `{}`", shown(command)))?;
    let stdout = follow(child.stdout.take());
    let stderr = follow(child.stderr.take());
    let mut child = Guarded(child);
    let ended = child.wait(limit, interrupt);
    drop(child);
    let (stdout, stderr) = (text(stdout), text(stderr));
    match ended {
        Ok(status) => Ok(Captured { status, stdout, stderr }),
        Err(error) => {
            Err(error.context(format!("`{}` (it printed: {})", shown(command), one_line(&stdout, &stderr))))
        }
    }
}

fn one_line(stdout: &str, stderr: &str) -> String {
    let lines: Vec<_> =
        stdout.lines().chain(stderr.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
}

impl Captured {
    /// Everything that was printed, on one line, for an error.
    pub(crate) fn told(&self) -> String {
        one_line(&self.stdout, &self.stderr)
    }
}

fn follow(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has told all that it will.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
