//! Child processes, awaited with a time limit and until interruption.

use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Interval at which a waiting loop polls.
const TICK: Duration = Duration::from_millis(20);

/// A child process. Drop kills it and waits for it.
pub(crate) struct ChildGuard(pub(crate) Child);

impl ChildGuard {
    /// Waits until the child exits.
    ///
    /// # Errors
    /// It did not exit within `limit`, or the verb was interrupted; the child still runs then.
    pub(crate) fn wait(&mut self, limit: Duration, interrupt: &Interrupt) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            interrupt.check()?;
            if Instant::now() > deadline {
                bail!("did not exit within {} s", limit.as_secs());
            }
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Both fail only for a child that has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a child printed, and its exit status.
pub(crate) struct CapturedOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command until it exits, and returns what it printed.
///
/// # Errors
/// It cannot be started, does not exit within `limit` (the error shows its output so far), or the verb
/// was interrupted.
pub(crate) fn capture(
    command: &mut Command,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<CapturedOutput> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run `{}`", shown(command)))?;
    let stdout = follow(child.stdout.take());
    let stderr = follow(child.stderr.take());
    let mut child = ChildGuard(child);
    let ended = child.wait(limit, interrupt);
    drop(child);
    let (stdout, stderr) = (text(stdout), text(stderr));
    match ended {
        Ok(status) => Ok(CapturedOutput { status, stdout, stderr }),
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

impl CapturedOutput {
    /// Everything that it printed, on one line, for an error.
    pub(crate) fn printed(&self) -> String {
        one_line(&self.stdout, &self.stderr)
    }
}

fn follow(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // On a broken pipe, what was read so far is all there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
