//! What a verb leaves on the machine. Only what the verb itself made counts: its child processes, and
//! namespaces that carry its run in the name. Others may make and delete what they like meanwhile.
//!
//! Interfaces are not looked for: verbs and tests create them in their namespaces, with which they go.

use crate::netns::{belongs_to, names};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// The kernel deletes namespaces and the interfaces in them asynchronously.
const PATIENCE: Duration = Duration::from_secs(5);

/// A check for leftovers that covers everything made after [`Self::watch`].
pub(crate) struct LeftoverCheck {
    /// The process number of this verb.
    run: u32,
    namespaces: BTreeSet<String>,
}

impl LeftoverCheck {
    /// Records what exists already. From here on this process adopts orphans among its descendants, so
    /// that no process that a test starts can escape the check.
    ///
    /// # Errors
    /// `ip` cannot list namespaces.
    pub(crate) fn watch() -> Result<Self> {
        set_child_subreaper(Some(getpid())).context("cannot adopt the processes that tests leave behind")?;
        Ok(LeftoverCheck { run: std::process::id(), namespaces: names()?.into_iter().collect() })
    }

    /// Looks for leftovers, and waits up to 5 s for the kernel to delete them. Kills the processes among
    /// them.
    ///
    /// # Errors
    /// Something is left behind; each is named.
    pub(crate) fn finish(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut left = self.left()?;
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            left = self.left()?;
        }
        for (pid, name) in children()? {
            left.push(format!("process {} ({name})", pid.as_raw_nonzero()));
            // Fails only if the process has ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
        Ok(())
    }

    fn left(&self) -> Result<Vec<String>> {
        Ok(self.judge(&names()?))
    }

    /// The new ones of this run among these namespaces, each as a phrase.
    fn judge<'a>(&self, namespaces: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        namespaces
            .into_iter()
            .filter(|name| !self.namespaces.contains(*name) && belongs_to(name, self.run))
            .map(|name| format!("namespace {name}"))
            .collect()
    }
}

/// Living children of this process, with their names. A compiler's cache server stays on purpose and
/// does not count.
fn children() -> Result<Vec<(Pid, String)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // A process may end between the two readings.
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { continue };
        if let Some((command, "S" | "R" | "D" | "T", parent)) = parse_stat(&stat)
            && parent == getpid().as_raw_nonzero().get()
            && command != "sccache"
        {
            children.push((pid, command.to_owned()));
        }
    }
    Ok(children)
}

/// Command, state and parent in a line of `/proc/<pid>/stat`. The command may contain anything, brackets
/// and spaces too.
fn parse_stat(line: &str) -> Option<(&str, &str, i32)> {
    let (start, rest) = line.rsplit_once(") ")?;
    let (_, command) = start.split_once(" (")?;
    let mut fields = rest.split(' ');
    Some((command, fields.next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{LeftoverCheck, children, parse_stat};
    use std::collections::BTreeSet;
    use std::process::Command;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_what_this_run_made_is_left_behind() {
        let check = LeftoverCheck { run: 4711, namespaces: set(&["xstun-t-1-run4711-0-s"]) };
        let namespaces = set(&[
            "xstun-t-1-run4711-0-s",
            "xstun-t-99-run4711-3-c",
            "xstun-vm-4711-0",
            // Those of others: another run, a test without a verb, other programs.
            "xstun-t-99-run4712-3-c",
            "xstun-t-4711-0-s",
            "xstun-t-99-0-s",
            "xstun-demo-4712-server",
            "ci-4711",
            "blue",
        ]);
        assert_eq!(
            check.judge(&namespaces),
            ["namespace xstun-t-99-run4711-3-c", "namespace xstun-vm-4711-0"]
        );
        assert_eq!(check.judge(&set(&["blue"])), Vec::<String>::new());
    }

    #[test]
    fn a_line_of_stat_is_read_whatever_the_command_is_called() {
        assert_eq!(parse_stat("12 (a) b (c) S 7 12 0\n"), Some(("a) b (c", "S", 7)));
        assert_eq!(parse_stat("12"), None);
    }

    #[test]
    fn a_child_is_found_while_it_runs() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let found =
            children().unwrap().into_iter().any(|(pid, _)| pid.as_raw_nonzero().get() as u32 == child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }
}
