//! Network namespaces that go away with this program.

use crate::run::{exec, output};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;

/// A namespace of this process, deleted on drop with all that runs in it.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `<prefix><pid>-<role>`, with its loopback up.
    pub(crate) fn create(prefix: &str, role: &str) -> Result<Self> {
        let name = format!("{prefix}{}-{role}", std::process::id());
        exec(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Namespace { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs the program inside. It is killed when this process dies, however that
    /// comes about.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` inside with arguments that are separated by spaces.
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

/// Deletes the namespaces that runs left behind which could not clean up (they were killed): those
/// whose name carries the number of a process that is no more.
pub(crate) fn reap(prefix: &str) -> Result<()> {
    for name in names()? {
        let owner = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if let Some(owner) = owner
            && !is_alive(owner)
        {
            println!("deleting {name}, left behind by process {owner}");
            delete(&name)?;
        }
    }
    Ok(())
}

/// Whether a process with this number runs.
pub(crate) fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn delete(name: &str) -> Result<()> {
    let inside = output(Command::new("ip").args(["netns", "pids", name]))?;
    for pid in inside.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        // One that has ended meanwhile is what is wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
    exec(Command::new("ip").args(["netns", "del", name]))
        .with_context(|| format!("namespace {name} is left behind"))
}
