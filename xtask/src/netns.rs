//! Network namespaces that live no longer than this program.
//!
//! The name of each says who made it: `xstun-<kind>-<process>-<role>` for one of a verb, and
//! `xstun-t-<process>-run<verb>-...` for one of a test that a verb runs, which gets the verb's process
//! number in [`RUN_VARIABLE`]. So a later run can delete what a killed process left ([`reap`]), and a
//! verb finds what is its own ([`belongs_to`]).

use crate::run::{exec, output};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;

/// Start of every name.
const PROJECT: &str = "xstun-";
/// Environment variable in which a verb passes its process number to the tests that it runs.
pub(crate) const RUN_VARIABLE: &str = "XSTUN_TEST_RUN";

/// A namespace of this process. Drop kills the processes in it and deletes it.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `xstun-<kind>-<process>-<role>`, with its loopback up.
    pub(crate) fn create(kind: &str, role: &str) -> Result<Self> {
        let name = format!("{PROJECT}{kind}-{}-{role}", std::process::id());
        exec(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Namespace { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs the program inside. The kernel kills it when this process dies.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` inside, with arguments separated by spaces.
    pub(crate) fn ip(&self, arguments: &str) -> Result<()> {
        exec(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// Names of all namespaces that `ip netns` knows.
pub(crate) fn names() -> Result<Vec<String>> {
    let listed = output(Command::new("ip").args(["netns", "list"]))?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Deletes the namespaces of this kind whose process no longer runs: it was killed before it could.
pub(crate) fn reap(kind: &str) -> Result<()> {
    for name in names()? {
        if let Some(owner) = owner(&name, kind)
            && !is_alive(owner)
        {
            println!("deleting {name}, left behind by process {owner}");
            delete(&name)?;
        }
    }
    Ok(())
}

/// The process that made this namespace, if it is of this kind.
fn owner(name: &str, kind: &str) -> Option<u32> {
    let rest = name.strip_prefix(PROJECT)?.strip_prefix(kind)?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

/// Whether the verb with this process number made the namespace, or a test that it ran.
pub(crate) fn belongs_to(name: &str, run: u32) -> bool {
    let Some((kind, rest)) = name.strip_prefix(PROJECT).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let mut parts = rest.split('-');
    if kind == "t" {
        parts.nth(1) == Some(&format!("run{run}"))
    } else {
        parts.next() == Some(&run.to_string())
    }
}

/// Whether a process with this number runs.
fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn delete(name: &str) -> Result<()> {
    let inside = output(Command::new("ip").args(["netns", "pids", name]))?;
    for pid in inside.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        // Fails only if the process has ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
    exec(Command::new("ip").args(["netns", "del", name]))
        .with_context(|| format!("namespace {name} is left behind"))
}

#[cfg(test)]
mod tests {
    use super::{belongs_to, owner};

    #[test]
    fn a_name_tells_its_verb() {
        for (name, run, own) in [
            ("xstun-demo-31-server", 31, true),
            ("xstun-vm-31-0", 31, true),
            ("xstun-vm-310-31", 31, false),
            ("xstun-t-7-run31-0-s", 31, true),
            ("xstun-t-31-run7-0-s", 31, false),
            ("xstun-t-31-0-s", 31, false),
            ("xstun-t-31-31-s", 31, false),
            ("other-demo-31-server", 31, false),
            ("xstun", 31, false),
            ("", 31, false),
        ] {
            assert_eq!(belongs_to(name, run), own, "{name}");
        }
    }

    #[test]
    fn a_name_tells_its_process() {
        assert_eq!(owner("xstun-demo-31-server", "demo"), Some(31));
        assert_eq!(owner("xstun-vm-31-0", "vm"), Some(31));
        assert_eq!(owner("xstun-vm-31-0", "demo"), None);
        assert_eq!(owner("xstun-demo-x-server", "demo"), None);
        assert_eq!(owner("blue", "demo"), None);
    }
}
