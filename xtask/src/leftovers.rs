//! What a run leaves on the machine: namespaces, interfaces and processes must be those of before.

use crate::netns::{is_alive, names};
use crate::run::output;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The kernel takes namespaces and the interfaces in them down in its own time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The namespaces and interfaces at one moment.
pub(crate) struct Before {
    namespaces: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl Before {
    /// Takes stock. From here on, a process whose parent ends becomes this process's child, so that
    /// none that a test starts can be lost from sight.
    pub(crate) fn take() -> Result<Self> {
        set_child_subreaper(Some(getpid())).context("cannot adopt the processes that tests leave behind")?;
        Ok(Before { namespaces: names()?.into_iter().collect(), interfaces: interfaces()? })
    }

    /// Compares with now. Processes that are left are ended.
    ///
    /// # Errors
    /// Something is there that was not; each is named.
    pub(crate) fn compare(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut left = self.left()?;
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            left = self.left()?;
        }
        for (pid, name) in children()? {
            left.push(format!("process {} ({name})", pid.as_raw_nonzero()));
            // One that has ended meanwhile is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        if !left.is_empty() {
            bail!("left behind: {}", left.join(", "));
        }
        Ok(())
    }

    fn left(&self) -> Result<Vec<String>> {
        let namespaces = names()?.into_iter().filter(|name| !self.namespaces.contains(name));
        let new = namespaces.filter(|name| !belongs_to_other(name)).map(|name| format!("namespace {name}"));
        let mut left: Vec<_> = new.collect();
        let interfaces = interfaces()?.into_iter().filter(|name| !self.interfaces.contains(name));
        left.extend(
            interfaces.filter(|name| !belongs_to_other(name)).map(|name| format!("interface {name}")),
        );
        Ok(left)
    }
}

/// Whether the name carries the number of a living process: another run at the same time. All of
/// ours have ended.
fn belongs_to_other(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .any(|pid| pid > 1 && is_alive(pid))
}

fn interfaces() -> Result<BTreeSet<String>> {
    let listed = output(Command::new("ip").args(["-oneline", "link", "show"]))?;
    let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
    Ok(listed.lines().filter_map(name).collect())
}

/// Living children of this process, with their names. A compiler's cache server, which stays on
/// purpose, is none of ours.
fn children() -> Result<Vec<(Pid, String)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // A process that ends while it is looked at is none to report.
        let Ok(status) = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { continue };
        if let Some((command, "S" | "R" | "D" | "T", parent)) = parse_stat(&status)
            && parent == getpid().as_raw_nonzero().get()
            && command != "sccache"
        {
            children.push((pid, command.to_owned()));
        }
    }
    Ok(children)
}

/// Command, state and parent of a line of `/proc/<pid>/stat`. The command may hold anything, brackets
/// and spaces too.
fn parse_stat(line: &str) -> Option<(&str, &str, i32)> {
    let (start, rest) = line.rsplit_once(") ")?;
    let (_, command) = start.split_once(" (")?;
    let mut fields = rest.split(' ');
    Some((command, fields.next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{belongs_to_other, children, parse_stat};
    use std::process::Command;

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

    #[test]
    fn a_name_with_the_number_of_a_living_process_is_somebody_elses() {
        assert!(belongs_to_other(&format!("xs-{}-0", std::process::id())));
        assert!(!belongs_to_other("veth-0"));
    }
}
